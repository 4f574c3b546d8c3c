// A chat with Express, socket.io and @socket.io/redis-adapter, before it moves behind the gateway.
//
//   REDIS_URL=redis://localhost:6379 JWT_SECRET=... PORT=3000 node server.mjs

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import express from "express";
import { Redis } from "ioredis";
import { jwtVerify } from "jose";
import { Server } from "socket.io";

const secret = new TextEncoder().encode(process.env.JWT_SECRET);
const redis = new Redis(process.env.REDIS_URL);
const app = express();
const server = createServer(app);
const io = new Server(server, { adapter: createAdapter(redis, redis.duplicate()) });

io.use(async (socket, next) => {
  try {
    const { payload } = await jwtVerify(socket.handshake.auth.token, secret);
    socket.data.userId = payload.sub;
    next();
  } catch {
    next(new Error("The token is not valid."));
  }
});

io.on("connection", (socket) => {
  const { userId } = socket.data;
  socket.join(`user:${userId}`);

  socket.on("join-room", ({ room }, ack) => {
    socket.join(`room:${room}`);
    ack({ success: true, data: { room } });
  });

  socket.on("leave-room", ({ room }, ack) => {
    socket.leave(`room:${room}`);
    ack({ success: true, data: { room } });
  });

  socket.on("send-message", async ({ room, text }, ack) => {
    if (!socket.rooms.has(`room:${room}`)) {
      ack({ success: false, error: { code: "forbidden", message: "Join the room first." } });
      return;
    }
    const message = { room, userId, text };
    const number = await redis.rpush(`messages:${room}`, JSON.stringify(message));
    io.to(`room:${room}`).emit("message", { ...message, number });
    ack({ success: true, data: { number } });
  });

  socket.on("typing", ({ room }) => {
    socket.volatile.to(`room:${room}`).emit("typing", { room, userId });
  });
});

app.get("/rooms/:room/messages", async (request, response) => {
  const messages = await redis.lrange(`messages:${request.params.room}`, 0, -1);
  response.json(messages.map((message) => JSON.parse(message)));
});

app.post("/users/:userId/notices", express.json(), (request, response) => {
  io.to(`user:${request.params.userId}`).emit("notice", request.body);
  response.sendStatus(202);
});

app.delete("/users/:userId/connections", (request, response) => {
  io.in(`user:${request.params.userId}`).disconnectSockets(true);
  response.sendStatus(202);
});

server.listen(process.env.PORT, () => console.log("listening"));
