// Every row of the acceptance app's table with older versions of socket.io-client that speak Engine.IO 4, beside the newest one.
import { after } from "node:test";

import { modes } from "./support/client.mjs";
import { Cluster } from "./support/cluster.mjs";
import { Placement, suite, turn } from "./support/placement.mjs";
import { namespaceRows } from "./namespace-rows.mjs";
import { rows } from "./rows.mjs";

const cluster = await Cluster.up();
after(() => cluster.down());

for (const mode of modes) {
  suite(`version 3, ${mode}, one node`, [...rows, ...namespaceRows], () => new Placement(cluster, "/", () => ({ url: cluster.nodes[0], node: 0, mode, version: 3 })));
  suite(`versions 3 and 4, ${mode} first, then the others, across nodes`, rows, () =>
    new Placement(cluster, "/custom", (index) => ({ url: cluster.nodes[index % 2], node: index % 2, mode: turn(mode, index), version: index % 3 === 1 ? 4 : 3 })),
  );
}
