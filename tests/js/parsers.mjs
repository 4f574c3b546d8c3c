// The packet parsers of socket.io-client, driven by JSON lines: what do they make of our packets?
//
// stdin, one event per line:  {"message": Engine.IO text packet, "attachments": [base64, ...],
//                              "payload": the same packets as one answer of long-polling}
// stdout, one line for each:  {"decoded": {...}} where all parsers read the same from both, else
//                             {"error": "..."}
//
// No expectation about content lives here.

import { createInterface } from "node:readline";
import { decodePacket, decodePayload } from "engine.io-parser";
import * as current from "socket.io-parser";
import oldest from "socket.io-parser-4.0";

const PARSERS = { current, oldest };

function decode(parser, packets) {
  const decoded = [];
  const decoder = new parser.Decoder();
  decoder.on("decoded", (packet) => decoded.push(packet));
  for (const { type, data } of packets) {
    if (type !== "message") throw new Error(`engine.io-parser: ${type} ${data}`);
    decoder.add(data);
  }
  if (decoded.length !== 1) throw new Error(`${decoded.length} packets`);
  const [{ type, nsp, id, data }] = decoded;
  const { EVENT, BINARY_EVENT } = parser.PacketType; // which of the two differs between versions
  if (type !== EVENT && type !== BINARY_EVENT) throw new Error(`packet type ${type}`);
  return { nsp, id, event: data[0], arguments: data.slice(1) };
}

function read({ message, attachments, payload }) {
  const binary = attachments.map((text) => Buffer.from(text, "base64"));
  const overWebSocket = [message, ...binary].map((one) => decodePacket(one, "nodebuffer"));
  const overPolling = decodePayload(payload, "nodebuffer");
  const results = new Set();
  for (const [name, parser] of Object.entries(PARSERS)) {
    for (const packets of [overWebSocket, overPolling]) {
      try {
        results.add(JSON.stringify(decode(parser, packets)));
      } catch (error) {
        throw new Error(`${name}: ${error.message}`);
      }
    }
  }
  if (results.size !== 1) throw new Error(`read differently: ${[...results].join(" | ")}`);
  return [...results][0];
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(`{"decoded":${read(JSON.parse(line))}}`);
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
