// A real NestJS microservice over TCP that knows who is in which chat, as the API does.
//
//   node api.mjs <10|11|12> <host> <port>
//
// stdin, one command per line:   {"chats": {"<chatId>": [<participants>], ...}}   from now on
//                                {"delay": <milliseconds>}                        each answer takes so long from now on
// stdout, one line each:         {"ready": true}, {"chats": <how many>} or {"delay": ...} for a command, {"asked": <chatId>} for a question
//
// It answers `getChatDetails` and `{ cmd: 'getChatDetails' }`. Some chats are special by their name: those that begin with
// "silent" are never answered, "throwing" raises, "huge" has two million bytes of participants, "strange" is no list.

import { createInterface } from 'node:readline';

const [major, host, port] = process.argv.slice(2);

// See client.mjs: the majors lie side by side.
async function load(file) {
  const module = await import(new URL(`../nest${major}/node_modules/${file}`, import.meta.url));
  return module.default ?? module;
}

await load('reflect-metadata/Reflect.js');
const { Controller, Module } = await load('@nestjs/common/index.js');
const { NestFactory } = await load('@nestjs/core/index.js');
const { MessagePattern, Transport } = await load('@nestjs/microservices/index.js');

const say = (line) => console.log(JSON.stringify(line));
const special = {
  silent: () => new Promise(() => {}),
  throwing: () => {
    throw new Error('no database');
  },
  huge: () => found(Array.from({ length: 50_000 }, (_, n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`)),
  strange: () => found({ 0: 'everybody', length: 1 }),
};
let chats = new Map();
let delay = 0;

function found(participants) {
  return { success: true, data: { id: 1, metadata: { title: 'Привет 👋', participants } } };
}

class Chats {
  async getChatDetails({ chatId }) {
    say({ asked: chatId });
    const kind = String(chatId).split('-')[0];
    if (Object.hasOwn(special, kind)) return special[kind]();
    if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
    if (!chats.has(chatId)) return { success: false, message: 'There is no such chat' };
    return found(chats.get(chatId));
  }

  getByCommand(data) {
    return this.getChatDetails(data);
  }
}

// What decorators do; Node.js does not read their syntax.
for (const [name, pattern] of [['getChatDetails', 'getChatDetails'], ['getByCommand', { cmd: 'getChatDetails' }]]) {
  MessagePattern(pattern)(Chats.prototype, name, Object.getOwnPropertyDescriptor(Chats.prototype, name));
}
Controller()(Chats);
class Api {}
Module({ controllers: [Chats] })(Api);

const options = { transport: Transport.TCP, options: { host, port: Number(port) }, logger: false };
const api = await NestFactory.createMicroservice(Api, options);
await api.listen();
say({ ready: true });

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if ('delay' in command) {
    delay = command.delay;
    say({ delay });
  } else {
    chats = new Map(Object.entries(command.chats));
    say({ chats: chats.size });
  }
}
process.exit(0);
