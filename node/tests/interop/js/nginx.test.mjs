// Through nginx with sticky sessions: clients of several addresses, with and without cookies, reach both nodes and stay where they are.
import assert from "node:assert/strict";
import http from "node:http";
import { after, describe, test } from "node:test";

import { modes, open } from "./support/client.mjs";
import { Cluster } from "./support/cluster.mjs";
import { Placement, nodeOf, suite, turn } from "./support/placement.mjs";
import { rows } from "./rows.mjs";

const cluster = await Cluster.up({ nginx: true });
after(() => cluster.down());

const addresses = [...Array(16).keys()].map((n) => `127.0.${n}.${n + 2}`);

/** One request from one address: { status, headers, body }. */
function request(path, { address = "127.0.0.1", method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(cluster.nginx);
    const sent = http.request({ hostname, port, path, method, headers, localAddress: address, agent: false }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks).toString() }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

for (const mode of modes) {
  suite(`${mode} first, then the others, without cookies`, rows, () =>
    new Placement(cluster, "/", (index) => ({ url: cluster.nginx, mode: turn(mode, index), address: addresses[index % addresses.length] })),
  );
  suite(`${mode}, one address, with cookies`, rows, () => new Placement(cluster, "/", () => ({ url: cluster.nginx, mode, withCredentials: true })));
}

describe("stickiness", () => {
  test("addresses spread over both nodes, and each stays on its own", async () => {
    const seen = new Set();
    for (const address of addresses) {
      const nodes = [];
      for (const mode of modes) {
        const client = await open(cluster.nginx, { mode, address });
        nodes.push(await nodeOf(cluster, client));
        assert.equal(await client.ask("env", "x-forwarded-for"), address);
        assert.equal(await client.ask("env", "x-forwarded-proto"), "http");
        assert.equal(await client.ask("env", "host"), new URL(cluster.nginx).host);
        client.close();
      }
      assert.equal(new Set(nodes).size, 1, `${address} stays on one node`);
      seen.add(nodes[0]);
    }
    assert.deepEqual([...seen].sort(), [0, 1]);
  });

  test("with the cookie a client whose address changes stays on its node", async () => {
    for (const address of addresses) {
      const opened = await request("/socket.io/?EIO=4&transport=polling", { address });
      const { sid } = JSON.parse(opened.body.slice(1));
      const cookie = opened.headers["set-cookie"].find((one) => one.startsWith("sockeye_node="));
      assert.match(cookie, /HttpOnly/);
      assert.match(cookie, /SameSite=/);
      const moved = { headers: { cookie: cookie.split(";")[0] }, address: "127.9.9.9" };
      const path = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
      assert.equal((await request(path, { ...moved, method: "POST", body: "40" })).body, "ok");
      const answer = await request(path, moved);
      assert.equal(answer.status, 200);
      assert.match(answer.body, /^40\{/);
      assert.equal(answer.headers["set-cookie"], undefined);
    }
  });

  test("a cookie that nginx did not set changes nothing", async () => {
    const address = addresses[3];
    for (const value of ["", "x".repeat(3000), "../../etc", "%0d%0a"]) {
      const headers = { cookie: `sockeye_node=${value}` };
      const opened = await request("/socket.io/?EIO=4&transport=polling", { address, headers });
      const { sid } = JSON.parse(opened.body.slice(1));
      assert.equal((await request(`/socket.io/?EIO=4&transport=polling&sid=${sid}`, { address, method: "POST", body: "40" })).body, "ok");
    }
  });
});

describe("what nginx does not pass on", () => {
  for (const path of ["/metrics", "/metrics/", "//metrics", "/METRICS", "/%6detrics", "/x/../metrics", "/metrics?x=1", "/healthz", "/readyz", "/admin", "/admin/x"]) {
    test(path, async () => assert.equal((await request(path)).status, 404));
  }
  test("a body above the limit", async () => {
    const opened = await request("/socket.io/?EIO=4&transport=polling");
    const { sid } = JSON.parse(opened.body.slice(1));
    const answer = await request(`/socket.io/?EIO=4&transport=polling&sid=${sid}`, { method: "POST", body: "4".repeat(1_100_000) });
    assert.equal(answer.status, 413);
  });
});

test("when a node goes, its clients reconnect to the other one by themselves", async () => {
  const clients = [];
  for (const [index, address] of addresses.entries()) {
    const client = await open(cluster.nginx, { mode: turn("polling", index), address, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 500 });
    clients.push(Object.assign(client, { node: await nodeOf(cluster, client) }));
  }
  const moving = clients.filter((client) => client.node === 1);
  assert.notEqual(moving.length, 0);
  const reconnected = moving.map((client) => new Promise((resolve) => client.socket.once("disconnect", () => client.socket.once("connect", resolve))));
  await cluster.stop("node2");
  await Promise.all(reconnected);
  for (const client of clients) {
    assert.deepEqual(await client.call("message-with-ack", "here"), ["here"]);
    client.close();
  }
});
