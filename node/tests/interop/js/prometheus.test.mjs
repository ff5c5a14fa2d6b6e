// A real Prometheus, with the configuration and the alert rules that are shipped, scrapes two nodes of the `sockeye` binary.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, test } from "node:test";

import { open } from "./support/client.mjs";
import { Cluster, sockeye } from "./support/cluster.mjs";
import { until } from "./support/wait.mjs";

const cluster = await Cluster.up({ prometheus: true, binary: sockeye(), admin: true });
after(() => cluster.down());

async function query(expression) {
  const answer = await fetch(`${cluster.prometheus}/api/v1/query?query=${encodeURIComponent(expression)}`);
  const { status, data } = await answer.json();
  assert.equal(status, "success");
  return data.result.map(({ metric, value }) => [metric.instance, value[1]]).sort();
}
const instances = cluster.admin.map((url) => new URL(url).host).sort();

test("both nodes are up, and tell what they have", async () => {
  const client = await open(cluster.nodes[0], { mode: "websocket" });
  const both = instances.map((instance) => [instance, "1"]);
  await until("both nodes are scraped", async () => JSON.stringify(await query('up{job="sockeye"}')) === JSON.stringify(both), 60_000);
  await until("the bus is connected on both", async () => JSON.stringify(await query("sockeye_bus_connected")) === JSON.stringify(both), 60_000);
  await until("each knows of two nodes", async () => JSON.stringify(await query("sockeye_cluster_nodes")) === JSON.stringify(instances.map((instance) => [instance, "2"])), 60_000);
  await until("the one connection is seen", async () => (await query("sum(sockeye_connections) == 1")).length === 1, 60_000);
  client.close();
});

test("promtool has nothing to say about the metrics", async () => {
  for (const url of cluster.admin) {
    const answer = await fetch(`${url}/metrics`);
    assert.match(answer.headers.get("content-type"), /^text\/plain; *version=0\.0\.4/);
    const checked = spawnSync("promtool", ["check", "metrics"], { input: await answer.text(), encoding: "utf8" });
    assert.deepEqual([checked.status, checked.stdout, checked.stderr], [0, "", ""]);
  }
});

test("every metric that the alert rules name exists", async () => {
  const answer = await (await fetch(`${cluster.prometheus}/api/v1/rules`)).json();
  const rules = answer.data.groups.flatMap((group) => group.rules);
  assert.notEqual(rules.length, 0);
  const named = new Set(rules.flatMap((rule) => rule.query.match(/\b(?:sockeye|process)_\w+/g) ?? []));
  const known = async () => new Set([...(await (await fetch(`${cluster.admin[0]}/metrics`)).text()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  // A counter with labels is there once it has counted something.
  (await open(cluster.nodes[0], { mode: "upgrade" })).close();
  await until("the upgrade is counted", async () => (await known()).has("sockeye_upgrades_total"));
  const there = await known();
  assert.deepEqual([...named].filter((name) => !there.has(name)), []);
});

test("no alert fires on a healthy cluster", async () => {
  await until("the rules were evaluated", async () => {
    const { data } = await (await fetch(`${cluster.prometheus}/api/v1/rules`)).json();
    return data.groups.every((group) => group.rules.every((rule) => rule.health === "ok"));
  }, 60_000);
  const { data } = await (await fetch(`${cluster.prometheus}/api/v1/alerts`)).json();
  assert.deepEqual(data.alerts.filter((alert) => alert.state === "firing"), []);
});
