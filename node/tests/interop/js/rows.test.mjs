// Every row of the acceptance app's table with socket.io-client, in every transport mode, on one node and across two with mixed transports.
import { after } from "node:test";

import { modes } from "./support/client.mjs";
import { Cluster } from "./support/cluster.mjs";
import { Placement, suite, turn } from "./support/placement.mjs";
import { rows } from "./rows.mjs";

const cluster = await Cluster.up();
after(() => cluster.down());

for (const mode of modes) {
  for (const namespace of ["/", "/custom"]) {
    suite(`${mode}, ${namespace}, one node`, rows, () => new Placement(cluster, namespace, () => ({ url: cluster.nodes[0], node: 0, mode })));
    suite(`${mode} first, then the others, ${namespace}, across nodes`, rows, () =>
      new Placement(cluster, namespace, (index) => ({ url: cluster.nodes[index % 2], node: index % 2, mode: turn(mode, index) })),
    );
  }
}
