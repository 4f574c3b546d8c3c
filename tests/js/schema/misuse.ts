// Clients that the gateway would refuse, or that would wait in vain: each line with a mark must not compile.
import { io, type Socket } from 'socket.io-client'
import type * as Chats from './chats.js'
import type * as Orders from './orders.js'

const chats: Socket<Chats.ServerToClientEvents['/chats'], Chats.ClientToServerEvents['/chats']> = io('/chats')
const orders: Socket<Orders.ServerToClientEvents['/orders'], Orders.ClientToServerEvents['/orders']> = io('/orders')
const seen: unknown[] = []

chats.on('new-mesage', () => seen.push(1)) // refused
chats.on('order-moved', () => seen.push(1)) // refused
chats.on('new-message', ({ recipientId }) => seen.push(recipientId)) // refused
chats.on('new-message', ({ text }) => seen.push(text.length)) // refused
orders.on('order-moved', ({ lat }) => seen.push(lat.length)) // refused
chats.emit('join-chats', { chatId: 'c1' }, (ack: unknown) => seen.push(ack)) // refused
chats.emit('follow-order', { orderId: 1 }, (ack: unknown) => seen.push(ack)) // refused
chats.emit('join-chat', { chatId: true }, (ack) => seen.push(ack)) // refused
chats.emit('join-chat', { chat: 'c1' }, (ack) => seen.push(ack)) // refused
chats.emit('join-chat', (ack: unknown) => seen.push(ack)) // refused
chats.emit('join-chat', { chatId: 'c1' }, (ack) => seen.push(ack.data.chatId)) // refused
chats.emit('join-chat', { chatId: 'c1' }, (ack) => seen.push(ack.success && ack.data.room)) // refused
orders.emit('place-order', { note: 'soon' }, (ack) => seen.push(ack)) // refused
orders.emit('place-order', { items: 3 }, (ack) => seen.push(ack)) // refused
orders.emit('place-order', { items: [], note: 3 }, (ack) => seen.push(ack)) // refused
orders.emit('report-position', { orderId: 1, lat: '52.5', lon: 13.4 }, (ack) => seen.push(ack)) // refused
orders.emit('pay-order', { orderId: 1 }, (ack) => seen.push(ack.success)) // refused
orders.emit('refresh-token', { token: 7 }, (ack) => seen.push(ack)) // refused
