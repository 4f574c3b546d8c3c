// What to paste into one's own code, with the addresses of this gateway.

export const snippets = {
  js({ about, user, space, join, chat, origin }) {
    const auth = about.tokens ? 'token: "<a token of the user>"' : `userId: ${JSON.stringify(user)}`;
    const joining = join ? `
  socket.emit(${JSON.stringify(join.event)}, { ${join.fields[0].name}: ${JSON.stringify(chat)} }, (answer) => console.log(answer));` : "";
    const events = space.events.map((event) => `socket.on(${JSON.stringify(event)}, (data) => console.log(data));`).join("\n");
    return `// npm install socket.io-client
import { io } from "socket.io-client";

const socket = io(${JSON.stringify(origin + space.name)}, { auth: { ${auth}, recovery: true } });

socket.on("connect", () => {
  if (socket.recovered) return; // nothing was missed, and all rooms are joined${joining}
});
socket.on("connect_error", (error) => console.error(error.message, error.data?.code));
${events}
`;
  },
  nest({ about, channel, data, host }) {
    const name = channel?.channel ?? "ping";
    return `// npm install @nestjs/microservices
import { ClientsModule, ClientProxy, Transport } from "@nestjs/microservices";
import { firstValueFrom } from "rxjs";

// in the module
ClientsModule.register([
  { name: "GATEWAY", transport: Transport.TCP, options: { host: ${JSON.stringify(host)}, port: ${about.tcpPort || 7756} } },
]);

// in a service: constructor(@Inject("GATEWAY") private readonly gateway: ClientProxy) {}
await firstValueFrom(this.gateway.send(${JSON.stringify(name)}, ${indented(data)}));
`;
  },
  python({ about, channel, data }) {
    const name = channel?.channel ?? "chat:newMessage";
    return `# pip install redis
import json
import redis

event = ${python(data)}
redis.Redis.from_url(${JSON.stringify(about.redis || "redis://localhost:6379/0")}).publish(${JSON.stringify(name)}, json.dumps(event))
`;
  },
};

function python(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}: ${python(one)}`).join(", ")}}`;
}

function indented(data) {
  return JSON.stringify(data, null, 2);
}
