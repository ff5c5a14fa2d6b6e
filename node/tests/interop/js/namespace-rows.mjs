// The namespaces of the acceptance app beside the table, as entries like those of rows.mjs.
import assert from "node:assert/strict";

import { until } from "./support/wait.mjs";

const bytes = Buffer.from([0, 0x1e, 0xff]);

/** What a client of that kind is told when the server refuses with a message, and perhaps data: until Engine.IO 3 one of the two. */
async function refused(t, options, { message, data }) {
  // What is no text, this client drops.
  if (t.kind.textRefusals && (data || message === "Invalid namespace")) return;
  const told = await t.open(options).then(() => assert.fail("it was accepted"), (error) => error.refusal ?? error);
  if ((t.kind.protocol ?? "4") === "4") {
    assert.equal(told.message, message);
    assert.deepEqual(told.data, data);
  } else {
    assert.deepEqual(told, data ?? (message === "Invalid namespace" ? { message } : typeof told === "string" ? message : { message }));
  }
}
// Clients of Engine.IO 3 say in the query what others have an object for.
const says = (auth) => ({ auth, query: auth });

export const namespaceRows = [
  {
    name: "/wild: every event is caught, and acked when an ack was asked for",
    async run(t) {
      const client = await t.open({ namespace: "/wild" });
      for (const [event, ...args] of [["any name"], ["ünïcode 🐟", 1, "two", [3], null], ["binary", bytes, { b: [bytes] }], ["message", "not the table's"]]) {
        client.emit(event, ...args);
        assert.deepEqual(await client.next("caught"), [[event, ...args]]);
        assert.deepEqual(await client.call(event, ...args), [[event, ...args]]);
        assert.deepEqual(await client.next("caught"), [[event, ...args]]);
      }
    },
  },
  {
    name: "/auth: the good token is accepted, others are refused with data or with the default message",
    async run(t) {
      assert.equal(typeof (await t.open({ namespace: "/auth", ...says({ token: "good" }) })).sid, "string");
      for (const auth of [{}, { token: "bad" }]) await refused(t, { namespace: "/auth", ...says(auth) }, { message: "not authorized", data: { code: 401 } });
      await refused(t, { namespace: "/auth", ...says({ token: "false" }) }, { message: "Connection rejected by server" });
    },
  },
  {
    name: "/gone: Invalid namespace",
    run: (t) => refused(t, { namespace: "/gone" }, { message: "Invalid namespace" }),
  },
  {
    name: "/class: the class answers, and hears who leaves",
    async run(t) {
      const client = await t.open({ namespace: "/class" });
      for (const args of [[], ["there"], [1, bytes, null]]) assert.deepEqual(await client.call("hello", ...args), [["class", ...args]]);
      const before = await t.metric(client, "acceptance_class_disconnects_total");
      client.close();
      await until("it is counted", async () => (await t.metric(client, "acceptance_class_disconnects_total")) === before + 1);
    },
  },
  {
    name: "/dyn-…: what matched is told, and each is a namespace of its own",
    async run(t) {
      const [one, other] = [await t.open({ namespace: "/dyn-one" }), await t.open({ namespace: "/dyn-42" })];
      assert.deepEqual(await one.next("id"), ["one"]);
      assert.deepEqual(await other.next("id"), ["42"]);
      await refused(t, { namespace: "/other-1" }, { message: "Invalid namespace" });
    },
  },
];
