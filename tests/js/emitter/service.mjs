// A Node service that has no sockets and emits through Redis, or a Socket.IO server beside the gateways.
//
//   node service.mjs emitter <redis url>   @socket.io/redis-emitter
//   node service.mjs server <redis url>    a server with @socket.io/redis-adapter; a client is in the room of its user
//
// Commands come as JSON lines on stdin: [[method, ...arguments], ...] is called as a chain, a method without arguments that
// is no function is read. An argument may stand for what JSON has not: {$bytes: n}, {$date: ms}, {$undefined: 1}. Each
// command is answered by a line {answer} or {error} once Redis has received what was published.

import { createInterface } from "node:readline";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { Redis } from "ioredis";
import { Server } from "socket.io";

const [kind, url] = process.argv.slice(2);
const redis = new Redis(url);

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function revive(_, value) {
  if (value?.$bytes !== undefined) return Buffer.alloc(value.$bytes, 7);
  if (value?.$date !== undefined) return new Date(value.$date);
  return value;
}

function undefinedToo(value) {
  return value?.$undefined ? undefined : value;
}

async function startServer() {
  const subscriber = redis.duplicate();
  const server = new Server(0, { adapter: createAdapter(redis, subscriber, { requestsTimeout: 2000 }) });
  server.of("/chats").on("connection", (socket) => socket.join(`user:${socket.handshake.auth.userId}`));
  await subscriber.ping();
  print({ port: server.httpServer.address().port });
  return server;
}

const root = kind === "server" ? await startServer() : new Emitter(redis);
if (kind !== "server") print({ port: 0 });

async function call(chain) {
  let value = root;
  for (const [method, ...args] of chain) {
    value = typeof value[method] === "function" ? value[method](...args.map(undefinedToo)) : value[method];
  }
  const answer = await value;
  await redis.ping();
  return Array.isArray(answer) ? answer.length : typeof answer;
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    print({ answer: await call(JSON.parse(line, revive)) });
  } catch (error) {
    print({ error: String(error) });
  }
}
process.exit(0);
