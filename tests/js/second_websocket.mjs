// The official client's WebSocket package opens a second WebSocket for a session that is upgraded.
//
// Arguments: the gateway's port. Prints one JSON line: what the package reported of the second one.

import WebSocket from "ws";

const address = `127.0.0.1:${process.argv[2]}/socket.io/?EIO=4`;

const opening = await (await fetch(`http://${address}&transport=polling`)).text();
const { sid } = JSON.parse(opening.slice(1));
const socket = `ws://${address}&transport=websocket&sid=${sid}`;

const first = new WebSocket(socket);
await new Promise((resolve) => first.once("open", resolve));
first.send("2probe");
await new Promise((resolve) => first.once("message", resolve));
first.send("5");

const said = [];
const second = new WebSocket(socket);
second.on("open", () => said.push("open"));
second.on("error", (error) => said.push(`error: ${error.message}`));
second.on("close", (code) => {
  console.log(JSON.stringify({ said, code, firstIsOpen: first.readyState === WebSocket.OPEN }));
  first.terminate();
});
