// What @socket.io/redis-emitter publishes, and what a Socket.IO server in Node makes of it for its clients.
//
// Prints a JSON list: {name, channel, message, packet} for emits and {name, channel, message} for requests. `message` is
// base64; `packet` is what socket.io-parser encodes after @socket.io/redis-adapter has decoded the message: the text, then
// attachments as base64.

import { createRequire } from "node:module";
import { Emitter } from "@socket.io/redis-emitter";
import { Emitter as Emitter4 } from "@socket.io/redis-emitter-4";
import msgpack from "notepack.io";
import { Encoder } from "socket.io-parser";

// Where classes are declared twice, only this one is the emitter's Buffer.
const { Buffer } = createRequire(import.meta.url)("node:buffer");

let published;
const wire = { publish: (channel, message) => (published = { channel, message: Buffer.from(message) }) };
const chats = new Emitter(wire).of("/chats");

function packetOf(message) {
  const [, packet] = msgpack.decode(message);
  return new Encoder().encode(packet).map((part) => (typeof part === "string" ? part : Buffer.from(part).toString("base64")));
}

function emitted(name, emit) {
  emit();
  const { channel, message } = published;
  return { name, channel, message: message.toString("base64"), packet: packetOf(message) };
}

function requested(name, request) {
  request();
  return { name, channel: published.channel, message: published.message.toString("base64") };
}

function values(name, ...args) {
  return emitted(name, () => chats.to("user:1").emit("e", ...args));
}

// Bytes that encoders before notepack.io 3 write, which its decoder still reads.
function old(name, ...bytes) {
  const before = msgpack.encode(["emitter", { type: 2, data: ["e"], nsp: "/chats" }, { rooms: ["user:1"] }]);
  const at = before.indexOf(Buffer.from([0x91, 0xa1, 0x65]));
  const message = Buffer.concat([before.subarray(0, at), Buffer.from([0x92, 0xa1, 0x65, ...bytes]), before.subarray(at + 3)]);
  return { name, channel: "socket.io#/chats#user:1#", message: message.toString("base64"), packet: packetOf(message) };
}

BigInt.prototype.toJSON = function () {
  return this.toString(); // without one notepack.io refuses, and nothing is published
};
class Point {
  constructor() {
    [this.x, this.y] = [1, 2];
  }
  toJSON() {
    return { point: [this.x, this.y] };
  }
}

const cases = [
  emitted("everyone", () => chats.emit("e", 1)),
  emitted("one room", () => chats.to("user:1").emit("e", { a: 1 })),
  emitted("rooms", () => chats.to(["user:1", "chat:7"]).in("user:2").emit("e")),
  emitted("a room that is a number", () => chats.to(7).emit("e")),
  emitted("except", () => chats.to("chat:7").except(["user:1", "user:2"]).emit("e")),
  emitted("everyone except", () => chats.except("user:1").emit("e")),
  emitted("volatile", () => chats.volatile.to("user:1").emit("e", 1)),
  emitted("compress", () => chats.compress(true).to("user:1").emit("e", 1)),
  emitted("another namespace", () => new Emitter(wire).to("user:1").emit("e", 1)),
  emitted("another key", () => new Emitter(wire, { key: "app" }).of("/chats").emit("e", 1)),
  emitted("version 4", () => new Emitter4(wire).of("/chats").to("user:1").emit("e", { a: [1] })),
  values("no arguments"),
  values("scalars", null, true, false, 0, 1, -1, 127, 128, -32, -33, 255, 256, 65535, 65536, 2 ** 31, -(2 ** 31), 2 ** 32, 1.5, -0.1),
  values("64-bit", 2 ** 53, -(2 ** 53), 2 ** 63, 2 ** 40 + 1, -(2 ** 40) - 1),
  values("no JSON numbers", NaN, Infinity, -Infinity),
  values("undefined", undefined, { a: undefined, b: 1 }, [undefined]),
  values("texts", "", "Привет 👋", "\u0000\u2028\"\\", "x".repeat(40), "x".repeat(300)),
  values("half a surrogate pair", "cut \ud83d", "x".repeat(40) + "\ud83d", "\ude00x"),
  values("nested", [[], {}, [[{ a: [{}] }]]], { a: { b: { c: [null] } } }),
  values("long", Array.from({ length: 40 }, (_, at) => at), Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`k${at}`, at]))),
  values("dates", new Date(0), new Date(1_700_000_000_123), new Date(-1), new Date(-62_135_596_800_000), new Date(253_402_300_799_999), new Date(2 ** 34 * 1000)),
  values("an invalid date", new Date(NaN)),
  values("BigInt with toJSON", 123456789012345678901234567890n),
  values("toJSON", new Point(), { deep: new Point() }),
  values("Map and Set", new Map([[1, 2]]), new Set([1])),
  values("names of properties", { 1: "one", __proto__x: 1, "": 2, "ключ": 3, null: 4 }),
  values("binary", Buffer.from([0, 255]), { deep: [Buffer.alloc(0), { a: new Uint8Array([1, 2]) }] }, "after"),
  values("ArrayBuffer", new Uint8Array([1, 2, 3]).buffer),
  values("binary of 300", Buffer.alloc(300, 1)),
  values("placeholders of its own", { _placeholder: true, num: 0 }, { _placeholder: false, num: "x" }),
  old("old undefined", 0xd4, 0, 0),
  old("old undefined property", 0x82, 0xa1, 0x61, 0xd4, 0, 0, 0xa1, 0x62, 1),
  old("old date", 0xd7, 0, 0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0x7b),
  old("old ArrayBuffer", 0xc7, 3, 0, 1, 2, 3),
  old("old ArrayBuffer of 300", 0xc8, 1, 44, 0, ...Array(300).fill(7)),
  old("unknown extension", 0xd5, 9, 1, 2),
  old("float 32", 0xca, 0x3f, 0x80, 0, 0),
  old("names that are no texts", 0x84, 2, 2, 0xc0, 3, 0xc3, 4, 0xc4, 1, 0x61, 5),
  requested("join", () => chats.in("user:1").socketsJoin("chat:7")),
  requested("join of everyone", () => chats.socketsJoin(["chat:7", 8])),
  requested("leave", () => chats.in(["user:1", "chat:8"]).except("user:2").socketsLeave(["chat:7", "chat:8"])),
  requested("disconnect", () => chats.in("user:1").disconnectSockets()),
  requested("disconnect and close", () => chats.except("user:1").disconnectSockets(true)),
  requested("serverSideEmit", () => chats.serverSideEmit("hello", 1)),
  requested("version 4 join", () => new Emitter4(wire).of("/chats").in("user:1").socketsJoin("chat:7")),
];

console.log(JSON.stringify(cases, null, 1));
