// The namespaces beside the table: catch-all, refusals, several over one connection.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { Client, modes, open, prepare, refusal } from "./support/client.mjs";
import { Cluster } from "./support/cluster.mjs";
import { Placement, suite } from "./support/placement.mjs";
import { namespaceRows } from "./namespace-rows.mjs";

const cluster = await Cluster.up();
after(() => cluster.down());

for (const mode of modes) {
  for (const [index, url] of cluster.nodes.entries()) {
    suite(`${mode}, node ${index + 1}`, namespaceRows, () => new Placement(cluster, "/", () => ({ url, node: index, mode })));
    describe(`${mode}, node ${index + 1}, more`, () => {
      for (const auth of [undefined, {}, { token: "bad" }, { token: 5 }, { token: null }, { other: "good" }]) {
        test(`/auth: ${JSON.stringify(auth)} is refused with message and data`, async () => {
          const error = await refusal(url, { mode, namespace: "/auth", auth });
          assert.equal(error.message, "not authorized");
          assert.deepEqual(error.data, { code: 401 });
        });
      }

      test("several namespaces share a connection and nothing else", async () => {
        const root = await open(url, { mode });
        const join = async (namespace, auth) => {
          const socket = root.socket.io.socket(namespace, { auth });
          const client = new Client(socket);
          await new Promise((resolve, reject) => {
            socket.once("connect", resolve);
            socket.once("connect_error", reject);
            socket.connect();
          });
          return client;
        };
        const [custom, wild] = [await join("/custom", { mine: true }), await join("/wild")];
        assert.deepEqual(await custom.next("auth"), [{ mine: true }]);
        assert.equal(new Set([root.sid, custom.sid, wild.sid]).size, 3);
        await root.ask("join", "same name");
        assert.equal(await custom.ask("count", "same name"), 0);
        await custom.ask("join", "same name");
        await custom.ask("emit-to", { to: ["same name"], event: "news", args: ["custom"] });
        assert.deepEqual(await custom.next("news"), ["custom"]);
        await root.ask("rooms");
        assert.deepEqual(root.pending("news"), []);
        await assert.rejects(join("/gone"), { message: "Invalid namespace" });
        await assert.rejects(join("/auth", {}), { message: "not authorized" });
        custom.close();
        assert.deepEqual(await root.call("message-with-ack", 1), [1]);
        assert.deepEqual(await wild.call("x", 2), [["x", 2]]);
        const again = await join("/custom");
        assert.deepEqual(await again.ask("rooms"), []);
        root.close();
        assert.deepEqual(await wild.call("x", 3), [["x", 3]]);
        for (const client of [again, wild]) client.close();
      });

      test("a query string in the namespace is not part of its name", async () => {
        const client = await open(url, { mode, namespace: "/custom?token=1" });
        assert.deepEqual(await client.call("message-with-ack", 1), [1]);
        client.close();
      });
    });
  }
}

test("a client that was refused can try again on the same connection", async () => {
  const socket = prepare(cluster.nodes[0], { namespace: "/auth", auth: { token: "bad" } });
  await new Promise((resolve) => { socket.once("connect_error", resolve); socket.connect(); });
  socket.auth = { token: "good" };
  await new Promise((resolve, reject) => { socket.once("connect", resolve); socket.once("connect_error", reject); socket.connect(); });
  socket.disconnect();
});
