// Clients in another language: a process of theirs that does what a line of JSON on its standard input says, and tells what happens in lines of JSON.
import { spawn } from "node:child_process";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { transports } from "./client.mjs";
import { Inbox } from "./inbox.mjs";
import { until, within } from "./wait.mjs";

const interop = resolve(new URL(".", import.meta.url).pathname, "../..");

const wrap = (key, value) => (value?.type === "Buffer" ? { $bytes: Buffer.from(value.data).toString("base64") } : value);
const unwrap = (key, value) => (typeof value?.$bytes === "string" ? Buffer.from(value.$bytes, "base64") : value);

/** Somebody who holds any number of clients of one library. `write` hands a line to it, its lines come by `hear`; `traits` are those of its clients. */
export class Remote {
  constructor(write, traits) {
    Object.assign(this, { write, traits, clients: new Map(), asked: new Map(), count: 0 });
  }
  hear(line) {
    this.take(JSON.parse(line, unwrap));
  }
  take({ id, client, ok, error, heard, asked, args, ack, gone }) {
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
    this.write(JSON.stringify({ args: [], ...order }, wrap));
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
    const client = new RemoteClient(this, name, mode);
    this.clients.set(name, client);
    client.sid = await this.answerTo({
      do: "open", client: name, url, namespace, transports: transports[mode], headers, auth,
      query: query && String(new URLSearchParams(query)),
    });
    // Elsewhere nobody says what it is.
    if (mode === "upgrade" && ["/", "/custom"].includes(namespace)) await until("the upgrade", async () => (await client.ask("transport")) === "websocket");
    return client;
  };
}

/** A process of its own. */
export class RemoteProcess extends Remote {
  /** Version 1 (Engine.IO 3) or 2 (Engine.IO 4) of the Java client. */
  static java(version) {
    const args = ["-XX:TieredStopAtLevel=1", "-cp", join(interop, `java/lib/${version}/*`), join(interop, "java/Remote.java"), String(version)];
    return new RemoteProcess("java", args, version === 1 ? { protocol: "3", authBy: "query" } : {});
  }
  /** A version of python-socketio, and what came with it; without one, the newest, for Engine.IO alone. */
  static python(version) {
    const environment = version ? `.venv-versions/${version}` : ".venv";
    // Over WebSocket it may close its connection before it has sent the packet that says so.
    return new RemoteProcess(join(interop, environment, "bin/python"), [join(interop, "python/remote.py")], { protocol: "3", authBy: "query", hasty: true });
  }
  constructor(command, args, traits) {
    const process = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
    super((line) => process.stdin.write(`${line}\n`), traits);
    this.process = process;
    this.ended = new Promise((end) => process.once("exit", end));
    createInterface({ input: process.stdout }).on("line", (line) => this.hear(line));
  }
  close() {
    this.process.stdin.end();
    return within("the end of the clients' process", this.ended).catch(() => this.process.kill("SIGKILL"));
  }
}

class RemoteClient extends Inbox {
  constructor(remote, name, mode) {
    super();
    Object.assign(this, remote.traits, { remote, name, replies: new Map() });
    if (remote.traits.isBrowser) this.sendsHeaders = mode !== "websocket";
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
