// Every row of the acceptance app's table with socket.io-client, in every transport mode, on one node and across two with mixed transports.
import { after, describe, test } from "node:test";

import { modes, open } from "./support/client.mjs";
import { Cluster, metric } from "./support/cluster.mjs";
import { rows } from "./rows.mjs";

const cluster = await Cluster.up();
after(() => cluster.down());
let rooms = 0;

/** Clients of one test: the first uses `mode` on the first node; with `across` the others alternate between the nodes and go through all modes. */
class Placement {
  constructor(mode, namespace, across) {
    Object.assign(this, { mode, namespace, across, clients: [] });
  }
  async open(options = {}) {
    const index = this.clients.length;
    const node = this.across ? index % cluster.nodes.length : 0;
    const mode = this.across ? modes[(modes.indexOf(this.mode) + index) % modes.length] : this.mode;
    const client = await open(cluster.nodes[node], { mode, namespace: this.namespace, ...options });
    this.clients.push(Object.assign(client, { node, mode }));
    return client;
  }
  room() {
    rooms += 1;
    return `room ${rooms}`;
  }
  together(one, other) {
    return one.node === other.node;
  }
  metric(client, name) {
    return metric(cluster.nodes[client.node], name);
  }
  close() {
    for (const client of this.clients) client.close();
  }
}

for (const mode of modes) {
  for (const namespace of ["/", "/custom"]) {
    for (const across of [false, true]) {
      describe(`${mode}, ${namespace}, ${across ? "across nodes" : "one node"}`, () => {
        for (const row of rows) {
          test(row.name, { timeout: 60_000 }, async () => {
            const placement = new Placement(mode, namespace, across);
            try {
              await row.run(placement);
            } finally {
              placement.close();
            }
          });
        }
      });
    }
  }
}
