// A real NestJS ClientProxy over TCP, driven by JSON lines.
//
//   node client.mjs <10|11|12> <host> <port> [JSON of tlsOptions, each a path instead of a text]
//
// stdin, one command per line:   {"n": 1, "op": "send" | "emit", "pattern": ..., "data": ...}
// stdout, one result per command, in the order in which they end:
//   {"n": 1, "value": ...}   what the observable emitted; no "value" where it completed without one
//   {"n": 1, "error": {"kind": "Error" | "string" | "object", "message": ..., "value": ...}}
//                            what it raised; "value" is the thing itself where it is no Error
//
// Commands are started as they are read, without waiting for earlier ones. At the end of stdin the
// outstanding ones are awaited, the client is closed and the process ends by itself.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [major, host, port, tlsFiles] = process.argv.slice(2);
const tlsOptions =
  tlsFiles &&
  Object.fromEntries(Object.entries(JSON.parse(tlsFiles)).map(([key, file]) => [key, readFileSync(file)]));

// The majors lie side by side, each in a folder of its own. 10 and 11 are CommonJS, 12 is ESM;
// `import` of a file takes both, a bare name would not be found from here.
async function load(file) {
  const module = await import(new URL(`../nest${major}/node_modules/${file}`, import.meta.url));
  return module.default ?? module;
}

function describe(thrown) {
  if (thrown instanceof Error) return { kind: 'Error', message: thrown.message };
  if (typeof thrown === 'string') return { kind: 'string', message: thrown, value: thrown };
  return { kind: typeof thrown, message: thrown?.message, value: thrown };
}

await load('reflect-metadata/Reflect.js');
const { Logger } = await load('@nestjs/common/index.js');
const { ClientProxyFactory, Transport } = await load('@nestjs/microservices/index.js');
const { lastValueFrom } = await load('rxjs/dist/cjs/index.js');

Logger.overrideLogger(false); // Nest logs to stdout, which is ours

const client = ClientProxyFactory.create({
  transport: Transport.TCP,
  options: { host, port: Number(port), tlsOptions },
});

async function run({ n, op, pattern, data }) {
  try {
    return { n, value: await lastValueFrom(client[op](pattern, data), { defaultValue: undefined }) };
  } catch (thrown) {
    return { n, error: describe(thrown) };
  }
}

const running = [];
for await (const line of createInterface({ input: process.stdin })) {
  running.push(run(JSON.parse(line)).then((result) => console.log(JSON.stringify(result))));
}
await Promise.all(running);
client.close();
