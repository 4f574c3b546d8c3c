// The business logic of the same chat. Clients connect to the gateway, which sends their requests here.
//
//   REDIS_URL=redis://localhost:6379 GATEWAY_KEY=... PORT=4000 node server.mjs

import { Emitter } from "@socket.io/redis-emitter";
import express from "express";
import { Redis } from "ioredis";
import { isFromGateway } from "./signature.mjs";

const redis = new Redis(process.env.REDIS_URL);
const io = new Emitter(redis);
const app = express();

app.use("/gateway", express.raw({ type: "*/*" }), (request, response, next) => {
  if (!isFromGateway(process.env.GATEWAY_KEY, request.headers, request.body)) {
    response.sendStatus(401);
    return;
  }
  request.body = JSON.parse(request.body);
  next();
});

app.post("/gateway/send-message", async (request, response) => {
  const { userId, data } = request.body;
  const { room, text } = data;
  const message = { room, userId, text };
  const number = await redis.rpush(`messages:${room}`, JSON.stringify(message));
  io.to(`room:${room}`).emit("message", { ...message, number });
  response.json({ success: true, data: { number } });
});

app.post("/gateway/typing", (request, response) => {
  const { userId, sid, data } = request.body;
  const { room } = data;
  io.volatile.to(`room:${room}`).except(sid).emit("typing", { room, userId });
  response.end();
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

app.listen(process.env.PORT, () => console.log("listening"));
