// The API of the chat: log in, read, write, ask who is online. It has no sockets: the gateway delivers.
//
//   REDIS_URL=redis://localhost:6379 JWT_SECRET=... GATEWAY_URL=http://localhost:7000 GATEWAY_TCP=localhost:7756 PORT=4000 tsx main.ts

import 'reflect-metadata'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Body, Controller, Get, Headers, HttpException, Inject, Module, Param, Post } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ClientProxy, ClientsModule, Transport } from '@nestjs/microservices'
import { NestExpressApplication } from '@nestjs/platform-express'
import { Redis } from 'ioredis'
import { jwtVerify, SignJWT } from 'jose'
import { firstValueFrom } from 'rxjs'

const { REDIS_URL, JWT_SECRET, GATEWAY_URL, GATEWAY_TCP, PORT } = process.env
const secret = new TextEncoder().encode(JWT_SECRET)
const redis = new Redis(REDIS_URL!)
const [host, port] = GATEWAY_TCP!.split(':')

@Controller('api')
class Chat {
  constructor(@Inject('GATEWAY') private readonly gateway: ClientProxy) {}

  @Get('config')
  config() {
    return { gateway: GATEWAY_URL }
  }

  // A real application asks for a password here.
  @Post('login')
  async login(@Body() { user }: { user: string }) {
    const token = new SignJWT().setProtectedHeader({ alg: 'HS256' }).setSubject(String(user)).setExpirationTime('1h')
    return { token: await token.sign(secret) }
  }

  @Get('chats/:chat/messages')
  async history(@Param('chat') chat: string) {
    const messages = await redis.lrange(`messages:${chat}`, 0, -1)
    return messages.map((message) => JSON.parse(message))
  }

  // Stored and appended to the gateway's log in one transaction: no message is stored that is not delivered.
  @Post('chats/:chat/messages')
  async write(@Param('chat') chatId: string, @Headers('authorization') authorization: string, @Body() { text }: { text: string }) {
    const senderId = await userOf(authorization)
    const messageId = await redis.incr('messages')
    const message = JSON.stringify({ chatId, messageId, senderId, text, timestamp: Date.now() })
    await redis
      .multi()
      .rpush(`messages:${chatId}`, message)
      .xadd('constellation:events', '*', 'channel', 'chat:newMessage', 'data', message)
      .exec()
    return { messageId }
  }

  @Get('users/:user')
  async isOnline(@Param('user') userId: string) {
    const { data } = await firstValueFrom(this.gateway.send('isUserOnline', { userId }))
    return data
  }
}

async function userOf(authorization = ''): Promise<string> {
  try {
    const { payload } = await jwtVerify(authorization.replace('Bearer ', ''), secret)
    return payload.sub!
  } catch {
    throw new HttpException('The token is not valid.', 401)
  }
}

@Module({
  imports: [ClientsModule.register([{ name: 'GATEWAY', transport: Transport.TCP, options: { host, port: Number(port) } }])],
  controllers: [Chat],
})
class Application {}

const here = dirname(fileURLToPath(import.meta.url))
const client = dirname(createRequire(import.meta.url).resolve('socket.io-client/package.json'))
const application = await NestFactory.create<NestExpressApplication>(Application, { logger: ['error', 'warn'] })
application.useStaticAssets(join(here, '..', 'page'))
application.useStaticAssets(join(client, 'dist'), { prefix: '/client/' })
await application.listen(PORT!)
console.log('listening')
