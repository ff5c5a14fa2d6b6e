// Every row of the acceptance app's table with socket.io-client and socket.io-msgpack-parser, and what only that parser can do.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import parser from "socket.io-msgpack-parser";

import { modes, open, prepare, refusal } from "./support/client.mjs";
import { Cluster, metric } from "./support/cluster.mjs";
import { Placement, suite, turn } from "./support/placement.mjs";
import { until, within } from "./support/wait.mjs";
import { rows } from "./rows.mjs";

const cluster = await Cluster.up({ flags: ["--parser", "msgpack"], client: { parser } });
after(() => cluster.down());

for (const mode of modes) {
  suite(`msgpack, ${mode}, one node`, rows, () => new Placement(cluster, "/", () => ({ url: cluster.nodes[0], node: 0, mode })));
  suite(`msgpack, ${mode} first, then the others, across nodes`, rows, () =>
    new Placement(cluster, "/custom", (index) => ({ url: cluster.nodes[index % 2], node: index % 2, mode: turn(mode, index) })),
  );
}

describe("msgpack", () => {
  for (const mode of modes) {
    test(`${mode}: dates arrive as text, and every kind of buffer as a buffer`, async () => {
      const client = await open(cluster.nodes[0], { mode, parser });
      const bytes = new Uint8Array([1, 2, 255]);
      const sent = [new Date(1700000000123), [new Date(0)], bytes, bytes.buffer, { none: undefined, buffers: [Buffer.from(bytes)] }, 2 ** 53 - 1, -(2 ** 31) - 1, NaN];
      const received = ["2023-11-14T22:13:20.123Z", ["1970-01-01T00:00:00.000Z"], Buffer.from(bytes), Buffer.from(bytes), { buffers: [Buffer.from(bytes)] }, 2 ** 53 - 1, -(2 ** 31) - 1, null];
      assert.deepEqual(await client.call("message-with-ack", ...sent), received);
      client.close();
    });

    test(`${mode}: more buffers than a packet may have attachments`, async () => {
      const client = await open(cluster.nodes[1], { mode, parser });
      const buffers = [...Array(100).keys()].map((n) => Buffer.alloc(n, n));
      assert.deepEqual(await client.call("message-with-ack", buffers, { _placeholder: false }), [buffers, { _placeholder: false }]);
      client.close();
    });

    test(`${mode}: a namespace says why it refuses, and what the server ends stays ended`, async () => {
      const options = { mode, parser, namespace: "/auth" };
      const refused = await refusal(cluster.nodes[0], { ...options, auth: { token: "bad" } });
      assert.deepEqual([refused.message, refused.data], ["not authorized", { code: 401 }]);
      assert.equal((await refusal(cluster.nodes[0], { mode, parser, namespace: "/nowhere" })).message, "Invalid namespace");
      const [one, other] = [await open(cluster.nodes[0], { mode, parser }), await open(cluster.nodes[1], { mode, parser })];
      assert.equal(await one.ask("kick", other.sid), true);
      assert.equal(await within("the end", other.reason), "io server disconnect");
      one.close();
    });
  }

  test("what is no packet ends its connection, is counted, and harms nobody else", async () => {
    const url = cluster.nodes[0];
    const witness = await open(url, { mode: "websocket", parser });
    const before = await metric(url, "sockeye_decode_errors_total");
    const encode = (packet) => new parser.Encoder().encode(packet)[0];
    const wrong = [
      encode({ type: 2, data: ["disconnecting"], nsp: "/" }),
      encode({ type: 2, data: ["newListener", 1], nsp: "/", id: 1 }),
      encode({ type: 5, data: ["event"], nsp: "/" }),
      encode({ type: 2, data: [{ _placeholder: true, num: 0 }], nsp: "/" }),
      encode({ type: 2, data: ["message", { _placeholder: true, num: 0 }, Buffer.from("x")], nsp: "/" }),
      Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
      Buffer.concat([encode({ type: 2, data: ["message"], nsp: "/" }), Buffer.from([0])]),
      Buffer.alloc(100_000, 0x91),
      "2[\"message\"]",
    ];
    for (const message of wrong) {
      const client = await open(url, { mode: "websocket", parser });
      client.socket.io.engine.write(message);
      await within(`the end after ${message.toString("hex").slice(0, 40)}`, client.reason);
    }
    await until("each is counted", async () => (await metric(url, "sockeye_decode_errors_total")) - before === wrong.length);
    assert.deepEqual(await witness.call("message-with-ack", "still here"), ["still here"]);
    witness.close();
  });

  test("a client with the default parser is not let in, and does not wait for ever", async () => {
    const socket = prepare(cluster.nodes[0], { mode: "websocket" });
    const closed = new Promise((resolve) => socket.io.once("close", resolve));
    socket.connect();
    await within("the end of the connection", closed);
    assert.equal(socket.connected, false);
    socket.disconnect();
  });
});
