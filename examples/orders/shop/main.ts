// The shop behind the gateway: NestJS answers `place-order` over TCP, and `pay-order` as a signed HTTP request.
//
//   REDIS_URL=redis://localhost:6379 BILLING_KEY=... GATEWAY_URL=http://localhost:7000 TCP_PORT=4000 PORT=4001 tsx main.ts

import 'reflect-metadata'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Body, Controller, Get, HttpException, Module, Param, Post, RawBodyRequest, Req } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { MessagePattern, RpcException, Transport } from '@nestjs/microservices'
import { NestExpressApplication } from '@nestjs/platform-express'
import { Redis } from 'ioredis'
import { isFromGateway } from '../../migrate/after/signature.mjs'

const { REDIS_URL, BILLING_KEY, GATEWAY_URL, TCP_PORT, PORT } = process.env
const redis = new Redis(REDIS_URL!)

interface Request<Data> { userId: string; data: Data; rooms?: string[] }

// In the log of the gateway, so that a customer who is offline for a moment gets it.
async function publish(channel: string, event: object) {
  await redis.xadd('constellation:events', '*', 'channel', channel, 'data', JSON.stringify(event))
}

async function setStatus(orderId: string, status: string) {
  const customerId = await redis.hget('orders', orderId)
  await publish('order:status', { orderId, customerId, status, timestamp: Date.now() })
}

@Controller()
class Shop {
  @Get('config')
  config() {
    return { gateway: GATEWAY_URL }
  }

  @MessagePattern('orders.place')
  async place({ userId, data }: Request<{ items: unknown[] }>) {
    if (data.items.length === 0) throw new RpcException({ code: 'empty_order', message: 'Choose something first.' })
    const orderId = `o-${await redis.incr('order-numbers')}`
    await redis.hset('orders', orderId, userId)
    await setStatus(orderId, 'placed')
    return { success: true, data: { orderId } }
  }

  // The gateway has checked that the client is in the order's room; the signature proves that it was the gateway.
  @Post('gateway/payments')
  async pay(@Req() request: RawBodyRequest<any>) {
    if (!isFromGateway(BILLING_KEY, request.headers, request.rawBody)) throw new HttpException('Not from the gateway', 401)
    const { data }: Request<{ orderId: string }> = request.body
    await setStatus(data.orderId, 'paid')
    return { success: true, data: { orderId: data.orderId } }
  }

  // What the kitchen and the courier use. A real shop asks who they are.
  @Post('orders/:order/status')
  async change(@Param('order') orderId: string, @Body() { status }: { status: string }) {
    await setStatus(orderId, status)
    return {}
  }

  @Post('shops/:shop')
  async open(@Param('shop') shopId: string, @Body() { isOpen }: { isOpen: boolean }) {
    await publish('shop:open', { shopId, isOpen })
    return {}
  }
}

@Module({ controllers: [Shop] })
class Application {}

// The positions that couriers report go on to everybody in the order's room; they are not stored.
const positions = redis.duplicate()
await positions.subscribe('order:position')
positions.on('message', (_, request) => {
  const { data }: Request<object> = JSON.parse(request)
  redis.publish('order:moved', JSON.stringify(data))
})

const here = dirname(fileURLToPath(import.meta.url))
const client = dirname(createRequire(import.meta.url).resolve('socket.io-client/package.json'))
const options = { logger: ['error', 'warn'] as ['error', 'warn'], rawBody: true }
const application = await NestFactory.create<NestExpressApplication>(Application, options)
application.connectMicroservice({ transport: Transport.TCP, options: { host: '127.0.0.1', port: Number(TCP_PORT) } })
application.useStaticAssets(join(here, '..', 'page'))
application.useStaticAssets(join(client, 'dist'), { prefix: '/client/' })
await application.startAllMicroservices()
await application.listen(PORT!)
console.log('listening')
