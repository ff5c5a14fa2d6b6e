// A small Socket.IO client: Engine.IO 4 and Socket.IO 5, the namespace `/`, text only, over WebSocket or long-polling.
// Made for the demo; applications take a full client, such as socket.io-client.

const SEPARATOR = "\x1e";
const FIRST_DELAY = 500;
const LONGEST_DELAY = 5000;
const REQUEST_TIMEOUT = 10_000;

/** One WebSocket; `hooks` hear of every packet and of the end. */
function overWebSocket(base, hooks) {
  const socket = new WebSocket(`${base.replace(/^http/, "ws")}?EIO=4&transport=websocket`);
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") hooks.packet(data);
  };
  socket.onclose = () => hooks.closed("the connection was lost");
  return { name: "websocket", send: (packet) => socket.send(packet), close: () => socket.close() };
}

/** Long-polling: one GET waits for packets at all times, a POST at a time carries ours. */
function overPolling(base, hooks) {
  const abort = new AbortController();
  const waiting = [];
  let sid = "";
  let posting = false;

  const url = () => `${base}?EIO=4&transport=polling${sid}`;
  const ask = async (options) => {
    const response = await fetch(url(), { cache: "no-store", signal: abort.signal, ...options });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return response.text();
  };
  const end = (error) => {
    if (!abort.signal.aborted) hooks.closed(error.message);
  };
  const poll = async () => {
    while (!abort.signal.aborted) {
      for (const packet of (await ask()).split(SEPARATOR)) {
        if (packet[0] === "0") sid = `&sid=${encodeURIComponent(JSON.parse(packet.slice(1)).sid)}`;
        hooks.packet(packet);
      }
    }
  };
  const post = async () => {
    if (posting) return;
    posting = true;
    while (waiting.length > 0) await ask({ method: "POST", body: waiting.splice(0).join(SEPARATOR) });
    posting = false;
  };

  poll().catch(end);
  return {
    name: "polling",
    send: (packet) => {
      waiting.push(packet);
      post().catch(end);
    },
    close: () => {
      abort.abort();
      // The server need not wait for the heartbeat to find out; the page may be gone before an answer comes.
      if (sid) fetch(url(), { method: "POST", body: "1", keepalive: true }).catch(() => {});
    },
  };
}

const TRANSPORTS = { websocket: overWebSocket, polling: overPolling };

/** What a Socket.IO packet says: type, attachments, namespace, ack id, and the JSON text that follows. */
const PACKET = /^(\d)(?:\d+-)?(?:(\/[^,]*),?)?(\d+)?([^]*)$/;

/**
 * A connection that comes back by itself.
 *
 * `onState({ state, transport, attempt, delay, reason })` hears of every change; the states are `connecting`, `connected`, `waiting` (for
 * `delay` ms, until the next attempt) and `closed`. `onEvent(event, args, ack)` hears of every event.
 */
export class Client {
  #url;
  #auth;
  #kinds;
  #kind = 0;
  #attempt = 0;
  #transport = null;
  #connected = false;
  #heartbeat = { timer: 0, after: 0 };
  #retry = 0;
  #acks = new Map();
  #nextAck = 0;

  constructor({ url, transports, auth, onState, onEvent }) {
    this.#url = url;
    this.#kinds = transports;
    this.#auth = auth;
    this.onState = onState;
    this.onEvent = onEvent;
  }

  get connected() {
    return this.#connected;
  }

  /** Connects, now. Does nothing while it is connected or about to be. */
  open() {
    clearTimeout(this.#retry);
    if (this.#transport) return;
    const name = this.#kinds[this.#kind % this.#kinds.length];
    this.#tell("connecting", { transport: name });
    const hooks = {
      packet: (packet) => this.#transport === transport && this.#packet(packet),
      closed: (reason) => this.#transport === transport && this.#lost(reason),
    };
    const transport = TRANSPORTS[name](this.#url, hooks);
    this.#transport = transport;
    // Until the handshake is there, nobody else looks at the time.
    this.#heartbeat.after = 10_000;
    this.#listen();
  }

  /** Ends the connection and stays away. */
  close() {
    this.#drop();
    this.#tell("closed", {});
  }

  /** Connects anew with these transports; when the first does not work, the next is tried. */
  use(transports) {
    this.#drop();
    this.#kinds = transports;
    this.#kind = 0;
    this.#attempt = 0;
    this.open();
  }

  /** Sends an event, if there is a connection. */
  emit(event, ...args) {
    if (this.#connected) this.#send(`2${JSON.stringify([event, ...args])}`);
  }

  /** Sends an event and resolves with the first argument of its ack. Rejects if none can come, or none comes in time. */
  request(event, ...args) {
    if (!this.#connected) return Promise.reject(new Error("there is no connection"));
    return new Promise((resolve, reject) => {
      const id = this.#nextAck++;
      const settle = (error, value) => {
        clearTimeout(timer);
        this.#acks.delete(id);
        if (error) reject(new Error(error));
        else if (value?.error) reject(new Error(value.error));
        else resolve(value);
      };
      const timer = setTimeout(() => settle("the server did not answer in time"), REQUEST_TIMEOUT);
      this.#acks.set(id, settle);
      this.#send(`2${id}${JSON.stringify([event, ...args])}`);
    });
  }

  #tell(state, more) {
    this.onState({ state, attempt: this.#attempt, ...more });
  }

  /** Sends a Socket.IO packet. */
  #send(packet) {
    this.#transport.send(`4${packet}`);
  }

  /** If nothing is heard for this long, the connection is dead, whatever the browser thinks. */
  #listen() {
    clearTimeout(this.#heartbeat.timer);
    this.#heartbeat.timer = setTimeout(() => this.#lost("the server went silent"), this.#heartbeat.after);
  }

  #packet(packet) {
    switch (packet[0]) {
      case "0": {
        const { pingInterval, pingTimeout } = JSON.parse(packet.slice(1));
        this.#heartbeat.after = pingInterval + pingTimeout;
        this.#send(`0${JSON.stringify(this.#auth())}`);
        break;
      }
      case "1":
        this.#lost("the server closed the connection");
        return;
      case "2":
        this.#transport.send("3");
        break;
      case "4":
        this.#message(packet.slice(1));
        break;
    }
    if (this.#transport) this.#listen();
  }

  #message(text) {
    const [, type, namespace = "/", id, json] = PACKET.exec(text) ?? [];
    if (namespace.split("?")[0] !== "/") return;
    const data = json ? JSON.parse(json) : undefined;
    switch (type) {
      case "0":
        this.#connected = true;
        this.#attempt = 0;
        this.#tell("connected", { transport: this.#transport.name, id: data.sid });
        break;
      case "1":
        // The server does not want us: coming back at once would be rude.
        this.#drop();
        this.#tell("closed", { reason: "the server ended the connection" });
        break;
      case "2":
      case "5": {
        const ack = (...args) => id !== undefined && this.#connected && this.#send(`3${id}${JSON.stringify(args)}`);
        this.onEvent(data[0], data.slice(1), ack);
        break;
      }
      case "3":
        this.#acks.get(Number(id))?.(null, data[0]);
        break;
      case "4":
        this.#lost(data?.message ?? "the server refused the connection");
        break;
    }
  }

  /** Forgets the connection; what waits for an answer gets none. */
  #drop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#heartbeat.timer);
    const transport = this.#transport;
    this.#transport = null;
    this.#connected = false;
    transport?.close();
    for (const settle of [...this.#acks.values()]) settle("the connection was lost");
  }

  #lost(reason) {
    const worked = this.#connected;
    this.#drop();
    if (!worked) this.#kind += 1;
    // Every transport gets its chance before the next wait, and clients of a node that ended must not all come back at the same moment.
    if (!worked && this.#kind % this.#kinds.length !== 0) return this.open();
    this.#attempt += 1;
    const delay = Math.min(FIRST_DELAY * 2 ** (this.#attempt - 1), LONGEST_DELAY) * (0.5 + Math.random());
    this.#tell("waiting", { delay, reason });
    this.#retry = setTimeout(() => this.open(), delay);
  }
}
