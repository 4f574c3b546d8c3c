// Clients that use the interface as it is: this compiles.
import { io, type Socket } from 'socket.io-client'
import type * as Chats from './chats.js'
import type * as Orders from './orders.js'

const chats: Socket<Chats.ServerToClientEvents['/chats'], Chats.ClientToServerEvents['/chats']> = io('/chats')
const orders: Socket<Orders.ServerToClientEvents['/orders'], Orders.ClientToServerEvents['/orders']> = io('/orders')
const anyone: Socket<Orders.ServerToClientEvents['/'], Orders.ClientToServerEvents['/']> = io('/')

const seen: unknown[] = []
chats.on('new-message', ({ chatId, messageId, senderId, text, timestamp, media_type, media_url }) => {
  seen.push(chatId, messageId, senderId, text, timestamp, media_type, media_url)
})
chats.on('user-typing', ({ userId, isTyping, chatId }) => seen.push(userId, isTyping, chatId))
orders.on('order-moved', ({ orderId, lat, lon }) => seen.push(orderId, lat.toFixed(3), lon.toFixed(3)))
anyone.on('shop-open', ({ shopId, isOpen }) => seen.push(shopId, isOpen))

chats.emit('join-chat', { chatId: 'c1' }, (ack) => {
  const id: string | number = ack.success ? ack.data.chatId : ack.error.code
  seen.push(id)
})
chats.emit('leave-chat', 7, ({ success }) => seen.push(success))
chats.timeout(1000).emit('join-chat', { chatId: 7 }, (late, ack) => seen.push(late.message, ack.success))
orders.emit('place-order', { items: [1], note: null, coupon: 'X' }, (ack) => seen.push(ack))
orders.emit('place-order', { items: [] }, (ack) => seen.push(ack))
orders.emit('report-position', { orderId: 1, lat: 52.5, lon: 13.4 }, (ack) => seen.push(ack.success || ack.error.message))
orders.emit('rate-order', 5, (ack) => seen.push(ack.success))
anyone.emit('watch-shop', { shopId: 's1' }, (ack) => seen.push(ack.success && ack.data.shopId))

export async function refreshed(token: string): Promise<number | null | undefined> {
  const ack = await chats.emitWithAck('refresh-token', { token })
  return ack.success ? ack.data.expiresAt : undefined
}
