// A stock socket.io-client.
import http from "node:http";
import { io as version4 } from "socket.io-client";
import version1 from "socket.io-client-1";
import version2 from "socket.io-client-2";
import { io as version3 } from "socket.io-client-3";

import { Inbox } from "./inbox.mjs";
import { within } from "./wait.mjs";

export const modes = ["polling", "websocket", "upgrade"];
const libraries = { 1: version1, 2: version2, 3: version3, 4: version4 };
export const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

/** Calls `note` with every event that wants no ack. */
function onEvent(socket, note) {
  if (socket.onAny) {
    socket.onAny((...args) => { if (typeof args.at(-1) !== "function") note(...args); });
    return;
  }
  // Versions 1 and 2 have no such listener.
  const { onevent } = socket;
  socket.onevent = (packet) => {
    if (packet.id === undefined || packet.id === null) note(...packet.data);
    onevent.call(socket, packet);
  };
}

export class Client extends Inbox {
  constructor(socket, version = 4) {
    super();
    this.socket = socket;
    if (version < 3) Object.assign(this, { protocol: "3", authBy: "query" });
    // Version 1 does not know that its id has the namespace before it, as the server knows it.
    this.before = version === 1 && socket.nsp !== "/" ? `${socket.nsp}#` : "";
    this.reason = new Promise((resolve) => socket.once("disconnect", resolve));
    onEvent(socket, (...args) => this.note(...args));
  }

  get sid() {
    return this.before + this.socket.id;
  }

  emit(...args) {
    this.socket.emit(...args);
  }

  /** Emits and calls `acked` with the list of the ack's arguments. */
  request(event, args, acked) {
    this.socket.emit(event, ...args, (...answer) => acked(answer));
  }

  /** Answers `event` with the arguments that `reply` returns, as a list; it may be asynchronous. */
  answer(event, reply) {
    this.socket.on(event, async (...args) => {
      const ack = args.pop();
      ack(...(await reply(...args)));
    });
  }

  /** Disconnects instead of answering `event`. */
  leaveOn(event) {
    this.socket.on(event, () => this.close());
  }

  close() {
    this.socket.disconnect();
  }
}

/** Builds a socket of that major version of the library, without connecting it. */
export function prepare(url, { mode = "upgrade", namespace = "/", version = 4, headers, query, auth, address, ...more } = {}) {
  const options = { transports: transports[mode], forceNew: true, reconnection: false, autoConnect: false, ...more };
  if (headers) options.extraHeaders = headers;
  if (query) options.query = query;
  if (auth) options.auth = auth;
  // Connections that come from that loopback address.
  if (address) options.agent = new http.Agent({ localAddress: address, keepAlive: true });
  return libraries[version](url + (namespace === "/" ? "" : namespace), options);
}

/** Connects; in mode "upgrade" it resolves when the connection is a WebSocket. */
export async function open(url, options = {}) {
  const socket = prepare(url, options);
  const client = new Client(socket, options.version);
  await within(
    `connection to ${url}`,
    new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
      onRefusal(socket, reject);
      socket.connect();
    }),
  ).catch((error) => {
    socket.disconnect();
    throw error;
  });
  if ((options.mode ?? "upgrade") === "upgrade") {
    const engine = socket.io.engine;
    if (engine.transport.name !== "websocket") {
      await within("upgrade", new Promise((resolve) => engine.once("upgrade", resolve)));
    }
  }
  return client;
}

/** What versions 1 and 2 are told in another event: the message, or the data where the server gives some. */
function onRefusal(socket, refused) {
  if (!socket.onAny) socket.once("error", refused);
}

/** Why a connection to a namespace was refused. */
export async function refusal(url, options) {
  const socket = prepare(url, options);
  try {
    return await within(
      "refusal",
      new Promise((resolve, reject) => {
        socket.once("connect_error", resolve);
        onRefusal(socket, resolve);
        socket.once("connect", () => reject(new Error("it was accepted")));
        socket.connect();
      }),
    );
  } finally {
    socket.disconnect();
  }
}
