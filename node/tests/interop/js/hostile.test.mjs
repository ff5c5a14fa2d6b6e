// Bad input to every HTTP and WebSocket path: the protocol's error, or the end of that one session; never the end of anything else.
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import { open } from "./support/client.mjs";
import { Cluster, metric, status } from "./support/cluster.mjs";
import { RawPolling, RawWebSocket, exchange } from "./support/raw.mjs";
import { within } from "./support/wait.mjs";

const cluster = await Cluster.up({ flags: ["--connect-timeout-ms", "3000"] });
const [url] = cluster.nodes;
const { host } = new URL(url);
let bystander;
let panics;
before(async () => {
  bystander = await open(url, { mode: "websocket" });
  panics = await metric(url, /panic/);
});
beforeEach(unharmed);
after(async () => {
  try {
    await unharmed();
    assert.equal(await metric(url, /panic/), panics, "nothing panicked");
  } finally {
    bystander.close();
    await cluster.down();
  }
});
async function unharmed() {
  assert.equal(await status(url, "/healthz"), 200);
  assert.deepEqual(await bystander.call("message-with-ack", "unharmed"), ["unharmed"]);
}

const path = "/socket.io/";
const polling = `${path}?EIO=4&transport=polling`;
const upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
const head = (method, target, ...headers) => `${[`${method} ${target} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...headers].join("\r\n")}\r\n\r\n`;
const headUpgrade = (target, ...headers) => `${[`GET ${target} HTTP/1.1`, `Host: ${host}`, ...headers].join("\r\n")}\r\n\r\n`;
const post = (target, body, ...headers) => [head("POST", target, `Content-Length: ${Buffer.byteLength(body)}`, ...headers), body];

describe("HTTP: the protocol's error codes", () => {
  const cases = [
    ["an unknown transport", head("GET", `${path}?EIO=4&transport=carrier-pigeon`), 400, 0],
    ["no transport", head("GET", `${path}?EIO=4`), 400, 0],
    ["an unknown sid", head("GET", `${polling}&sid=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`), 400, 1],
    ["a sid that is none", head("GET", `${polling}&sid=x`), 400, 1],
    ["a sid of 5,000 characters", head("GET", `${polling}&sid=${"A".repeat(5000)}`), 400, 1],
    ["a sid of percent signs", head("GET", `${polling}&sid=%ff%00%zz%`), 400, 1],
    ["an unknown sid, by POST", post(`${polling}&sid=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`, "40"), 400, 1],
    ["an unknown sid, by WebSocket", headUpgrade(`${path}?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`, ...upgrade), 400],
    ["a handshake by POST", post(polling, "40"), 400, 2],
    ["WebSocket by a plain GET", head("GET", `${path}?EIO=4&transport=websocket`), 400, 3],
    ["Engine.IO 3", head("GET", `${path}?EIO=3&transport=polling`), 400, 5],
    ["Engine.IO 5", head("GET", `${path}?EIO=5&transport=polling`), 400, 5],
    ["no version", head("GET", `${path}?transport=polling`), 400, 5],
    ["a WebSocket of Engine.IO 3", headUpgrade(`${path}?EIO=3&transport=websocket`, ...upgrade), 400],
    ["a WebSocket without a key", headUpgrade(`${path}?EIO=4&transport=websocket`, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"), 400],
    ["a WebSocket of another version", headUpgrade(`${path}?EIO=4&transport=websocket`, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 99", upgrade[3]), "4\\d\\d"],
    ["an upgrade to something else", headUpgrade(`${path}?EIO=4&transport=websocket`, "Connection: Upgrade", "Upgrade: h2c", "Sec-WebSocket-Version: 13", upgrade[3]), 400],
    ["a polling URL by WebSocket", headUpgrade(polling, ...upgrade), "(400|200)"],
    ["PUT", head("PUT", polling, "Content-Length: 0"), "4\\d\\d"],
    ["DELETE", head("DELETE", polling), "4\\d\\d"],
    ["an invalid Origin", head("GET", polling, "Origin: \x01\x02"), "4\\d\\d"],
  ];
  for (const [name, request, expected, code] of cases) {
    test(name, async () => {
      const answer = await exchange(url, request, /\r\n\r\n.*\}/s);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${expected} `));
      if (code !== undefined) assert.equal(JSON.parse(answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1)).code, code);
    });
  }
});

describe("HTTP: what is no request, or too much of one", () => {
  const refused = [
    ["bytes", Buffer.from([0, 1, 2, 3, 13, 10, 13, 10])],
    ["a TLS hello", Buffer.from("16030100050100000100", "hex")],
    ["an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["a header without a colon", `GET ${polling} HTTP/1.1\r\nHost ${host}\r\n\r\n`],
    ["1 MB of one header", head("GET", polling, `X-Large: ${"x".repeat(1_000_000)}`)],
    ["5,000 headers", head("GET", polling, ...[...Array(5000).keys()].map((n) => `X-${n}: 1`))],
    ["a negative length", head("POST", `${polling}&sid=x`, "Content-Length: -1")],
    ["two lengths", [head("POST", `${polling}&sid=x`, "Content-Length: 1", "Content-Length: 2"), "12"]],
    ["a bad chunk", [head("POST", `${polling}&sid=x`, "Transfer-Encoding: chunked"), "zz\r\nhello\r\n"]],
  ];
  for (const [name, request] of refused) {
    test(name, async () => assert.match(await exchange(url, request, /\r\n\r\n/), /^(HTTP\/1\.1 (4\d\d|505) |$)/));
  }

  test("a query of 60,000 keys, twice the same keys, brackets, broken escapes", async () => {
    for (const query of [`&${"a=1&".repeat(15_000)}`, "&EIO=3&transport=websocket", "&sid[]=1&sid[x]=2", "&%=%&%zz=%ff&=&&&==", "&t=%00%0d%0aX-Injected:1"]) {
      const answer = await exchange(url, head("GET", `${polling}${query}`), /\r\n\r\n/);
      assert.match(answer, /^HTTP\/1\.1 (200|4\d\d) |^$/);
      assert.doesNotMatch(answer, /^X-Injected/im);
    }
  });
});

describe("polling: the end of that session alone", () => {
  const ended = async (raw) => assert.equal((await raw.get()).status, 400, "the session is gone");

  test("two GETs at once", async () => {
    const raw = await RawPolling.open(url);
    await bystander.ask("rooms");
    const statuses = (await Promise.all([raw.get(), raw.get(), raw.get()])).map((answer) => answer.status);
    assert.ok(statuses.includes(400), `${statuses}`);
    await ended(raw);
  });
  test("a body of another type", async () => {
    const raw = await RawPolling.open(url);
    assert.equal((await raw.post("40", { headers: { "content-type": "application/octet-stream" } })).status, 400);
    await ended(raw);
  });
  test("a body above the limit is refused; the session stays", async () => {
    const raw = await RawPolling.open(url);
    assert.equal((await raw.post(`42["message","${"x".repeat(1_000_001)}"]`)).status, 413);
    assert.equal((await raw.post('42["message","fits"]')).status, 200);
    assert.match(await raw.find(/message-back/), /fits/);
  });
  test("a body above the limit without a length", async () => {
    const raw = await RawPolling.open(url);
    const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
    const answer = await exchange(url, [head("POST", `${polling}&sid=${raw.handshake.sid}`, "Transfer-Encoding: chunked"), ...Array(40).fill(chunk), "0\r\n\r\n"], /\r\n\r\n/);
    assert.match(answer, /^HTTP\/1\.1 413 |^$/);
  });
  test("a transport that the session does not have", async () => {
    const raw = await RawPolling.open(url);
    const answer = await fetch(`${url}${path}?EIO=4&transport=websocket&sid=${raw.handshake.sid}`);
    assert.equal(answer.status, 400);
  });
  for (const method of ["PUT", "DELETE", "PATCH"]) {
    test(`${method} on a session`, async () => {
      const raw = await RawPolling.open(url);
      assert.ok((await fetch(`${raw.base}&sid=${raw.handshake.sid}`, { method })).status >= 400);
    });
  }
  for (const [name, body] of [
    ["not UTF-8", Buffer.from([0x34, 0x32, 0xff, 0xfe])],
    ["separators alone", "\x1e".repeat(1000)],
    ["10,000 packets", Array(10_000).fill("3").join("\x1e")],
    ["an unknown packet", "9"],
    ["broken base64", "b!!!!"],
    ["empty", ""],
  ]) {
    test(`a payload that is ${name}`, async () => {
      const raw = await RawPolling.open(url);
      const answer = await raw.post(body);
      assert.ok([200, 400].includes(answer.status), `${answer.status}`);
      await ended(raw);
    });
  }
  test("a POST that never ends holds nobody up", async () => {
    const raw = await RawPolling.open(url);
    const half = exchange(url, [head("POST", `${polling}&sid=${raw.handshake.sid}`, "Content-Length: 1000"), "42["], /never/).catch(() => {});
    await unharmed();
    await half;
  });
});

describe("WebSocket: the end of that session alone", () => {
  const mask = [0, 0, 0, 0];
  const frame = (first, ...payload) => [first, 0x80 | payload.length, ...mask, ...payload];
  const frames = {
    "RSV bits": frame(0xc1, 0x33),
    "a reserved opcode": frame(0x83),
    "a reserved control opcode": frame(0x8b),
    "a ping of 126 bytes": [0x89, 0xfe, 0, 126, ...mask, ...Array(126).fill(0)],
    "a fragmented ping": frame(0x09),
    "a continuation of nothing": frame(0x80, 0x33),
    "a message inside a message": [...frame(0x01, 0x34), ...frame(0x81, 0x33)],
    "text that is not UTF-8": frame(0x81, 0x34, 0x32, 0xff),
    "text that is not UTF-8, in fragments": [...frame(0x01, 0x34, 0xe2, 0x98), ...frame(0x80, 0x41)],
    "a length of 2^63": [0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, ...mask],
    "a length of 2^62": [0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, ...mask],
    "a message above the limit": [0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, ...mask],
    "a close frame of one byte": frame(0x88, 0x03),
    "a close code that is none": frame(0x88, 0, 1),
    "a close reason that is not UTF-8": frame(0x88, 0x03, 0xe8, 0xff),
    "an unmasked frame": [0x81, 0x01, 0x33],
    "empty fragments without end": [...frame(0x01, 0x34), ...Array(200_000).fill(frame(0x00)).flat()],
  };
  for (const [name, bytes] of Object.entries(frames)) {
    test(`frames: ${name}`, async () => {
      const raw = await RawWebSocket.open(url);
      raw.bytes(bytes);
      await within("it is closed", raw.closed);
    });
  }

  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const messages = {
    "an unknown Engine.IO packet": ["x"],
    "an unknown Socket.IO packet": ["47"],
    "no packet": ["4"],
    "an event that is no JSON": ["42{"],
    "an event that is no array": ['42{"a":1}'],
    "an event without a name": ["42[]"],
    "an event whose name is null": ["42[null]"],
    "an event whose name is an object": ["42[{}]"],
    "an event with a reserved name": ['42["connect"]'],
    "an event with another reserved name": ['42["disconnecting"]'],
    "text after the array": ['42["message"]x'],
    "arguments 100,000 deep": [`42["message",${deep}]`],
    "a number of 1,000,000 digits as id": [`42${"9".repeat(900_000)}["message"]`],
    "a second CONNECT": ["40"],
    "CONNECT with text for auth": ['40/custom,"text"'],
    "CONNECT with a list for auth": ["40/custom,[1]"],
    "CONNECT to a namespace of 64 KB": [`40/${"x".repeat(65_536)},`],
    "CONNECT_ERROR from a client": ['44{"message":"x"}'],
    "DISCONNECT with something in it": ['41{"a":1}'],
    "an ack that is no array": ['430{"a":1}'],
    "a binary event whose count is too large": ['4511-["message"]'],
    "a binary event whose count is far too large": ['459999999999-["message"]'],
    "a binary event without a count": ['45["message"]'],
    "a negative count": ['45-1-["message"]'],
    "text while an attachment is awaited": ['451-["message",{"_placeholder":true,"num":0}]', '42["message"]'],
    "an attachment that nobody awaits": [Buffer.from([1, 2, 3])],
  };
  for (const [name, packets] of Object.entries(messages)) {
    test(`messages: ${name}`, async () => {
      const raw = await RawWebSocket.open(url);
      for (const packet of packets) raw.send(packet);
      await within("it is closed", raw.closed);
    });
  }

  for (const packet of ['42["message"]', "41", "430[]", '451-["message",{"_placeholder":true,"num":0}]']) {
    test(`${packet} from a client that joined no namespace`, async () => {
      const raw = await RawWebSocket.open(url, { connect: false });
      raw.send(packet);
      if (packet.startsWith("45")) raw.send(Buffer.from([1]));
      await within("it is closed", raw.closed);
    });
  }

  const harmless = {
    "an ack that nobody waits for": ["4399[1]"],
    "an ack with the largest id": ["4318446744073709551615[1]"],
    // Under way when the server disconnects a client, so it must not cost the connection.
    "an event for another namespace than those that were joined": ['42/custom,["message"]'],
    "a pong out of turn": ["3"],
    "a noop": ["6"],
    "an unknown event": ['42["no such event",1]', '427["no such event",1]'],
    "an empty binary message as attachment": ['451-["message",{"_placeholder":true,"num":0}]', Buffer.alloc(0)],
  };
  for (const [name, packets] of Object.entries(harmless)) {
    test(`messages that harm nothing: ${name}`, async () => {
      const raw = await RawWebSocket.open(url);
      for (const packet of packets) raw.send(packet);
      raw.send('421000["message-with-ack","still here"]');
      await raw.find(/^431000\["still here"\]$/);
      raw.socket.close();
    });
  }

  for (const [name, placeholder] of Object.entries({ negative: -1, "out of range": 5, "a fraction": 0.5, text: '"0"', "null": "null" })) {
    test(`a placeholder number that is ${name}: the session ends, or the value is text`, async () => {
      const raw = await RawWebSocket.open(url);
      raw.send(`451-["message",{"_placeholder":true,"num":${placeholder}}]`);
      raw.send(Buffer.from([1]));
      raw.send('421000["message-with-ack","still here"]');
      await Promise.race([within("it is closed", raw.closed), raw.find(/^431000/)]);
      raw.socket.terminate();
    });
  }

  test("an upgrade that begins twice, and one that never ends", async () => {
    const raw = await RawPolling.open(url);
    const first = await RawWebSocket.probe(url, raw.handshake.sid);
    first.send("2probe");
    await first.find(/^3probe$/);
    const second = await RawWebSocket.probe(url, raw.handshake.sid).catch(() => undefined);
    if (second) await within("the second one is refused", second.closed);
    assert.equal((await raw.post('42["message","over polling still"]')).status, 200);
    first.socket.terminate();
  });
  test("anything else than a probe on the probe's connection", async () => {
    for (const packet of ["5", "42[]", "3probe", "2", Buffer.from([1])]) {
      const raw = await RawPolling.open(url);
      const probe = await RawWebSocket.probe(url, raw.handshake.sid);
      probe.send(packet);
      await within("the probe is closed", probe.closed);
      assert.equal((await raw.post('42["message","over polling"]')).status, 200);
      assert.match(await raw.find(/message-back/), /over polling/);
    }
  });
});
