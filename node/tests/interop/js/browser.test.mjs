// The demo page of the `sockeye` binary in a real Chromium: several tabs over two nodes join a room, send, and see acks.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch } from "./support/browser.mjs";
import { Cluster, sockeye } from "./support/cluster.mjs";
import { until } from "./support/wait.mjs";

const cluster = await Cluster.up({ binary: sockeye(), admin: true, nginx: true });
const browser = await launch();
after(async () => {
  await browser.close();
  await cluster.down();
});

const patience = 30_000;

async function tab(url) {
  const page = await browser.newPage();
  const foreign = [];
  const problems = [];
  page.on("request", (request) => { if (new URL(request.url()).host !== new URL(url).host) foreign.push(request.url()); });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") problems.push(message.text()); });
  await page.goto(url);
  await page.locator("#node").filter({ hasText: /\w/ }).waitFor({ timeout: patience });
  const log = () => page.locator("#log").innerText();
  return {
    page, foreign, problems, log,
    node: () => page.locator("#node").innerText(),
    async join(room) {
      await page.locator("#room").fill(room);
      await page.locator("#join").click();
      await until(`the tab is in ${room}`, async () => (await page.locator("#members").innerText()).trim() !== "" && (await log()).includes(room));
    },
    async send(text) {
      await page.locator("#message").fill(text);
      await page.locator("#send").click();
    },
    sees: (text) => until(`a tab sees ${text}`, async () => (await log()).includes(text)),
    members: (count) => until(`${count} members`, async () => (await page.locator("#members").innerText()).includes(String(count))),
  };
}

describe("the demo in Chromium", () => {
  test("tabs on two nodes share rooms, see each other's messages and their acks", async () => {
    const tabs = [await tab(cluster.nodes[0]), await tab(cluster.nodes[1]), await tab(cluster.nodes[0])];
    const nodes = await Promise.all(tabs.map((one) => one.node()));
    assert.equal(nodes[0], nodes[2]);
    assert.notEqual(nodes[0], nodes[1]);
    for (const one of tabs.slice(0, 2)) await one.join("salmon");
    await tabs[2].join("trout");
    for (const one of tabs.slice(0, 2)) await one.members(2);
    await tabs[0].send("hello from node one");
    await tabs[1].sees("hello from node one");
    await tabs[1].send("hello from node two");
    await tabs[0].sees("hello from node two");
    await tabs[0].page.locator("#log").filter({ hasText: /ack/i }).waitFor({ timeout: patience });
    assert.ok(!(await tabs[2].log()).includes("hello from"));
    await tabs[2].join("salmon");
    for (const one of tabs) await one.members(3);
    await tabs[2].page.close();
    for (const one of tabs.slice(0, 2)) await one.members(2);
    for (const one of tabs) {
      assert.deepEqual(one.foreign, [], "nothing but the node is asked");
      assert.deepEqual(one.problems, []);
    }
    for (const one of tabs.slice(0, 2)) await one.page.close();
  });

  test("markup in a message is text", async () => {
    const one = await tab(cluster.nodes[0]);
    await one.join("markup");
    await one.send('<img src=x onerror="document.title = String.fromCharCode(33)"><b id="injected">bold</b>');
    await one.sees("<b id=");
    assert.equal(await one.page.locator("#injected").count(), 0);
    assert.notEqual(await one.page.title(), "!");
    await one.page.close();
  });

  test("through nginx, and on to the other node when this one goes", async () => {
    const one = await tab(cluster.nginx);
    await one.join("moving");
    const was = await one.node();
    const names = await Promise.all(cluster.nodes.map(async (url) => { const direct = await tab(url); const name = await direct.node(); await direct.page.close(); return name; }));
    const index = names.indexOf(was);
    assert.ok(index >= 0, `${was} is one of ${names}`);
    await cluster.stop(`node${index + 1}`);
    await until("the tab is on the other node", async () => (await one.node()) === names[1 - index], patience);
    await one.join("moving");
    await one.send("still here");
    await one.sees("still here");
    await one.page.close();
    await cluster.start(`node${index + 1}`);
  });
});
