// Every row of the acceptance app's table with clients that speak Engine.IO 3, alone and beside today's.
import { after } from "node:test";

import { modes } from "./support/client.mjs";
import { Cluster } from "./support/cluster.mjs";
import { Placement, suite, turn } from "./support/placement.mjs";
import { RemoteProcess } from "./support/remote.mjs";
import { namespaceRows } from "./namespace-rows.mjs";
import { rows } from "./rows.mjs";

const cluster = await Cluster.up({ flags: ["--eio3"] });
const [java, python] = [RemoteProcess.java(1), RemoteProcess.python("4.6.1")];
after(async () => {
  for (const remote of [java, python]) await remote.close();
  await cluster.down();
});

const clients = {
  "socket.io-client 1.7": { version: 1, kind: { protocol: "3" } },
  "socket.io-client 2": { version: 2, kind: { protocol: "3" } },
  "Java client 1": { open: java.open, kind: { protocol: "3", textRefusals: true } },
  "python-socketio 4": { open: python.open, kind: { protocol: "3" } },
};
for (const [name, library] of Object.entries(clients)) {
  for (const mode of modes) {
    suite(`${name}, ${mode}, one node`, [...rows, ...namespaceRows], () => new Placement(cluster, "/", () => ({ url: cluster.nodes[0], node: 0, mode, ...library })));
    suite(`${name} and socket.io-client 4, ${mode} first, then the others, across nodes`, rows, () =>
      new Placement(cluster, "/custom", (index) => ({ url: cluster.nodes[index % 2], node: index % 2, mode: turn(mode, index), ...(index % 3 === 1 ? {} : library) })),
    );
  }
}
