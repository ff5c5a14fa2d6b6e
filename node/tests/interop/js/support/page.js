// Runs in a browser: clients that do what js/support/remote.mjs tells them.
const clients = new Map();
const acks = new Map();
let lastAck = 0;

// Bytes travel as {"$bytes": base64}.
const wrap = (value) => {
  if (value instanceof ArrayBuffer) return { $bytes: btoa(Array.from(new Uint8Array(value), (byte) => String.fromCharCode(byte)).join("")) };
  if (Array.isArray(value)) return value.map(wrap);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, wrap(item)]));
  return value;
};
const unwrap = (key, value) => (typeof value?.$bytes === "string" ? Uint8Array.from(atob(value.$bytes), (c) => c.charCodeAt(0)).buffer : value);
const tell = (line) => say(JSON.stringify(wrap(line)));

const orders = {
  open({ id, client, url, namespace, transports, headers, query, auth }) {
    const options = { transports, forceNew: true, reconnection: false, withCredentials: true, auth };
    if (headers) options.extraHeaders = headers;
    if (query) options.query = Object.fromEntries(new URLSearchParams(query));
    const socket = io(url + (namespace === "/" ? "" : namespace), options);
    clients.set(client, socket);
    socket.onAny((event, ...args) => { if (typeof args.at(-1) !== "function") tell({ client, heard: [event, ...args] }); });
    socket.once("disconnect", (gone) => tell({ client, gone }));
    socket.once("connect", () => tell({ id, ok: socket.id }));
    socket.once("connect_error", ({ message, data }) => tell({ id, error: { message, data } }));
  },
  emit: ({ event, args }, socket) => socket.emit(event, ...args),
  call: ({ id, event, args }, socket) => socket.emit(event, ...args, (...answer) => tell({ id, ok: answer })),
  answer({ client, event }, socket) {
    socket.off(event);
    socket.on(event, (...args) => {
      acks.set((lastAck += 1), args.pop());
      tell({ client, asked: event, args, ack: lastAck });
    });
  },
  ack: ({ ack, args }) => acks.get(ack)(...args),
  close: (_, socket) => socket.disconnect(),
};

globalThis.obey = (line) => {
  const order = JSON.parse(line, unwrap);
  orders[order.do](order, clients.get(order.client));
};
