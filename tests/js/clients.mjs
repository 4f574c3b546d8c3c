// Many real socket.io-client sockets in one process, driven over standard streams.
//
// Commands come as JSON lines on stdin, what happens goes out as JSON lines on stdout. No
// expectation lives here: the tests decide what should have happened, this file only reports.
//
// Commands (`name` is the client's, `n` numbers a command that wants an answer):
//   {op: "open", name, url, options, authMs?, acks?}    a socket of its own connection (forceNew, unless `options` say otherwise); with
//                                                `authMs` its auth is a function that takes so long;
//                                                `acks` has, by event, what it answers to those that ask
//   {op: "emit", name, event, args, n?, within?} with `n`: waits `within` ms for the acknowledgement;
//                                                an argument {$bytes: n} becomes a buffer of n bytes
//   {op: "write", name, text | base64}           one Engine.IO message as it stands, past the encoder
//   {op: "close", name}                          the client's own disconnect; once more is no fault
//   {op: "present", name, auth}                  what the next connects present
//   {op: "sever", name}                          the transport breaks under the client
//
// Reports: connect, connect_error, disconnect, upgrade, event (with the packet's raw text, for
// what JSON.parse would round), answer, failure (a command this file could not carry out).

import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const sockets = new Map();

function report(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// An event's text is kept from the Engine.IO packet until socket.io-client hands out the event.
function isEventText(data, namespace) {
  const [head] = (typeof data === "string" && /^[25](\d+-)?/.exec(data)) || [];
  if (head === undefined) return false;
  const rest = data.slice(head.length);
  return namespace === "/" ? rest[0] !== "/" : rest.startsWith(`${namespace},`);
}

function watchEngine(name, { io: manager, nsp }, texts) {
  const engine = manager.engine;
  engine.on("packet", ({ type, data }) => {
    if (type === "message" && isEventText(data, nsp)) texts.push(data);
  });
  engine.on("upgrade", (transport) => report({ name, kind: "upgrade", transport: transport.name }));
}

function open({ name, url, options, authMs, acks = {} }) {
  const texts = [];
  const auth = authMs ? (present) => setTimeout(() => present(options.auth), authMs) : options.auth;
  const socket = io(url, { forceNew: true, ...options, auth });
  sockets.set(name, socket);
  socket.io.on("open", () => watchEngine(name, socket, texts));
  // With `forceNew: false` its connection may be that of another socket, and open.
  if (socket.io.engine?.readyState === "open") watchEngine(name, socket, texts);
  socket.on("connect", () => {
    const transport = socket.io.engine.transport.name;
    const recovered = socket.recovered === true; // undefined where nothing can be recovered
    report({ name, kind: "connect", id: socket.id, transport, recovered });
  });
  socket.on("connect_error", (error) => {
    report({ name, kind: "connect_error", message: error.message, data: error.data });
  });
  socket.on("disconnect", (reason) => {
    texts.length = 0;
    report({ name, kind: "disconnect", reason });
  });
  socket.onAny((event, ...args) => {
    const acknowledge = typeof args.at(-1) === "function" ? args.pop() : () => {};
    report({ name, kind: "event", event, args, text: texts.shift() });
    if (event in acks) acknowledge(...acks[event].map(revived));
  });
}

function revived(value) {
  if (Array.isArray(value)) return value.map(revived);
  if (value === null || typeof value !== "object") return value;
  if ("$bytes" in value) return Buffer.alloc(value.$bytes);
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, revived(one)]));
}

function emit({ name, event, args, n, within }) {
  const socket = sockets.get(name);
  const values = args.map(revived);
  if (n === undefined) {
    socket.emit(event, ...values);
    return;
  }
  socket.timeout(within).emit(event, ...values, (error, ...ack) => {
    report(error ? { kind: "answer", n, error: error.message } : { kind: "answer", n, ack });
  });
}

function write({ name, text, base64 }) {
  const message = text === undefined ? Buffer.from(base64, "base64") : text;
  sockets.get(name).io.engine.write(message);
}

function close({ name }) {
  sockets.get(name)?.disconnect();
  sockets.delete(name);
}

function present({ name, auth }) {
  sockets.get(name).auth = auth;
}

function sever({ name }) {
  sockets.get(name).io.engine.close();
}

const operations = { open, emit, write, close, present, sever };

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    try {
      operations[command.op](command);
    } catch (error) {
      report({ kind: "failure", command, error: String(error) });
    }
  })
  .on("close", () => process.exit(0));

report({ kind: "ready" });
