// What a client has received, so that a test asks for events in any order and never misses one.
import assert from "node:assert/strict";

import { within } from "./wait.mjs";

export class Inbox {
  /** The version of Engine.IO that it speaks. */
  protocol = "4";
  /** What the server takes for its authentication. */
  authBy = "auth";
  /** Whether it can add headers of its own: a browser's WebSocket cannot. */
  sendsHeaders = true;
  received = [];
  waiting = [];

  /** An event came that wants no ack. */
  note(event, ...args) {
    const index = this.waiting.findIndex((waiter) => waiter.event === event);
    if (index >= 0) this.waiting.splice(index, 1)[0].resolve(args);
    else this.received.push([event, args]);
  }

  /** The arguments of the next event of that name, oldest first. */
  next(event) {
    const index = this.received.findIndex(([name]) => name === event);
    if (index >= 0) return Promise.resolve(this.received.splice(index, 1)[0][1]);
    return within(`event ${event}`, new Promise((resolve) => this.waiting.push({ event, resolve })));
  }

  /** The arguments of all events of that name that have come and were not asked for yet. */
  pending(event) {
    return this.received.filter(([name]) => name === event).map(([, args]) => args);
  }

  /** Emits and resolves to the arguments of the ack. */
  call(event, ...args) {
    return within(`ack of ${event}`, new Promise((resolve) => this.request(event, args, resolve)));
  }

  /** The one argument of the ack. */
  async ask(event, ...args) {
    const answer = await this.call(event, ...args);
    assert.equal(answer.length, 1, `the ack of ${event} has one argument: ${JSON.stringify(answer)}`);
    return answer[0];
  }
}
