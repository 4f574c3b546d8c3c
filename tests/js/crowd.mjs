// Many socket.io-client sockets that write down what happens to them, for runs under load.
//
// Commands come as JSON lines on stdin, answers go out as JSON lines on stdout:
//   {op: "open", name, url, user, rooms, options, release?}
//                              a socket that joins its rooms and stays; `release` is the package of its
//                              socket.io-client, in the folder that the first argument names
//   {op: "connected"}          answers how many are connected, their joins answered
//   {op: "upgraded"}           answers how many are connected by a WebSocket
//   {op: "lacking", numbers}   answers the names of those without all these events
//   {op: "dump"}               answers for each client: when it was opened, its entries in order, the
//                              transports that it used, and each connect_error
//   {op: "close"}              all leave
//
// Entries are those of tests/chaos/story.py. The number of an event is the `timestamp` of its payload,
// or, where it has `bytes`, what they begin with.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const JOIN_MS = 3000;
const clients = new Map();

function ioOf(release) {
  return release ? createRequire(`${process.argv[2]}/`)(release).io : io;
}

function answer(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// As socket.timeout() of 4.4 and later, for clients that do not have it.
function emitWithin(ms, socket, event, data, done) {
  const timer = setTimeout(() => answered(new Error("no answer in time")), ms);
  let isDone = false;
  function answered(error, ack) {
    if (isDone) return;
    isDone = true;
    clearTimeout(timer);
    done(error, ack);
  }
  socket.emit(event, data, (ack) => answered(null, ack));
}

function join(client, room) {
  client.entries.push(["ask", Date.now(), "join", room]);
  emitWithin(JOIN_MS, client.socket, "join-chat", { chatId: room }, (error, ack) => {
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

function watchTransports(client, engine) {
  const note = (name) => client.transports.push([Date.now(), name]);
  note(engine.transport.name);
  engine.on("upgrade", (transport) => note(transport.name));
  engine.on("upgradeError", (error) => note(`no upgrade: ${error.message}`));
}

function isOnWebSocket({ socket }) {
  return socket.connected && socket.io.engine.transport.name === "websocket";
}

function numberOf(data) {
  return Buffer.isBuffer(data.bytes) ? data.bytes.readUInt32BE() : data.timestamp;
}

function open({ name, url, user, rooms, options, release }) {
  const opened = Date.now();
  const auth = { userId: user, ...options.auth };
  const socket = ioOf(release)(url, { forceNew: true, ...options, auth });
  const client = { opened, socket, entries: [], transports: [], errors: [] };
  client.numbers = new Set();
  client.pending = new Set(rooms);
  clients.set(name, client);
  socket.io.on("open", () => watchTransports(client, socket.io.engine));
  socket.on("connect", () => {
    const recovered = socket.recovered === true;
    client.entries.push(["connect", Date.now(), socket.id, socket._pid ?? null, recovered]);
    if (!recovered) client.pending = new Set(rooms);
    client.pending.forEach((room) => join(client, room));
  });
  socket.on("connect_error", (error) => {
    client.errors.push([Date.now(), error.message]);
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
    const number = numberOf(data);
    client.entries.push(["event", Date.now(), number]);
    client.numbers.add(number);
  });
}

const operations = {
  open,
  connected() {
    const settled = [...clients.values()].filter((one) => one.socket.connected && !one.pending.size);
    answer(settled.length);
  },
  upgraded() {
    answer([...clients.values()].filter(isOnWebSocket).length);
  },
  lacking({ numbers }) {
    const lacks = ([, one]) => numbers.some((number) => !one.numbers.has(number));
    answer([...clients].filter(lacks).map(([name]) => name));
  },
  dump() {
    const told = ({ opened, entries, transports, errors }) => ({ opened, entries, transports, errors });
    answer([...clients].map(([name, one]) => ({ name, ...told(one) })));
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
