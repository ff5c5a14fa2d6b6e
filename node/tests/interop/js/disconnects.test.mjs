// Why a socket went, as its own server and the other node tell it: the names of the JavaScript server's documentation.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { modes, open } from "./support/client.mjs";
import { Cluster } from "./support/cluster.mjs";
import { RawPolling, RawWebSocket } from "./support/raw.mjs";
import { within } from "./support/wait.mjs";

const cluster = await Cluster.up({ flags: ["--ping-interval-ms", "400", "--ping-timeout-ms", "300"] });
after(() => cluster.down());

/** The reason that watchers on both nodes are told for `sid`. */
async function reasonOf(watchers, sid) {
  const reasons = [];
  for (const watcher of watchers) {
    for (;;) {
      const [[who, reason]] = await watcher.next("left");
      if (who !== sid) continue;
      reasons.push(reason);
      break;
    }
  }
  assert.equal(reasons[0], reasons[1], "both nodes tell the same reason");
  return reasons[0];
}

async function watch(namespace = "/") {
  const watchers = [];
  for (const url of cluster.nodes) {
    const watcher = await open(url, { mode: "websocket", namespace });
    await watcher.ask("join", "watchers");
    watchers.push(watcher);
  }
  return watchers;
}

for (const namespace of ["/", "/custom"]) {
  for (const mode of modes) {
    describe(`${mode}, ${namespace}`, () => {
      test("client namespace disconnect", async () => {
        const watchers = await watch(namespace);
        const client = await open(cluster.nodes[0], { mode, namespace });
        const { sid } = client;
        client.close();
        assert.equal(await reasonOf(watchers, sid), "client namespace disconnect");
        for (const watcher of watchers) watcher.close();
      });

      test("server namespace disconnect, from this node and from the other", async () => {
        const watchers = await watch(namespace);
        for (const watcher of watchers) {
          const client = await open(cluster.nodes[0], { mode, namespace });
          const { sid } = client;
          assert.equal(await watcher.ask("kick", sid), true);
          assert.equal(await client.reason, "io server disconnect");
          assert.equal(await reasonOf(watchers, sid), "server namespace disconnect");
        }
        for (const watcher of watchers) watcher.close();
      });

      test("transport close: the client closes its connection, or loses it", async () => {
        const watchers = await watch(namespace);
        const client = await open(cluster.nodes[0], { mode, namespace });
        const { sid } = client;
        client.socket.io.engine.close();
        assert.equal(await reasonOf(watchers, sid), "transport close");
        if (mode !== "polling") {
          const lost = await open(cluster.nodes[0], { mode, namespace });
          const lostSid = lost.sid;
          lost.socket.io.engine.transport.ws.terminate();
          assert.equal(await reasonOf(watchers, lostSid), "transport close");
        }
        for (const watcher of watchers) watcher.close();
      });
    });
  }
}

describe("clients that misbehave", () => {
  const cases = [
    ["ping timeout, WebSocket", () => RawWebSocket.open(cluster.nodes[0], { pongs: false }), () => {}, "ping timeout"],
    ["ping timeout, polling", () => RawPolling.open(cluster.nodes[0]), () => {}, "ping timeout"],
    ["transport error: not a WebSocket frame", () => RawWebSocket.open(cluster.nodes[0]), (raw) => raw.bytes([0xff, 0xff, 0xff]), "transport error"],
    ["transport error: an unmasked frame", () => RawWebSocket.open(cluster.nodes[0]), (raw) => raw.bytes([0x81, 0x01, 0x33]), "transport error"],
    ["parse error: an unknown Engine.IO packet, WebSocket", () => RawWebSocket.open(cluster.nodes[0]), (raw) => raw.send("x"), "parse error"],
    ["parse error: an unknown Engine.IO packet, polling", () => RawPolling.open(cluster.nodes[0]), (raw) => raw.post("x"), "parse error"],
    ["forced close: not a Socket.IO packet, WebSocket", () => RawWebSocket.open(cluster.nodes[0]), (raw) => raw.send("4{bad"), "forced close"],
    ["forced close: not a Socket.IO packet, polling", () => RawPolling.open(cluster.nodes[0]), (raw) => raw.post("42[bad"), "forced close"],
    ["transport close: an Engine.IO close packet by POST", () => RawPolling.open(cluster.nodes[0]), (raw) => raw.post("1"), "transport close"],
  ];
  for (const [name, connect, misbehave, reason] of cases) {
    test(name, async () => {
      const watchers = await watch();
      const raw = await connect();
      await misbehave(raw);
      assert.equal(await reasonOf(watchers, raw.sid), reason);
      if (raw.closed) await within("the connection is closed", raw.closed);
      else assert.equal((await raw.get()).status, 400);
      for (const watcher of watchers) {
        assert.deepEqual(await watcher.call("message-with-ack", "unharmed"), ["unharmed"]);
        watcher.close();
      }
    });
  }
});

test("server shutting down: told to the other node; the clients see a lost transport, not a disconnect", async () => {
  const stays = await watch();
  const clients = [];
  for (const mode of modes) clients.push(await open(cluster.nodes[1], { mode }));
  const sids = new Set(clients.map((client) => client.sid));
  await cluster.stop("node2");
  for (const client of clients) assert.ok(["transport close", "transport error"].includes(await client.reason), await client.reason);
  while (sids.size > 0) {
    const [[sid, reason]] = await stays[0].next("left");
    if (sids.delete(sid)) assert.equal(reason, "server shutting down");
  }
  for (const client of stays) client.close();
});
