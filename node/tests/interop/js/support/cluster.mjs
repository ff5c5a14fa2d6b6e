// A cluster of acceptance apps on one Redis, started by deploy/local/cluster.sh: the same script that a user runs.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { open } from "./client.mjs";
import { until } from "./wait.mjs";

const root = resolve(new URL(".", import.meta.url).pathname, "../../../../..");
const script = join(root, "deploy/local/cluster.sh");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const run = promisify(execFile);

function built(...names) {
  const found = names.map((name) => join(target, name)).find(existsSync);
  if (!found) throw new Error(`build the server first, or name it in the environment; looked for ${names.join(", ")} in ${target}`);
  return found;
}

export const acceptance = () => process.env.SOCKEYE_ACCEPTANCE ?? built("debug/examples/acceptance", "release/examples/acceptance");
export const sockeye = () => process.env.SOCKEYE_BINARY ?? built("debug/sockeye", "release/sockeye");

export class Cluster {
  constructor(dir, addresses, client) {
    this.dir = dir;
    this.client = client;
    this.redis = addresses.get("redis");
    this.nginx = addresses.get("nginx");
    this.prometheus = addresses.get("prometheus");
    this.nodes = [...addresses.keys()].filter((name) => /^node\d+$/.test(name)).map((name) => addresses.get(name));
    this.admin = this.nodes.map((_, i) => addresses.get(`node${i + 1}-admin`));
  }

  /** `flags` go to every node, `client` are options of every client. Resolves when every node hears every other one. */
  static async up({ nodes = 2, nginx = false, prometheus = false, flags = [], client = {}, binary, admin = false, formed = !admin } = {}) {
    const dir = await mkdtemp(join(process.env.SOCKEYE_INTEROP_DIR ?? tmpdir(), "cluster-"));
    const options = ["--dir", dir, "--nodes", String(nodes), "--binary", binary ?? acceptance()];
    if (!nginx) options.push("--no-nginx");
    if (!admin) options.push("--no-admin");
    if (prometheus) options.push("--prometheus");
    const { stdout } = await run(script, ["up", ...options, "--", ...flags]);
    const addresses = new Map(stdout.trim().split("\n").map((line) => line.split(/\s+/, 2)));
    const cluster = new Cluster(dir, addresses, client);
    if (formed) await cluster.formed().catch(async (error) => { await cluster.down(); throw error; });
    return cluster;
  }

  /** Waits until every node gets an answer from every other one. */
  async formed() {
    for (const url of this.nodes) {
      const client = await open(url, { mode: "websocket", ...this.client });
      await until(`the nodes know each other`, async () => (await client.call("bus-ping"))[0].length === this.nodes.length - 1);
      client.close();
    }
  }

  async pid(part) {
    return Number((await readFile(join(this.dir, `${part}.pid`), "utf8")).split(" ")[0]);
  }
  log(part) {
    return readFile(join(this.dir, `${part}.log`), "utf8");
  }
  stop(part) {
    return run(script, ["stop", part, "--dir", this.dir]);
  }
  kill(part) {
    return run(script, ["kill", part, "--dir", this.dir]);
  }
  start(part) {
    return run(script, ["start", part, "--dir", this.dir]);
  }
  /** Starts what a failed test left stopped. */
  async repair() {
    for (const part of ["redis", ...this.nodes.map((_, i) => `node${i + 1}`)]) await this.start(part).catch(() => {});
    await this.formed();
  }
  async down() {
    await run(script, ["down", "--dir", this.dir]);
    if (!process.env.SOCKEYE_INTEROP_KEEP) await rm(this.dir, { recursive: true, force: true });
  }
}

/** The samples of a node's /metrics whose name matches, added up. Of a labelled metric all samples count unless `labels` names some. */
export async function metric(nodeUrl, name, labels = {}) {
  const text = await (await fetch(new URL("/metrics", nodeUrl))).text();
  const matches = name instanceof RegExp ? (candidate) => name.test(candidate) : (candidate) => candidate === name;
  let sum = 0;
  for (const line of text.split("\n")) {
    const sample = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!sample || !matches(sample[1])) continue;
    if (Object.entries(labels).every(([key, value]) => (sample[2] ?? "").includes(`${key}="${value}"`))) sum += Number(sample[3]);
  }
  return sum;
}

/** The status of a GET. */
export const status = async (nodeUrl, path) => (await fetch(new URL(path, nodeUrl))).status;
