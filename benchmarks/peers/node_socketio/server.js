// The peer that the README's ratios name: socket.io 4.8 on its default `ws` engine, fed by ioredis.
//
// It keeps the part of the gateway's contract that the benchmarks exercise: identity from `auth.userId`, `join-chat` and
// `leave-chat` with acks, `report-position`, and the six Redis channels. No TCP port, no limits, no metrics: whatever it
// lacks makes it faster.
//
// Every process subscribes for itself, so the in-memory adapter is enough and an event is never sent between processes.
// With ADAPTER=streams it is what is durable here: each event is in a Redis stream, and clients can recover their state.
// With ADAPTER=sharded events pass between processes by sharded Pub/Sub, as where only one of them gets an event.
//
// Environment: WS_PORT (0 = a free port), REDIS_HOST, REDIS_PORT, ADAPTER. When clients may come it writes one JSON line to
// stderr.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import Redis from "ioredis";
import { Server } from "socket.io";

const ofUser = (id) => `user:${id}`;
const ofChat = (id) => `chat:${id}`;
const ofUsers = (ids) => ids.map(ofUser);

// channel -> the event it becomes, the keys that are kept, and the rooms it reaches
const routes = {
  "chat:newMessage": {
    event: "new-message",
    keys: ["chatId", "messageId", "senderId", "text", "timestamp", "media_type", "media_url"],
    rooms: (source) => [ofUser(source.recipientId), ofChat(source.chatId)],
  },
  "chat:messageRead": {
    event: "message-read",
    keys: ["chatId", "messageIds", "timestamp"],
    rooms: (source) => (source.messageIds.length > 0 ? [ofUser(source.userId)] : []),
  },
  "chat:typing": {
    event: "user-typing",
    keys: ["chatId", "userId", "isTyping"],
    rooms: (source) => [...ofUsers(source.participants), ofChat(source.chatId)],
    except: (source) => ofUser(source.userId),
  },
  "chat:new": {
    event: "new-chat",
    keys: ["chatId", "withUser", "created_at", "timestamp"],
    rooms: (source) => [ofUser(source.userId)],
  },
  "chat:deleted": {
    event: "chat-deleted",
    keys: ["chatId", "deletedByUserId", "timestamp"],
    rooms: (source) => [...ofUsers(source.participants), ofChat(source.chatId)],
    emptied: (source) => ofChat(source.chatId),
  },
  "user:status": {
    event: "user-status",
    keys: ["userId", "status", "timestamp"],
    rooms: (source) => ofUsers(source.notifyUsers),
  },
};

function pick(source, keys) {
  const kept = {};
  for (const key of keys) if (key in source) kept[key] = source[key];
  return kept;
}

function deliver(chats, channel, text) {
  const route = routes[channel];
  const source = JSON.parse(text);
  const rooms = route.rooms(source);
  if (rooms.length === 0) return;
  let recipients = chats.to(rooms);
  if (route.except) recipients = recipients.except(route.except(source));
  recipients.emit(route.event, pick(source, route.keys));
  if (route.emptied) chats.in(route.emptied(source)).socketsLeave(route.emptied(source));
}

function chatIdOf(request) {
  const id = typeof request === "object" && request !== null ? request.chatId : request;
  return typeof id === "string" || typeof id === "number" ? String(id) : undefined;
}

function answer(change) {
  return (request, ack) => {
    const chatId = chatIdOf(request);
    if (chatId === undefined) {
      ack?.({ success: false, error: { code: "invalid_chat", message: "A chat id is needed." } });
      return;
    }
    change(ofChat(chatId));
    ack?.({ success: true, data: { chatId } });
  };
}

// What the gateway publishes for a request `to = "channel"` (docs/backends.md).
async function report(socket, data, ack) {
  const request = {
    event: "report-position",
    data,
    userId: socket.data.userId,
    sid: socket.id,
    namespace: socket.nsp.name,
    address: socket.handshake.address,
  };
  await publisher.publish("positions", JSON.stringify(request));
  ack({ success: true });
}

function identify(socket, next) {
  const { userId } = socket.handshake.auth;
  if (typeof userId !== "string" && typeof userId !== "number") {
    next(Object.assign(new Error("A user id is needed."), { data: { code: "unauthorized" } }));
    return;
  }
  socket.data.userId = String(userId);
  next();
}

function welcome(socket) {
  socket.join(ofUser(socket.data.userId));
  socket.on("join-chat", answer((room) => socket.join(room)));
  socket.on("leave-chat", answer((room) => socket.leave(room)));
  socket.on("report-position", (data, ack) => report(socket, data, ack));
}

function announce(port) {
  const versionOf = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;
  const parts = [
    `socket.io ${versionOf("socket.io")} (ws engine)`,
    ...(adapter.name ? [`${adapter.name} ${versionOf(adapter.name)}`] : []),
    `ioredis ${versionOf("ioredis")}`,
  ].join(", ");
  const made_of = `${parts}, Node.js ${process.version}`;
  process.stderr.write(`${JSON.stringify({ event: "listening", ws_port: port, made_of })}\n`);
}

const redis = new Redis({
  host: process.env.REDIS_HOST ?? "127.0.0.1",
  port: Number(process.env.REDIS_PORT ?? 6379),
});
const publisher = redis.duplicate(); // one that subscribes may not publish
const adapters = {
  streams: () => ({
    name: "@socket.io/redis-streams-adapter",
    options: {
      adapter: createAdapter(redis.duplicate()),
      connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
    },
  }),
  sharded: () => ({
    name: "@socket.io/redis-adapter",
    options: { adapter: createShardedAdapter(redis.duplicate(), redis.duplicate()) },
  }),
};
const adapter = adapters[process.env.ADAPTER]?.() ?? { options: {} };

const http = createServer();
const io = new Server(http, adapter.options);
// Advice of socket.io's own "performance tuning" page: do not keep the upgrade request for each socket's life.
io.engine.on("connection", (rawSocket) => {
  rawSocket.request = null;
});
const chats = io.of("/chats").use(identify).on("connection", welcome);

redis.on("message", (channel, text) => deliver(chats, channel, text));
await redis.subscribe(...Object.keys(routes));

// Sockets waiting to be accepted: Node's default of 511 would refuse a storm that the others take.
http.listen({ port: Number(process.env.WS_PORT ?? 0), host: "127.0.0.1", backlog: 4096 }, () =>
  announce(http.address().port),
);
