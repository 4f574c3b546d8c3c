// Many socket.io-client sockets that keep an account of what happens to them, for the chaos journey.
//
// Commands come as JSON lines on stdin, answers go out as JSON lines on stdout:
//   {op: "open", name, url, user, rooms, options}   a socket that joins its rooms and stays
//   {op: "connected"}                               answers how many are connected, their joins answered
//   {op: "lacking", number}                         answers the names of those without this event
//   {op: "dump"}                                    answers one line per client: its entries in order
//   {op: "close"}                                   all leave
//
// An entry is an event's number, ["connect", ms, recovered], ["joined", ms, room] or ["lost", ms, reason].
// The number of an event is the `timestamp` of its payload.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const JOIN_MS = 3000;
const clients = new Map();

function answer(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function join(client, room) {
  client.socket.timeout(JOIN_MS).emit("join-chat", { chatId: room }, (error, ack) => {
    if (!error && ack.success) {
      client.pending.delete(room);
      client.entries.push(["joined", Date.now(), room]);
    } else if (client.socket.connected) {
      join(client, room);
    }
  });
}

function open({ name, url, user, rooms, options }) {
  const socket = io(url, { forceNew: true, ...options, auth: { userId: user, ...options.auth } });
  const client = { socket, entries: [], numbers: new Set(), pending: new Set(rooms) };
  clients.set(name, client);
  socket.on("connect", () => {
    client.entries.push(["connect", Date.now(), socket.recovered === true]);
    if (!socket.recovered) client.pending = new Set(rooms);
    client.pending.forEach((room) => join(client, room));
  });
  socket.on("connect_error", (error) => {
    // A refusal by the namespace is final for socket.io-client; a draining pod's is not meant so.
    if (!socket.active) setTimeout(() => socket.connect(), 200);
    client.entries.push(["refused", Date.now(), error.message]);
  });
  socket.on("disconnect", (reason) => client.entries.push(["lost", Date.now(), reason]));
  socket.onAny((_, data) => {
    client.entries.push(data.timestamp);
    client.numbers.add(data.timestamp);
  });
}

const operations = {
  open,
  connected() {
    const settled = [...clients.values()].filter((one) => one.socket.connected && !one.pending.size);
    answer(settled.length);
  },
  lacking({ number }) {
    answer([...clients].filter(([, one]) => !one.numbers.has(number)).map(([name]) => name));
  },
  dump() {
    answer([...clients].map(([name, one]) => ({ name, entries: one.entries })));
  },
  close() {
    clients.forEach((one) => one.socket.disconnect());
    clients.clear();
    answer(true);
  },
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    operations[command.op](command);
  })
  .on("close", () => process.exit(0));
