// Where the clients of one test go, and over which transport.
import { describe, test } from "node:test";

import { modes, open } from "./client.mjs";
import { metric } from "./cluster.mjs";

let rooms = 0;

export class Placement {
  /** `place(index)` says for the client of that number: { url, node?, kind?, open?, ...options of open }. */
  constructor(cluster, namespace, place) {
    Object.assign(this, { cluster, namespace, place, clients: [] });
  }
  /** What is special about the next client. */
  get kind() {
    return this.place(this.clients.length).kind ?? {};
  }
  async open(options = {}) {
    const { url, node, kind, open: opened = open, ...placed } = this.place(this.clients.length);
    const client = await opened(url, { namespace: this.namespace, ...this.cluster.client, ...placed, ...options });
    this.clients.push(client);
    client.mode = placed.mode;
    client.node = node ?? (await nodeOf(this.cluster, client));
    return client;
  }
  /** A room that no other test uses. */
  room() {
    rooms += 1;
    return `room ${rooms}`;
  }
  together(one, other) {
    return one.node === other.node;
  }
  metric(client, name) {
    return metric(this.cluster.nodes[client.node], name);
  }
  close() {
    for (const client of this.clients) client.close();
  }
}

/** The index of the node that a client is connected to, of a cluster of two: each knows the other one's id. */
export async function nodeOf(cluster, client) {
  cluster.others ??= await Promise.all(
    cluster.nodes.map(async (url) => {
      const direct = await open(url, { mode: "websocket", ...cluster.client });
      const [[id]] = await direct.ask("bus-ping");
      direct.close();
      return id;
    }),
  );
  const [[other]] = await client.ask("bus-ping");
  return cluster.others.indexOf(other);
}

/** The mode that comes `steps` after `mode`, round and round. */
export const turn = (mode, steps) => modes[(modes.indexOf(mode) + steps) % modes.length];

/** Declares a test for every row. */
export function suite(name, rows, placement) {
  describe(name, () => {
    for (const row of rows) {
      test(row.name, { timeout: 60_000 }, async () => {
        const placed = placement();
        try {
          await row.run(placed);
        } finally {
          placed.close();
        }
      });
    }
  });
}
