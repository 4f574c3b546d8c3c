// A real NestJS microservice over TCP that clients' requests reach through the gateway.
//
//   node backend.mjs <10|11|12> <host> <port>
//
// stdout, one line: {"ready": true}. It ends with its stdin.
//
// Each pattern answers in one of the ways that NestJS offers; `data` is what the gateway sends: { event, data, ... }.

const [major, host, port] = process.argv.slice(2);

// See client.mjs: the majors lie side by side.
async function load(file) {
  const module = await import(new URL(`../nest${major}/node_modules/${file}`, import.meta.url));
  return module.default ?? module;
}

await load('reflect-metadata/Reflect.js');
const { Catch, Controller, HttpException, Module, UseFilters } = await load('@nestjs/common/index.js');
const { NestFactory } = await load('@nestjs/core/index.js');
const { MessagePattern, RpcException, Transport } = await load('@nestjs/microservices/index.js');
const { of, throwError, timer } = await load('rxjs/dist/cjs/index.js');

const raise = (thrown) => {
  throw thrown;
};

const handlers = {
  echo: (request) => request,
  nothing: () => {},
  twice: () => of('first', 'second'),
  later: ({ data }) => new Promise((resolve) => timer(data).subscribe(() => resolve(data))),
  silent: () => new Promise(() => {}),
  huge: () => 'x'.repeat(2_000_000),
  'rpc text': () => raise(new RpcException('Sold out 👋')),
  'rpc object': () => raise(new RpcException({ code: 'sold_out', message: 'Sold out 👋' })),
  'rpc nested': () => raise(new RpcException({ error: { code: 'sold_out', message: 'Sold out 👋' } })),
  'rpc number': () => raise(new RpcException({ code: 11000, message: 'Sold out 👋' })),
  http: () => raise(new HttpException('Sold out', 409)),
  error: () => raise(new Error('select * from secrets')),
  filtered: () => raise(new RpcException('Sold out 👋')),
  command: (request) => request,
};

// The filter of NestJS' documentation: what the caller gets is no object then.
class Filter {
  catch(exception) {
    return throwError(() => exception.getError());
  }
}
Catch(RpcException)(Filter);

class Backend {}
for (const [name, handler] of Object.entries(handlers)) {
  Backend.prototype[name] = handler;
  // What a decorator does; Node.js does not read its syntax.
  const pattern = name === 'command' ? { cmd: 'echo' } : name;
  MessagePattern(pattern)(Backend.prototype, name, Object.getOwnPropertyDescriptor(Backend.prototype, name));
}
UseFilters(new Filter())(Backend.prototype, 'filtered', Object.getOwnPropertyDescriptor(Backend.prototype, 'filtered'));
Controller()(Backend);
class Application {}
Module({ controllers: [Backend] })(Application);

const options = { transport: Transport.TCP, options: { host, port: Number(port) }, logger: false };
const application = await NestFactory.createMicroservice(Application, options);
await application.listen();
console.log(JSON.stringify({ ready: true }));
process.stdin.on('end', () => process.exit(0)).resume();
