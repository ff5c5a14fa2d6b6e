// Engine.IO by hand, for clients that misbehave: a WebSocket, a polling session, and bare bytes.
import net from "node:net";
import WebSocket from "ws";

import { within } from "./wait.mjs";

/** A WebSocket session that joined "/"; it answers pings unless `pongs` is false. */
export class RawWebSocket {
  static async open(url, { pongs = true, connect = true } = {}) {
    const raw = new RawWebSocket(url, "", pongs);
    raw.handshake = JSON.parse((await raw.find(/^0/)).slice(1));
    if (connect) {
      raw.send("40");
      raw.sid = JSON.parse((await raw.find(/^40/)).slice(2)).sid;
    }
    return raw;
  }
  /** A second connection for a session that polls; rejects when it is refused. */
  static async probe(url, sid) {
    const raw = new RawWebSocket(url, `&sid=${sid}`, true);
    await within("the connection opens", new Promise((resolve, reject) => { raw.socket.once("open", resolve); raw.socket.once("error", reject); }));
    return raw;
  }
  constructor(url, query, pongs) {
    this.socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket${query}`, { perMessageDeflate: false });
    this.packets = [];
    this.waiting = [];
    this.closed = new Promise((resolve) => this.socket.once("close", (code) => resolve(code)));
    this.socket.on("error", () => {});
    this.socket.on("message", (data, binary) => {
      const packet = binary ? data : data.toString();
      if (packet === "2" && pongs) this.socket.send("3");
      this.packets.push(packet);
      for (const wake of this.waiting.splice(0)) wake();
    });
  }
  send(data) {
    this.socket.send(data);
  }
  /** The first packet that matches, now or later. */
  find(pattern) {
    const search = async () => {
      for (;;) {
        const found = this.packets.find((packet) => typeof packet === "string" && pattern.test(packet));
        if (found !== undefined) return found;
        await new Promise((resolve) => this.waiting.push(resolve));
      }
    };
    return within(`packet ${pattern}`, search());
  }
  /** Bytes that are no WebSocket frame of a well-behaved client. */
  bytes(values) {
    this.socket._socket.write(Buffer.from(values));
  }
}

/** A polling session that joined "/". */
export class RawPolling {
  static async open(url, { connect = true } = {}) {
    const raw = new RawPolling();
    raw.base = `${url}/socket.io/?EIO=4&transport=polling`;
    raw.handshake = JSON.parse((await (await fetch(raw.base)).text()).slice(1));
    if (connect) {
      await raw.post("40");
      raw.sid = JSON.parse((await raw.find(/^40/)).slice(2)).sid;
    }
    return raw;
  }
  post(body, options = {}) {
    return fetch(`${this.base}&sid=${this.handshake.sid}`, { method: "POST", body, ...options });
  }
  get(options) {
    return fetch(`${this.base}&sid=${this.handshake.sid}`, options);
  }
  /** Polls until a packet matches. */
  async find(pattern) {
    for (;;) {
      const answer = await this.get();
      const body = await answer.text();
      if (answer.status !== 200) throw new Error(`poll: ${answer.status} ${body}`);
      const found = body.split("\x1e").find((packet) => pattern.test(packet));
      if (found !== undefined) return found;
      if (body.includes("2")) await this.post("3");
    }
  }
}

/** Sends bytes over TCP and resolves to everything that came back until the server closed, or until `enough` matched. */
export function exchange(url, bytes, enough) {
  const { hostname, port } = new URL(url);
  return within(
    "an answer, or the end of the connection",
    new Promise((resolve) => {
      const socket = net.connect(Number(port), hostname);
      let answer = "";
      const done = () => { socket.destroy(); resolve(answer); };
      socket.on("data", (chunk) => { answer += chunk.toString("latin1"); if (enough?.test(answer)) done(); });
      socket.on("error", done);
      socket.on("close", done);
      for (const part of [bytes].flat()) socket.write(part);
    }),
  );
}
