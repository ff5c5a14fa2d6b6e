// The newest client in a page of another origin, in a real Chromium: the whole table over every transport, with credentials, and what is refused.
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";

import { launch, openPage, servePage } from "./support/browser.mjs";
import { modes } from "./support/client.mjs";
import { Cluster, metric } from "./support/cluster.mjs";
import { Placement, suite } from "./support/placement.mjs";
import { namespaceRows } from "./namespace-rows.mjs";
import { rows } from "./rows.mjs";

const site = await servePage();
const origin = `http://127.0.0.1:${site.port}`;
const cluster = await Cluster.up({ flags: ["--cors", "http://elsewhere.example", "--cors", origin] });
const browser = await launch();
const page = await openPage(browser, origin);
await page.context.addCookies([{ name: "session", value: "mine", url: origin }]);
after(async () => {
  await browser.close();
  site.close();
  await cluster.down();
});

for (const mode of modes) {
  suite(`a page of an allowed origin, ${mode}, across nodes`, [...rows, ...namespaceRows], () =>
    new Placement(cluster, "/custom", (index) => ({ url: cluster.nodes[index % 2], node: index % 2, mode, open: page.open })),
  );
}

describe("origins", () => {
  for (const mode of modes) {
    test(`an allowed one: cookies and headers of the page arrive, ${mode}`, async () => {
      const client = await page.open(cluster.nodes[0], { mode, headers: { "X-Of-The-Page": "yes" } });
      assert.equal(await client.ask("env", "origin"), origin);
      assert.equal(await client.ask("env", "cookie"), "session=mine");
      // Which the browser asked for before it sent it.
      assert.equal(await client.ask("env", "x-of-the-page"), mode === "websocket" ? null : "yes");
      client.close();
    });

    test(`any other is refused, ${mode}`, async () => {
      const foreign = await openPage(browser, `http://localhost:${site.port}`);
      const refusals = () => metric(cluster.nodes[0], "sockeye_handshakes_total", { result: "forbidden_origin" });
      const before = await refusals();
      await assert.rejects(foreign.open(cluster.nodes[0], { mode }), { message: mode === "websocket" ? "websocket error" : "xhr poll error" });
      assert.equal(await refusals(), before + 1);
      await foreign.context.close();
    });
  }

  test("refusals of a namespace reach the page with their data", async () => {
    const refused = { name: "Error", message: "not authorized", data: { code: 401 } };
    await assert.rejects(page.open(cluster.nodes[0], { mode: "polling", namespace: "/auth", auth: { token: "bad" } }), refused);
    await assert.rejects(page.open(cluster.nodes[0], { mode: "websocket", namespace: "/gone" }), { message: "Invalid namespace" });
  });
});
