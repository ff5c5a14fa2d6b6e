// Clients in another language: a process of theirs that does what a line of JSON on its standard input says, and tells what happens in lines of JSON.
import { spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { Inbox } from "./inbox.mjs";
import { until, within } from "./wait.mjs";

const interop = resolve(new URL(".", import.meta.url).pathname, "../..");
const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

const wrap = (key, value) => (value?.type === "Buffer" ? { $bytes: Buffer.from(value.data).toString("base64") } : value);
const unwrap = (key, value) => (typeof value?.$bytes === "string" ? Buffer.from(value.$bytes, "base64") : value);

/** A process that holds any number of clients of one library. */
export class Remote {
  /** Version 1 (Engine.IO 3) or 2 (Engine.IO 4) of the Java client. */
  static java(version) {
    return new Remote("java", ["-XX:TieredStopAtLevel=1", "-cp", join(interop, `java/lib/${version}/*`), join(interop, "java/Remote.java")]);
  }
  constructor(command, args) {
    this.process = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.clients = new Map();
    this.asked = new Map();
    this.count = 0;
    this.ended = new Promise((end) => this.process.once("exit", end));
    createInterface({ input: this.process.stdout }).on("line", (line) => this.hear(JSON.parse(line, unwrap)));
  }
  hear({ id, client, ok, error, heard, asked, args, ack, gone }) {
    if (id !== undefined) {
      const { resolve, reject } = this.asked.get(id);
      this.asked.delete(id);
      if (error) reject(Object.assign(new Error(error.message), { data: error.data, refusal: error }));
      else resolve(ok);
      return;
    }
    const one = this.clients.get(client);
    if (heard) one.note(...heard);
    else if (gone) one.gone(gone);
    else if (asked) one.replies.get(asked)(args, ack);
  }
  tell(order) {
    this.process.stdin.write(`${JSON.stringify({ args: [], ...order }, wrap)}\n`);
  }
  ask(order, resolve, reject) {
    const id = (this.count += 1);
    this.asked.set(id, { resolve, reject });
    this.tell({ ...order, id });
  }
  answerTo(order) {
    return within(order.do, new Promise((resolve, reject) => this.ask(order, resolve, reject)));
  }
  /** Sends messages to an Engine.IO endpoint that echoes; resolves to the echoes. */
  echo(url, { mode, path, messages }) {
    return this.answerTo({ do: "echo", client: "", url, path, transports: transports[mode], args: messages });
  }
  /** Takes the options of client.mjs' open. */
  open = async (url, { mode = "upgrade", namespace = "/", headers, query, auth } = {}) => {
    const name = String((this.count += 1));
    const client = new RemoteClient(this, name);
    this.clients.set(name, client);
    client.sid = await this.answerTo({
      do: "open", client: name, url: url + (namespace === "/" ? "" : namespace), transports: transports[mode], headers, auth,
      query: query && String(new URLSearchParams(query)),
    });
    if (mode === "upgrade") await until("the upgrade", async () => (await client.ask("transport")) === "websocket");
    return client;
  };
  close() {
    this.process.stdin.end();
    return within("the end of the clients' process", this.ended).catch(() => this.process.kill("SIGKILL"));
  }
}

class RemoteClient extends Inbox {
  constructor(remote, name) {
    super();
    Object.assign(this, { remote, name, replies: new Map() });
    this.reason = new Promise((resolve) => { this.gone = resolve; });
  }
  emit(event, ...args) {
    this.remote.tell({ do: "emit", client: this.name, event, args });
  }
  request(event, args, acked) {
    this.remote.ask({ do: "call", client: this.name, event, args }, acked);
  }
  onAsked(event, reply) {
    this.replies.set(event, reply);
    this.remote.tell({ do: "answer", client: this.name, event });
  }
  answer(event, reply) {
    this.onAsked(event, async (args, ack) => this.remote.tell({ do: "ack", client: this.name, ack, args: await reply(...args) }));
  }
  leaveOn(event) {
    this.onAsked(event, () => this.close());
  }
  close() {
    this.remote.tell({ do: "close", client: this.name });
  }
}
