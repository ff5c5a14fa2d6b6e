// The process from outside: how it starts and ends, health, metrics, and its flags.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import http from "node:http";
import { after, describe, test } from "node:test";
import WebSocket from "ws";

import { modes, open } from "./support/client.mjs";
import { Cluster, acceptance, metric, status } from "./support/cluster.mjs";
import { RawPolling, RawWebSocket } from "./support/raw.mjs";
import { until, within } from "./support/wait.mjs";

const cluster = await Cluster.up();
const running = new Set();
after(async () => {
  for (const child of running) child.kill("SIGKILL");
  await cluster.down();
});

/** Starts one app on a free port of its own choice. */
async function start(...flags) {
  const child = spawn(acceptance(), ["--listen", "127.0.0.1:0", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  running.add(child);
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => { running.delete(child); resolve(code ?? signal); }));
  let output = "";
  const listening = new Promise((resolve, reject) => {
    child.stdout.on("data", (chunk) => { output += chunk; if (output.includes("\n")) resolve(output); });
    exited.then((how) => reject(new Error(`it ended with ${how} before it listened`)));
  });
  listening.catch(() => {});
  const [line] = (await within("the line `listening on`", listening)).split("\n", 1);
  const match = /^listening on (127\.0\.0\.1:(\d+))$/.exec(line);
  assert.ok(match, `the first line is ${JSON.stringify(line)}`);
  assert.notEqual(match[2], "0");
  return { url: `http://${match[1]}`, child, stop: () => { child.kill("SIGTERM"); return within("it ends", exited); } };
}

describe("starting and ending", () => {
  test("the first line names the real port; without a bus URL it stands alone; SIGTERM ends it with status 0", async () => {
    const app = await start();
    const clients = [];
    for (const mode of modes) clients.push(await open(app.url, { mode }));
    assert.equal(await status(app.url, "/healthz"), 200);
    assert.deepEqual(await clients[0].ask("bus-ping"), []);
    await clients[0].ask("join", "r");
    await clients[1].ask("emit-to", { to: ["r"], event: "news", args: [1] });
    assert.deepEqual(await clients[0].next("news"), [1]);
    assert.equal(await app.stop(), 0);
    for (const client of clients) assert.ok(["transport close", "transport error"].includes(await client.reason));
  });

  test("SIGTERM sends no DISCONNECT packet, over WebSocket and polling", async () => {
    const app = await start("--bus", cluster.redis, "--channel", "shutdown");
    const socket = await RawWebSocket.open(app.url);
    const polling = await RawPolling.open(app.url);
    const rest = (async () => {
      for (;;) {
        const answer = await polling.get().catch(() => undefined);
        if (answer?.status !== 200) return [];
        const packets = (await answer.text()).split("\x1e");
        if (packets.some((packet) => packet !== "2")) return packets;
      }
    })();
    assert.equal(await app.stop(), 0);
    await within("the WebSocket is closed", socket.closed);
    assert.ok(!socket.packets.includes("41"));
    assert.ok(!(await rest).includes("41"));
  });

  test("it starts while the bus is away, and joins when that comes", async () => {
    const other = await Cluster.up({ nodes: 2 });
    try {
      await other.stop("redis");
      await other.stop("node1");
      await other.start("node1");
      const [url] = other.nodes;
      assert.equal(await status(url, "/healthz"), 200);
      assert.equal(await status(url, "/readyz"), 503);
      const client = await open(url, { mode: "websocket" });
      assert.deepEqual(await client.call("message-with-ack", "local"), ["local"]);
      await other.start("redis");
      for (const node of other.nodes) await until("it is ready", async () => (await status(node, "/readyz")) === 200);
      await other.formed();
      client.close();
    } finally {
      await other.down();
    }
  });

  test("a bad flag and a bad bus URL end it with a message, before it listens", () => {
    const notThere = [["--bridge", "js"], ["--recovery-ms", "1000"], ["--parser", "xml"]];
    for (const flags of [["--no-such-flag"], ["--bus", "carrier-pigeon://x"], ["--listen", "nonsense"], ...notThere]) {
      const { status: code, stdout, stderr } = spawnSync(acceptance(), flags, { encoding: "utf8", timeout: 20_000 });
      assert.ok(code !== 0 && code !== null, `${flags}: ${code}`);
      assert.equal(stdout, "");
      assert.notEqual(stderr, "");
    }
  });
});

describe("health and metrics", () => {
  test("healthz and readyz", async () => {
    for (const url of cluster.nodes) {
      assert.equal(await status(url, "/healthz"), 200);
      assert.equal(await status(url, "/readyz"), 200);
      assert.equal(await status(url, "/no-such-path"), 404);
    }
  });

  test("the metrics are Prometheus text that promtool has nothing to say about", async () => {
    const clients = [];
    for (const mode of modes) clients.push(await open(cluster.nodes[0], { mode }));
    clients[0].emit("crash");
    await clients[0].call("message-with-ack", 1);
    for (const url of cluster.nodes) {
      const answer = await fetch(new URL("/metrics", url));
      assert.match(answer.headers.get("content-type"), /^text\/plain/);
      const input = await answer.text();
      const checked = spawnSync("promtool", ["check", "metrics"], { input, encoding: "utf8" });
      assert.deepEqual([checked.status, checked.stdout, checked.stderr], [0, "", ""]);
      assert.match(input, /^sockeye_build_info\{.*version="/m);
    }
    assert.equal(await metric(cluster.nodes[0], "sockeye_connections", { transport: "polling" }), 1);
    assert.equal(await metric(cluster.nodes[0], "sockeye_connections", { transport: "websocket" }), 2);
    assert.equal(await metric(cluster.nodes[0], "sockeye_bus_connected"), 1);
    for (const url of cluster.nodes) assert.equal(await metric(url, "sockeye_cluster_nodes"), 2);
    for (const client of clients) client.close();
    await until("the closed connections are gone", async () => (await metric(cluster.nodes[0], "sockeye_connections")) === 0);
  });
});

describe("flags", () => {
  test("--path", async () => {
    const app = await start("--path", "/other/path/");
    for (const mode of modes) {
      const client = await open(app.url, { mode, path: "/other/path/" });
      assert.deepEqual(await client.call("message-with-ack", mode), [mode]);
      client.close();
    }
    assert.equal(await status(app.url, "/socket.io/?EIO=4&transport=polling"), 404);
    await app.stop();
  });

  test("--ping-interval-ms, --ping-timeout-ms, --max-payload are told to the client and kept", async () => {
    const app = await start("--ping-interval-ms", "300", "--ping-timeout-ms", "900", "--max-payload", "5000");
    const socket = await RawWebSocket.open(app.url);
    const polling = await RawPolling.open(app.url);
    for (const { handshake } of [socket, polling]) {
      assert.equal(handshake.pingInterval, 300);
      assert.equal(handshake.pingTimeout, 900);
      assert.equal(handshake.maxPayload, 5000);
    }
    await socket.find(/^2$/);
    await polling.find(/^2$/);
    await polling.post("3");
    assert.equal((await polling.post(`42["message","${"x".repeat(6000)}"]`)).status, 413);
    assert.equal((await polling.post(`42["message","fits"]`)).status, 200);
    assert.match(await polling.find(/message-back/), /fits/);
    socket.send(`42["message","${"x".repeat(6000)}"]`);
    assert.equal(await within("closed as too big", socket.closed), 1009);
    await app.stop();
  });

  test("--connect-timeout-ms closes connections that join no namespace, and no others", async () => {
    const app = await start("--connect-timeout-ms", "300");
    const joined = await open(app.url, { mode: "websocket" });
    const idle = await RawWebSocket.open(app.url, { connect: false });
    const polling = await RawPolling.open(app.url, { connect: false });
    await within("the idle one is closed", idle.closed);
    await until("the idle polling session is closed", async () => (await polling.get()).status === 400);
    assert.deepEqual(await joined.call("message-with-ack", 1), [1]);
    joined.close();
    await app.stop();
  });

  test("--cookie names a session cookie, at the handshake alone; without it there is none", async () => {
    const query = "/socket.io/?EIO=4&transport=polling";
    const app = await start("--cookie", "affinity", "--recovery-ms", "0", "--js-key", "other");
    const opened = await fetch(app.url + query);
    const { sid } = JSON.parse((await opened.text()).slice(1));
    assert.equal(opened.headers.get("set-cookie"), `affinity=${sid}; Path=/; HttpOnly; SameSite=Lax`);
    assert.equal((await fetch(`${app.url}${query}&sid=${sid}`, { method: "POST", body: "40" })).headers.get("set-cookie"), null);
    await app.stop();
    assert.equal((await fetch(cluster.nodes[0] + query)).headers.get("set-cookie"), null);
  });

  test("--no-upgrades: nothing is offered, and long-polling stays long-polling", async () => {
    const app = await start("--no-upgrades");
    const raw = await RawPolling.open(app.url);
    assert.deepEqual(raw.handshake.upgrades, []);
    await assert.rejects(RawWebSocket.probe(app.url, raw.handshake.sid), /400/);
    const client = await open(app.url, { mode: "polling", transports: ["polling", "websocket"] });
    assert.equal(await client.ask("transport"), "polling");
    client.close();
    await app.stop();
  });

  test("--compression-threshold: answers to a GET from that size on are compressed, for clients that accept it", { timeout: 60_000 }, async () => {
    const app = await start("--compression-threshold", "500");
    const raw = await RawPolling.open(app.url);
    const encoding = async (size, accepted) => {
      await raw.post(`42["message","${"x".repeat(size)}"]`);
      for (;;) {
        const answer = await raw.get({ headers: { "accept-encoding": accepted } });
        if ((await answer.text()).includes(`message-back","${"x".repeat(size)}"`)) return answer.headers.get("content-encoding");
      }
    };
    assert.equal(await encoding(600, "gzip"), "gzip");
    assert.equal(await encoding(600, "deflate"), "deflate");
    assert.equal(await encoding(600, "identity"), null);
    assert.equal(await encoding(100, "gzip"), null);
    await app.stop();
  });

  test("--eio3: older clients are refused without it", async () => {
    for (const [flags, expected] of [[[], 400], [["--eio3"], 200]]) {
      const app = await start(...flags);
      for (const path of ["/socket.io/", "/engine.io/"]) assert.equal(await status(app.url, `${path}?EIO=3&transport=polling`), expected);
      await app.stop();
    }
  });

  test("/engine.io/ has the same settings: heartbeat, payload, origins", async () => {
    const app = await start("--ping-interval-ms", "300", "--ping-timeout-ms", "900", "--max-payload", "5000", "--cors", "http://elsewhere.example");
    const query = `${app.url}/engine.io/?EIO=4&transport=polling`;
    const opened = await fetch(query, { headers: { origin: "http://elsewhere.example" } });
    assert.equal(opened.headers.get("access-control-allow-origin"), "http://elsewhere.example");
    assert.equal(opened.headers.get("access-control-allow-credentials"), "true");
    const { sid, ...settings } = JSON.parse((await opened.text()).slice(1));
    assert.deepEqual(settings, { upgrades: ["websocket"], pingInterval: 300, pingTimeout: 900, maxPayload: 5000 });
    assert.equal((await fetch(query, { headers: { origin: "http://foreign.example" } })).status, 400);
    assert.equal((await fetch(`${query}&sid=${sid}`, { method: "POST", body: `4${"x".repeat(6000)}` })).status, 413);
    await app.stop();
  });

  test("--channel keeps clusters on one broker apart", async () => {
    const [one, two] = [await start("--bus", cluster.redis, "--channel", "a"), await start("--bus", cluster.redis, "--channel", "b")];
    const third = await start("--bus", cluster.redis, "--channel", "a");
    const clients = await Promise.all([one, two, third].map((app) => open(app.url, { mode: "websocket" })));
    await until("the two of channel a know each other", async () => (await clients[0].ask("bus-ping")).length === 1);
    assert.deepEqual(await clients[1].ask("bus-ping"), []);
    for (const client of clients) client.close();
    for (const app of [one, two, third]) assert.equal(await app.stop(), 0);
  });

  describe("--cors", () => {
    const handshake = "/socket.io/?EIO=4&transport=polling";
    const answer = (url, headers, method = "GET") =>
      new Promise((resolve, reject) => {
        const sent = http.request(new URL(handshake, url), { method, headers, agent: false }, (response) => { response.resume(); resolve(response); });
        sent.on("error", reject);
        sent.end();
      });
    const upgrade = (url, headers) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`, { headers });
        socket.once("open", () => { socket.terminate(); resolve(101); });
        socket.once("unexpected-response", (_, response) => { response.resume(); resolve(response.statusCode); });
        socket.once("error", () => {});
      });
    const foreign = "https://elsewhere.example";

    test("without it: the same origin and no origin pass, a foreign one is refused, on HTTP and WebSocket", async () => {
      const url = cluster.nodes[0];
      for (const headers of [{}, { origin: url }]) {
        assert.equal((await answer(url, headers)).statusCode, 200);
        assert.equal(await upgrade(url, headers), 101);
      }
      for (const origin of [foreign, "null", `${url}.elsewhere.example`, url.replace("http", "https"), `${url}0`]) {
        assert.ok((await answer(url, { origin })).statusCode >= 400, origin);
        assert.ok((await upgrade(url, { origin })) >= 400, origin);
      }
    });

    test("named origins pass, with credentials, and others do not", async () => {
      const app = await start("--cors", foreign, "--cors", "http://second.example");
      for (const origin of [foreign, "http://second.example", app.url]) {
        const { statusCode, headers } = await answer(app.url, { origin });
        assert.equal(statusCode, 200);
        assert.equal(headers["access-control-allow-origin"], origin);
        assert.equal(headers["access-control-allow-credentials"], "true");
        assert.equal(await upgrade(app.url, { origin }), 101);
      }
      const preflight = await answer(app.url, { origin: foreign, "access-control-request-method": "POST", "access-control-request-headers": "x-mine" }, "OPTIONS");
      assert.ok([200, 204].includes(preflight.statusCode));
      assert.match(preflight.headers["access-control-allow-methods"], /POST/);
      assert.match(preflight.headers["access-control-allow-headers"], /x-mine/i);
      for (const origin of ["https://third.example", `${foreign}.evil.example`, "https://evil-elsewhere.example"]) {
        const { statusCode, headers } = await answer(app.url, { origin });
        assert.ok(statusCode >= 400);
        assert.equal(headers["access-control-allow-origin"], undefined);
        assert.ok((await upgrade(app.url, { origin })) >= 400);
      }
      await app.stop();
    });

    test("* lets every origin pass", async () => {
      const app = await start("--cors", "*");
      const { statusCode, headers } = await answer(app.url, { origin: foreign });
      assert.equal(statusCode, 200);
      assert.ok([foreign, "*"].includes(headers["access-control-allow-origin"]));
      assert.equal(await upgrade(app.url, { origin: foreign }), 101);
      await app.stop();
    });
  });
});
