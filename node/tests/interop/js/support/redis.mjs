// Just enough of Redis' protocol to publish bytes that no client library would.
import net from "node:net";

import { within } from "./wait.mjs";

/** Publishes each payload (a Buffer or text) on the channel; resolves to how many subscribers heard each. */
export function publish(url, channel, ...payloads) {
  const { hostname, port } = new URL(url);
  return within(
    "Redis' answers",
    new Promise((resolve, reject) => {
      const socket = net.connect(Number(port), hostname);
      let answer = "";
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        answer += chunk;
        const lines = answer.split("\r\n").slice(0, -1);
        const wrong = lines.find((line) => !line.startsWith(":"));
        if (wrong !== undefined) { socket.destroy(); reject(new Error(wrong)); }
        if (lines.length === payloads.length) { socket.end(); resolve(lines.map((line) => Number(line.slice(1)))); }
      });
      for (const payload of payloads) {
        const parts = ["PUBLISH", channel, payload].map((part) => Buffer.from(part));
        socket.write(`*${parts.length}\r\n`);
        for (const part of parts) { socket.write(`$${part.length}\r\n`); socket.write(part); socket.write("\r\n"); }
      }
    }),
  );
}
