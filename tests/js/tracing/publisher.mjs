// A publisher as an API would be: ioredis, NestJS's ClientProxy, and OpenTelemetry around them.
//
//   node publisher.mjs <redis url> <gateway's TCP port>
//
// stdin, one command per line:  {"way": "pubsub" | "stream" | "fields" | "tcp", "channel", "event"}
// stdout, one line per command: {"traceparent": ...}, once it was taken and its span exported
//
// Spans go where OTEL_EXPORTER_OTLP_ENDPOINT says.

import { createInterface } from 'node:readline';
import { propagation, trace } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import Redis from 'ioredis';

const [redisUrl, tcpPort] = process.argv.slice(2);

const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'publisher' }),
  spanProcessors: [new SimpleSpanProcessor(new OTLPTraceExporter())],
});
trace.setGlobalTracerProvider(provider);
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
const { traced } = await import('./traced.mjs');

async function load(file) {
  const module = await import(new URL(`../nest11/node_modules/${file}`, import.meta.url));
  return module.default ?? module;
}

await load('reflect-metadata/Reflect.js');
const { Logger } = await load('@nestjs/common/index.js');
const { ClientProxyFactory, Transport } = await load('@nestjs/microservices/index.js');
const { lastValueFrom } = await load('rxjs/dist/cjs/index.js');
Logger.overrideLogger(false); // Nest logs to stdout, which is ours

const redis = new Redis(redisUrl);
const gateway = ClientProxyFactory.create({
  transport: Transport.TCP,
  options: { host: '127.0.0.1', port: Number(tcpPort) },
});

const ways = {
  pubsub: (channel, event, carrier) =>
    redis.publish(channel, JSON.stringify({ ...event, ...carrier })),
  stream: (channel, event, carrier) => {
    const data = JSON.stringify({ ...event, ...carrier });
    return redis.xadd('constellation:events', '*', 'channel', channel, 'data', data);
  },
  fields: (channel, event, carrier) => {
    const fields = { channel, data: JSON.stringify(event), ...carrier };
    return redis.xadd('constellation:events', '*', ...Object.entries(fields).flat());
  },
  tcp: (channel, event, carrier) => lastValueFrom(gateway.send(channel, { ...event, ...carrier })),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { way, channel, event } = JSON.parse(line);
  let carried;
  await traced(channel, (carrier) => {
    carried = carrier;
    return ways[way](channel, event, carrier);
  });
  await provider.forceFlush();
  console.log(JSON.stringify(carried));
}
gateway.close();
redis.disconnect();
await provider.shutdown();
