// Every row of the acceptance app's table with the Java client, alone and beside socket.io-client.
import { after } from "node:test";

import { modes } from "./support/client.mjs";
import { Cluster } from "./support/cluster.mjs";
import { Placement, suite, turn } from "./support/placement.mjs";
import { RemoteProcess } from "./support/remote.mjs";
import { namespaceRows } from "./namespace-rows.mjs";
import { rows } from "./rows.mjs";

const cluster = await Cluster.up();
const java = RemoteProcess.java(2);
after(async () => {
  await java.close();
  await cluster.down();
});

for (const mode of modes) {
  suite(`Java client 2, ${mode}, one node`, [...rows, ...namespaceRows], () => new Placement(cluster, "/", () => ({ url: cluster.nodes[0], node: 0, mode, open: java.open })));
  suite(`Java client 2 and socket.io-client 4, ${mode} first, then the others, across nodes`, rows, () =>
    new Placement(cluster, "/custom", (index) => ({ url: cluster.nodes[index % 2], node: index % 2, mode: turn(mode, index), open: index % 3 === 1 ? undefined : java.open })),
  );
}
