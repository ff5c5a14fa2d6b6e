// What anybody with access to the broker can publish: it is counted and skipped, and everything else goes on.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { open } from "./support/client.mjs";
import { Cluster, metric } from "./support/cluster.mjs";
import { publish } from "./support/redis.mjs";
import { until } from "./support/wait.mjs";

const cluster = await Cluster.up();
after(() => cluster.down());

const emit = (fields) => JSON.stringify({ method: "emit", event: "junk", data: ["x"], namespace: "/", room: null, skip_sid: null, callback: null, host_id: "f".repeat(32), ...fields });
// pickle.dumps({"method": "emit", "event": "junk", "data": "x", "namespace": "/"}), protocol 2 and 4.
const pickles = [
  "80027d71002858060000006d6574686f6471015804000000656d6974710258050000006576656e74710358040000006a756e6b71045804000000646174617105580100000078710658090000006e616d657370616365710758010000002f7108752e",
  "8004953f000000000000007d94288c066d6574686f64948c04656d6974948c056576656e74948c046a756e6b948c0464617461948c0178948c096e616d657370616365948c012f94752e",
].map((hex) => Buffer.from(hex, "hex"));

const python = {
  "not JSON": ["{", "", " ", "emit", "\0", Buffer.from([0xff, 0xfe, 0x00]), '{"method":"emit"', emit().slice(0, -1), `${emit()}${emit()}`],
  "not an object": ["5", "true", "null", '"method"', '["method"]', "[1]", "[]", "1e999", "-"],
  "pickle": pickles,
  "no method, or one that nobody knows": ["{}", '{"method":null}', '{"method":5}', '{"method":"no such method"}', '{"method":["emit"]}'],
  "wrong types": [
    emit({ event: 5 }), emit({ event: null }), emit({ event: {} }), emit({ namespace: 5 }), emit({ namespace: {} }), emit({ room: {} }), emit({ room: [{}] }), emit({ room: [[["a"]]] }), emit({ room: true }),
    emit({ skip_sid: 7 }), emit({ skip_sid: {} }), emit({ skip_sid: [1] }), emit({ binary: true, data: "x" }), emit({ binary: true, data: [] }), emit({ binary: true, data: [[{ _placeholder: true, num: 0 }]] }),
    emit({ binary: true, data: [[{ _placeholder: true, num: -1 }], "AAE="] }), emit({ binary: true, data: [[{ _placeholder: true, num: 1.5 }], "AAE="] }), emit({ binary: true, data: [[{ _placeholder: true, num: 0 }], "not base64!"] }),
    emit({ binary: true, data: [[{ _placeholder: true, num: 9 }], 5] }), emit({ callback: { a: 1 } }), emit({ callback: ["a", 5, "b"] }),
    '{"method":"disconnect","sid":5,"namespace":"/"}', '{"method":"disconnect"}', '{"method":"enter_room","sid":{},"room":1}', '{"method":"close_room","room":{}}', '{"method":"leave_room","room":"r"}',
    `{"method":"callback","host_id":"x","sid":"y","namespace":"/","id":"z","args":5}`,
  ],
  "missing fields": ['{"method":"emit"}', '{"method":"emit","event":"junk","namespace":"/"}', '{"method":"emit","data":["x"],"namespace":"/"}'],
  "10 MB": [Buffer.alloc(10_000_000, 0x41), emit({ data: ["x".repeat(10_000_000)] }), `${"[".repeat(5_000_000)}${"]".repeat(5_000_000)}`],
  "deep nesting": [emit().replace('["x"]', `${"[".repeat(100_000)}${"]".repeat(100_000)}`), emit().replace('["x"]', '{"a":'.repeat(50_000) + "1" + "}".repeat(50_000))],
};
const header = (version, sequence, ...rest) => { const bytes = Buffer.alloc(9); bytes[0] = version; bytes.writeBigUInt64BE(BigInt(sequence), 1); return Buffer.concat([bytes, Buffer.from(rest)]); };
const native = {
  "empty and truncated": [Buffer.alloc(0), header(1, 1).subarray(0, 1), header(1, 1).subarray(0, 5), header(1, 1), header(1, 1, 0x93), header(1, 1, 0xdd, 0xff, 0xff, 0xff, 0xff)],
  "another version": [header(0, 1, 0xc0), header(2, 1, 0xc0), header(255, 1, 0xc0)],
  "text and pickle": ["hello", emit(), ...pickles],
  "wrong msgpack": [header(1, 1, 0xc0), header(1, 1, 0x01), header(1, 1, 0xc1), header(1, 1, 0x92, 0xc0, 0xc0), header(1, 1, 0xc6, 0xff, 0xff, 0xff, 0xff), header(1, 1, ...Array(10_000).fill(0x91))],
  "10 MB": [Buffer.concat([header(1, 1), Buffer.alloc(10_000_000, 0x91)]), Buffer.alloc(10_000_000, 1)],
};

const errors = (url) => metric(url, "sockeye_bus_decode_errors_total");

async function survives(channel, payloads, { everyOne }) {
  const before = await Promise.all(cluster.nodes.map(errors));
  const clients = await Promise.all(cluster.nodes.map((url) => open(url, { mode: "websocket" })));
  const heard = await publish(cluster.redis, channel, ...payloads);
  assert.ok(heard.every((n) => n >= cluster.nodes.length), `both nodes listen on ${channel}: ${heard}`);
  for (const [index, url] of cluster.nodes.entries()) {
    const expected = everyOne ? payloads.length : 1;
    await until(`${expected} counted on node ${index + 1}`, async () => (await errors(url)) - before[index] >= expected);
  }
  // The bus works both ways afterwards, and nobody lost anything that was not junk.
  for (const client of clients) {
    await client.ask("emit-to", { event: "after", args: [client.sid] });
    for (const receiver of clients) assert.deepEqual(await receiver.next("after"), [client.sid]);
    assert.equal((await client.ask("bus-ping")).length, 1);
  }
  for (const client of clients) client.close();
}

describe("on the channel of the Python dialect", () => {
  for (const [name, payloads] of Object.entries(python)) test(name, { timeout: 60_000 }, () => survives("socketio", payloads, { everyOne: ["not JSON", "not an object", "pickle"].includes(name) }));

  test("nothing that pickle says is delivered", async () => {
    const client = await open(cluster.nodes[0], { mode: "websocket" });
    await publish(cluster.redis, "socketio", ...pickles, emit({ event: "good", data: ["afterwards"] }));
    assert.deepEqual(await client.next("good"), ["afterwards"]);
    assert.deepEqual(client.pending("junk"), []);
    client.close();
  });
});

describe("on the channel of the nodes", () => {
  for (const [name, payloads] of Object.entries(native)) test(name, { timeout: 60_000 }, () => survives("socketio:sockeye", payloads, { everyOne: true }));
});
