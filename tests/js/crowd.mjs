// Many socket.io-client sockets that write down what happens to them, for the chaos runs.
//
// Commands come as JSON lines on stdin, answers go out as JSON lines on stdout:
//   {op: "open", name, url, user, rooms, options}   a socket that joins its rooms and stays
//   {op: "connected"}                               answers how many are connected, their joins answered
//   {op: "lacking", numbers}                        answers the names of those without all these events
//   {op: "dump"}                                    answers one line per client: its entries in order
//   {op: "close"}                                   all leave
//
// Entries are those of tests/chaos/story.py. The number of an event is the `timestamp` of its payload.

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const JOIN_MS = 3000;
const clients = new Map();

function answer(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function join(client, room) {
  client.entries.push(["ask", Date.now(), "join", room]);
  client.socket.timeout(JOIN_MS).emit("join-chat", { chatId: room }, (error, ack) => {
    if (!error && typeof ack?.success !== "boolean") {
      client.entries.push(["wrong", Date.now(), `no answer to join-chat: ${JSON.stringify(ack)}`]);
    } else if (!error && ack.success) {
      client.pending.delete(room);
      client.entries.push(["joined", Date.now(), room]);
    } else if (client.socket.connected) {
      if (!error) client.entries.push(["refused", Date.now(), room, ack.error.code]);
      setTimeout(() => client.socket.connected && join(client, room), error ? 0 : 300);
    }
  });
}

function open({ name, url, user, rooms, options }) {
  const socket = io(url, { forceNew: true, ...options, auth: { userId: user, ...options.auth } });
  const client = { socket, entries: [], numbers: new Set(), pending: new Set(rooms) };
  clients.set(name, client);
  socket.on("connect", () => {
    const recovered = socket.recovered === true;
    client.entries.push(["connect", Date.now(), socket.id, socket._pid ?? null, recovered]);
    if (!recovered) client.pending = new Set(rooms);
    client.pending.forEach((room) => join(client, room));
  });
  socket.on("connect_error", (error) => {
    // Final for socket.io-client, where the namespace refuses: no gateway says so because it drains.
    if (!socket.active) client.entries.push(["wrong", Date.now(), `refused: ${error.message}`]);
  });
  socket.on("disconnect", (reason) => client.entries.push(["lost", Date.now(), reason]));
  // socket.io-client 4.8 keeps what was replayed on a connection that broke before its CONNECT was
  // answered, and gets it a second time on the next one. That is no fault of the gateway's.
  socket.io.on("close", () => {
    socket.receiveBuffer = [];
  });
  socket.onAny((_, data) => {
    client.entries.push(["event", Date.now(), data.timestamp]);
    client.numbers.add(data.timestamp);
  });
}

const operations = {
  open,
  connected() {
    const settled = [...clients.values()].filter((one) => one.socket.connected && !one.pending.size);
    answer(settled.length);
  },
  lacking({ numbers }) {
    const lacks = ([, one]) => numbers.some((number) => !one.numbers.has(number));
    answer([...clients].filter(lacks).map(([name]) => name));
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
