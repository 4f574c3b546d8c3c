// What a printed program gets as `socket.io-client`: the real one, connected to the gateway under
// test in place of the one that the page names. What becomes of its sockets goes to stderr as JSON.

import { io as connect } from "socket.io-client";

function report(line) {
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

export function io(url, options) {
  const socket = connect(process.env.GATEWAY_URL + new URL(url).pathname, options);
  socket.on("connect", () => report({ kind: "connect", recovered: socket.recovered === true }));
  socket.on("disconnect", (reason) => report({ kind: "disconnect", reason }));
  return socket;
}
