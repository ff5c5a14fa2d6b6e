// A real Chromium, and clients in a page of it.
import { readFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { chromium } from "playwright-core";

import { Remote } from "./remote.mjs";

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });

const library = join(dirname(createRequire(import.meta.url).resolve("socket.io-client/package.json")), "dist/socket.io.min.js");

/** Serves a page that can do what remote.mjs says; resolves to its port. */
export async function servePage() {
  const driver = new URL("page.js", import.meta.url);
  const html = `<!doctype html><meta charset="utf-8"><title>clients</title><script src="/library.js"></script><script src="/driver.js"></script>`;
  const files = { "/": ["text/html", html], "/library.js": ["text/javascript", await readFile(library)], "/driver.js": ["text/javascript", await readFile(driver)] };
  const server = http.createServer(({ url }, response) => {
    const [type, body] = files[url] ?? ["text/plain", ""];
    response.writeHead(files[url] ? 200 : 404, { "content-type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: server.address().port, close: () => { server.closeAllConnections(); server.close(); } };
}

/** Clients of the newest version in a page of that URL. */
export async function openPage(browser, url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const remote = new Remote((line) => page.evaluate((order) => globalThis.obey(order), line).catch(() => {}), { isBrowser: true });
  await page.exposeFunction("say", (line) => remote.hear(line));
  await page.goto(url);
  return Object.assign(remote, { page, context });
}
