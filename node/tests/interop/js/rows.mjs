// One entry for every row of the acceptance app's table: { name, run(t) }. `t` gives clients in one namespace, placed and transported as the caller of
// the row decides: t.open(options) is the next client, t.room() a room name that no other test uses.
import assert from "node:assert/strict";

import { until } from "./support/wait.mjs";

const bytes = Buffer.from([0, 1, 2, 0x1e, 0x7f, 0x80, 0xff]);
// What travels: every JSON type, unicode with characters outside the basic plane, separators of the protocols, binary alone and nested.
const values = ["text, with ☃ and 🐟 and \u001e", 0, -1.5, 9007199254740991, true, false, null, [], {}, [1, [2, [3]]], { a: { b: [null, "c"] } }, bytes, { deep: [bytes, { file: bytes }] }];

/** Every member of the room has received what was sent before: messages from one node keep their order. */
async function fence(sender, room, members) {
  await sender.ask("emit-to", { to: [room], event: "fence", args: [] });
  await Promise.all(members.map((member) => member.next("fence")));
}
async function joined(t, room, count, options) {
  const clients = [];
  for (let i = 0; i < count; i += 1) {
    const client = await t.open(options);
    await client.ask("join", room);
    clients.push(client);
  }
  return clients;
}
const unknownSid = "AAAAAAAAAAAAAAAAAAAA";

export const rows = [
  {
    name: "(on connect): `auth` with the auth object, {} without",
    async run(t) {
      const auth = { token: "good", nested: { list: [1, "two", null] } };
      const query = { token: "good", other: "1 & 2" };
      const a = await t.open({ auth, query });
      assert.deepEqual(await a.next("auth"), [{ auth, query }[a.authBy]]);
      const [none] = await (await t.open()).next("auth");
      assert.deepEqual(none, {});
    },
  },
  {
    name: "message: `message-back` with the same arguments, to the sender alone",
    async run(t) {
      const [a, b] = [await t.open(), await t.open()];
      for (const args of [[], ["one"], values, [bytes], [[bytes, bytes], "between", bytes]]) {
        a.emit("message", ...args);
        assert.deepEqual(await a.next("message-back"), args);
      }
      a.emit("message", undefined, 1);
      assert.deepEqual(await a.next("message-back"), [null, 1]);
      await b.ask("rooms");
      assert.deepEqual(b.pending("message-back"), []);
    },
  },
  {
    name: "message-with-ack: acks the same arguments",
    async run(t) {
      const a = await t.open();
      for (const args of [[], ["one"], values, [bytes], [null], [[1, 2]], [{ b: bytes }, bytes]]) {
        assert.deepEqual(await a.call("message-with-ack", ...args), args);
      }
    },
  },
  {
    name: "message: many at once come back in order",
    async run(t) {
      const a = await t.open();
      for (let i = 0; i < 200; i += 1) a.emit("message", i, i % 3 === 0 ? bytes : "text");
      for (let i = 0; i < 200; i += 1) assert.equal((await a.next("message-back"))[0], i);
    },
  },
  {
    name: "message: a large one, text and binary",
    async run(t) {
      const a = await t.open();
      // Python writes six bytes for such a letter, and polling four for three bytes.
      const large = ["ä".repeat(80_000), Buffer.alloc(300_000, 7)];
      assert.deepEqual(await a.call("message-with-ack", ...large), large);
    },
  },
  {
    name: "join, leave, rooms: the sorted list without the socket's own room",
    async run(t) {
      const a = await t.open();
      assert.deepEqual(await a.ask("rooms"), []);
      assert.deepEqual(await a.ask("join", "b"), ["b"]);
      assert.deepEqual(await a.ask("join", "a"), ["a", "b"]);
      assert.deepEqual(await a.ask("join", "ü 🐟"), ["a", "b", "ü 🐟"]);
      assert.deepEqual(await a.ask("join", "a"), ["a", "b", "ü 🐟"]);
      assert.deepEqual(await a.ask("rooms"), ["a", "b", "ü 🐟"]);
      assert.deepEqual(await a.ask("leave", "a"), ["b", "ü 🐟"]);
      assert.deepEqual(await a.ask("leave", "never joined"), ["b", "ü 🐟"]);
      assert.deepEqual(await (await t.open()).ask("rooms"), []);
    },
  },
  {
    name: "close-room: every member on every node is out of it",
    async run(t) {
      const room = t.room();
      const [a, b, c] = await joined(t, room, 3);
      await b.ask("join", "stays");
      assert.equal(await a.ask("close-room", room), true);
      assert.deepEqual(await a.ask("rooms"), []);
      await until("the other node closed the room", async () => !(await b.ask("rooms")).includes(room));
      assert.deepEqual(await b.ask("rooms"), ["stays"]);
      await until("everybody is out", async () => !(await c.ask("rooms")).includes(room));
      await until("nobody is left", async () => (await a.ask("count", room)) === 0);
    },
  },
  {
    name: "emit-to: every value to a room, once and in order, on every node",
    async run(t) {
      const room = t.room();
      const [a, b, c] = await joined(t, room, 3);
      const stranger = await t.open();
      assert.equal(await a.ask("emit-to", { to: [room], event: "news", args: values }), true);
      assert.equal(await a.ask("emit-to", { to: [room], event: "news", args: [bytes] }), true);
      assert.equal(await a.ask("emit-to", { to: [room], event: "news", args: [] }), true);
      for (const client of [a, b, c]) {
        assert.deepEqual(await client.next("news"), values);
        assert.deepEqual(await client.next("news"), [bytes]);
        assert.deepEqual(await client.next("news"), []);
      }
      await fence(a, room, [a, b, c]);
      await fence(a, stranger.sid, [stranger]);
      assert.deepEqual([a, b, c, stranger].map((client) => client.pending("news")), [[], [], [], []]);
    },
  },
  {
    name: "emit-to: the union of rooms, one copy each; a sid may stand among them",
    async run(t) {
      const [one, two] = [t.room(), t.room()];
      const [a, b] = await joined(t, one, 2);
      await b.ask("join", two);
      const [c] = await joined(t, two, 1);
      const d = await t.open();
      await a.ask("emit-to", { to: [one, two, d.sid, b.sid], event: "news", args: [1] });
      for (const client of [a, b, c, d]) {
        assert.deepEqual(await client.next("news"), [1]);
        await fence(a, client.sid, [client]);
        assert.deepEqual(client.pending("news"), []);
      }
    },
  },
  {
    name: "emit-to: everyone in the namespace when `to` is empty or absent",
    async run(t) {
      const clients = [await t.open(), await t.open(), await t.open()];
      const event = `all-${t.room()}`;
      await clients[0].ask("emit-to", { to: [], event, args: ["empty"] });
      await clients[0].ask("emit-to", { event, args: ["absent"] });
      for (const client of clients) {
        assert.deepEqual(await client.next(event), ["empty"]);
        assert.deepEqual(await client.next(event), ["absent"]);
      }
    },
  },
  {
    name: "emit-to: less the rooms and sids of `except`",
    async run(t) {
      const [room, excluded] = [t.room(), t.room()];
      const [a, b, c, d] = await joined(t, room, 4);
      await b.ask("join", excluded);
      await a.ask("emit-to", { to: [room], except: [excluded, c.sid], event: "news", args: [1] });
      await fence(a, room, [a, b, c, d]);
      assert.deepEqual([a, b, c, d].map((client) => client.pending("news")), [[[1]], [], [], [[1]]]);
      const event = `all-${room}`;
      await d.ask("emit-to", { except: [room], event, args: [] });
      await fence(d, room, [a, b, c, d]);
      assert.deepEqual([a, b, c, d].map((client) => client.pending(event)), [[], [], [], []]);
    },
  },
  {
    name: "emit-to: this node only with `local`",
    async run(t) {
      const room = t.room();
      const [a, b, c] = await joined(t, room, 3);
      await a.ask("emit-to", { to: [room], event: "news", args: ["here", bytes], local: true });
      await fence(a, room, [a, b, c]);
      const here = [["here", bytes]];
      assert.deepEqual([a, b, c].map((client) => client.pending("news")), [a, b, c].map((client) => (t.together(a, client) ? here : [])));
    },
  },
  {
    name: "broadcast: to everyone else on every node",
    async run(t) {
      const room = t.room();
      const [a, b, c] = await joined(t, room, 3);
      const event = `all-${room}`;
      a.emit("broadcast", event, ...values);
      a.emit("broadcast", event);
      await a.ask("rooms");
      await fence(a, room, [a, b, c]);
      assert.deepEqual(a.pending(event), []);
      assert.deepEqual(b.pending(event), [values, []]);
      assert.deepEqual(c.pending(event), [values, []]);
    },
  },
  {
    name: "call: the ack's arguments, text and binary, none and several",
    async run(t) {
      const [a, b] = [await t.open(), await t.open()];
      b.answer("question", (...args) => ["answer", ...args]);
      assert.deepEqual(await a.ask("call", { sid: b.sid, event: "question", args: values, timeout_ms: 10_000 }), { ok: ["answer", ...values] });
      assert.deepEqual(await a.ask("call", { sid: b.sid, event: "question", args: [bytes], timeout_ms: 10_000 }), { ok: ["answer", bytes] });
      b.answer("nothing", () => []);
      assert.deepEqual(await a.ask("call", { sid: b.sid, event: "nothing", args: [], timeout_ms: 10_000 }), { ok: [] });
      a.answer("self", () => ["me"]);
      assert.deepEqual(await a.ask("call", { sid: a.sid, event: "self", args: [], timeout_ms: 10_000 }), { ok: ["me"] });
    },
  },
  {
    name: "call: many at once, each gets its own answer",
    async run(t) {
      const [a, b] = [await t.open(), await t.open()];
      b.answer("double", (n) => [n * 2]);
      const answers = await Promise.all([...Array(50).keys()].map((n) => a.ask("call", { sid: b.sid, event: "double", args: [n], timeout_ms: 10_000 })));
      assert.deepEqual(answers, [...Array(50).keys()].map((n) => ({ ok: [n * 2] })));
    },
  },
  {
    name: "call: timeout when the client does not answer",
    async run(t) {
      const [a, b] = [await t.open(), await t.open()];
      assert.deepEqual(await a.ask("call", { sid: b.sid, event: "unanswered", args: [], timeout_ms: 200 }), { error: "timeout" });
    },
  },
  {
    name: "call: disconnected, before the timeout, for an unknown sid and for a client that goes meanwhile",
    async run(t) {
      const [a, b, c] = [await t.open(), await t.open(), await t.open()];
      // The calls' own timeout is longer than this test may take.
      assert.deepEqual(await a.ask("call", { sid: unknownSid, event: "question", args: [], timeout_ms: 60_000 }), { error: "disconnected" });
      for (const client of [b, c]) {
        client.leaveOn("leave-now");
        assert.deepEqual(await a.ask("call", { sid: client.sid, event: "leave-now", args: [], timeout_ms: 60_000 }), { error: "disconnected" });
      }
    },
  },
  {
    name: "call-all: the answers of every node, and how many are missing",
    async run(t) {
      const room = t.room();
      const [a, b, c, silent] = await joined(t, room, 4);
      for (const [name, client] of Object.entries({ a, b, c })) client.answer("who", (x) => [name, x, bytes]);
      const { ok, missing } = await a.ask("call-all", { room, event: "who", args: [1], timeout_ms: 1500 });
      assert.deepEqual(ok.sort(), [["a", 1, bytes], ["b", 1, bytes], ["c", 1, bytes]]);
      assert.equal(missing, 1);
      silent.answer("who", () => []);
      const all = await b.ask("call-all", { room, event: "who", args: [2], timeout_ms: 60_000 });
      assert.deepEqual(all.ok.sort(), [[], ["a", 2, bytes], ["b", 2, bytes], ["c", 2, bytes]]);
      assert.equal(all.missing, 0);
      assert.deepEqual(await a.ask("call-all", { room: t.room(), event: "who", args: [], timeout_ms: 60_000 }), { ok: [], missing: 0 });
    },
  },
  {
    name: "call-all: a member that goes is missing, before the timeout",
    async run(t) {
      const room = t.room();
      const [a, b, c] = await joined(t, room, 3);
      a.answer("who", () => ["a"]);
      b.leaveOn("who");
      c.answer("who", () => ["c"]);
      const { ok, missing } = await a.ask("call-all", { room, event: "who", args: [], timeout_ms: 60_000 });
      assert.deepEqual(ok.sort(), [["a"], ["c"]]);
      assert.equal(missing, 1);
    },
  },
  {
    name: "sockets and count: the members on every node",
    async run(t) {
      const room = t.room();
      assert.deepEqual(await (await t.open()).ask("sockets", room), []);
      const clients = await joined(t, room, 3);
      const sids = clients.map((client) => client.sid).sort();
      for (const client of clients) {
        assert.deepEqual(await client.ask("sockets", room), sids);
        assert.equal(await client.ask("count", room), 3);
      }
      await clients[1].ask("leave", room);
      assert.equal(await clients[0].ask("count", room), 2);
      const [gone, last] = [clients[2], clients[0]];
      gone.close();
      await until("the disconnected one is gone", async () => (await last.ask("count", room)) === 1);
      assert.deepEqual(await last.ask("sockets", room), [last.sid]);
    },
  },
  {
    name: "kick: disconnects from this namespace, wherever the client is",
    async run(t) {
      const [a, b, c] = [await t.open(), await t.open(), await t.open()];
      for (const client of [b, c]) {
        assert.equal(await a.ask("kick", client.sid), true);
        assert.equal(await client.reason, "io server disconnect");
      }
      assert.equal(await a.ask("kick", unknownSid), true);
      assert.deepEqual(await a.call("message-with-ack", 1), [1]);
    },
  },
  {
    name: "move: makes another client enter a room, wherever it is",
    async run(t) {
      const room = t.room();
      const [a, b, c] = [await t.open(), await t.open(), await t.open()];
      for (const client of [a, b, c]) {
        assert.equal(await a.ask("move", { sid: client.sid, join: room }), true);
        await until("it is in the room", async () => (await client.ask("rooms")).includes(room));
      }
      assert.equal(await a.ask("move", { sid: unknownSid, join: room }), true);
      assert.equal(await a.ask("count", room), 3);
    },
  },
  {
    name: "save-session, get-session: an object for each socket",
    async run(t) {
      const [a, b] = [await t.open(), await t.open()];
      assert.deepEqual(await a.ask("get-session"), {});
      const session = { user: "Ann", list: [1, { two: null }] };
      assert.equal(await a.ask("save-session", session), true);
      assert.deepEqual(await a.ask("get-session"), session);
      assert.equal(await a.ask("save-session", { other: true }), true);
      assert.deepEqual(await a.ask("get-session"), { other: true });
      assert.deepEqual(await b.ask("get-session"), {});
    },
  },
  {
    name: "env: a header in any case, a query value, null",
    async run(t) {
      const a = await t.open({ headers: { "X-Test-Header": "value of it" }, query: { colour: "grün & blau" } });
      const sent = a.sendsHeaders ? "value of it" : null;
      assert.equal(await a.ask("env", "x-test-header"), sent);
      assert.equal(await a.ask("env", "X-TEST-HEADER"), sent);
      assert.equal(await a.ask("env", "query:colour"), "grün & blau");
      assert.equal(await a.ask("env", "query:EIO"), a.protocol);
      assert.equal(await a.ask("env", "x-absent"), null);
      assert.equal(await a.ask("env", "query:absent"), null);
    },
  },
  {
    name: "transport: what the connection uses now",
    async run(t) {
      const a = await t.open();
      assert.equal(await a.ask("transport"), a.mode === "polling" ? "polling" : "websocket");
    },
  },
  {
    name: "bus-ping: the answers of all other nodes",
    async run(t) {
      const a = await t.open();
      const answers = await a.ask("bus-ping", "x", 2, { y: null });
      assert.equal(answers.length, 1);
      const [id, ...args] = answers[0];
      assert.equal(typeof id, "string");
      assert.deepEqual(args, ["x", 2, { y: null }]);
    },
  },
  {
    name: "sleep: acks without arguments, other events are handled meanwhile",
    async run(t) {
      const a = await t.open();
      const order = [];
      const slow = a.call("sleep", 300).then((answer) => { order.push("slow"); return answer; });
      const quick = a.call("message-with-ack", 1).then(() => order.push("quick"));
      await Promise.all([slow, quick]);
      assert.deepEqual(order, ["quick", "slow"]);
      assert.deepEqual(await slow, []);
    },
  },
  {
    name: "crash: no ack, it is counted, and the socket lives on",
    async run(t) {
      const a = await t.open();
      const before = await t.metric(a, /panic/);
      let acked = false;
      a.request("crash", [], () => { acked = true; });
      assert.deepEqual(await a.call("message-with-ack", "alive"), ["alive"]);
      await until("the panic is counted", async () => (await t.metric(a, /panic/)) > before);
      assert.deepEqual(await a.call("message-with-ack", "still"), ["still"]);
      assert.equal(acked, false);
    },
  },
  {
    name: "left: to `watchers` on every node, with the sid and the reason",
    async run(t) {
      const [watcher, other, goes, kicked] = [await t.open(), await t.open(), await t.open(), await t.open()];
      await watcher.ask("join", "watchers");
      await other.ask("join", "watchers");
      const [goneSid, kickedSid] = [goes.sid, kicked.sid];
      const left = async (client, sid) => {
        for (;;) {
          const [[who, reason]] = await client.next("left");
          if (who === sid) return reason;
        }
      };
      goes.close();
      const reasons = ["client namespace disconnect", ...(goes.hasty ? ["transport close"] : [])];
      for (const client of [watcher, other]) assert.ok(reasons.includes(await left(client, goneSid)));
      await watcher.ask("kick", kickedSid);
      for (const client of [watcher, other]) assert.equal(await left(client, kickedSid), "server namespace disconnect");
    },
  },
];
