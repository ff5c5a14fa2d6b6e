// The raw Engine.IO endpoint with stock clients of several languages: each message comes back as it was.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { modes } from "./support/client.mjs";
import { Cluster } from "./support/cluster.mjs";
import { echo } from "./support/engineio.mjs";
import { RemoteProcess } from "./support/remote.mjs";

const cluster = await Cluster.up({ nodes: 1, flags: ["--eio3"], formed: false });
const remotes = { "Java client 1": RemoteProcess.java(1), "Java client 2": RemoteProcess.java(2), "python-engineio 3": RemoteProcess.python("4.6.1"), "python-engineio 4": RemoteProcess.python() };
after(async () => {
  for (const remote of Object.values(remotes)) await remote.close();
  await cluster.down();
});

const every = Buffer.from([...Array(256).keys()]);
const messages = ["text", "☃ and 🐟 and \u2028", every, "4", "b4AQID", Buffer.alloc(100_000, 7), "ä".repeat(100_000), Buffer.from([0x1e]), "last"];
const clients = { "engine.io-client 3": echo(3), "engine.io-client 6": echo(6) };
for (const [name, remote] of Object.entries(remotes)) clients[name] = (...args) => remote.echo(...args);

for (const [name, exchange] of Object.entries(clients)) {
  describe(name, () => {
    for (const mode of modes) {
      test(mode, { timeout: 60_000 }, async () => {
        assert.deepEqual(await exchange(cluster.nodes[0], { mode, path: "/engine.io/", messages }), messages);
      });
    }
  });
}
