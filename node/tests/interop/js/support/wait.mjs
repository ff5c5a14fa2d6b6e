// Waiting for a condition; a deadline only says when a test has failed, never when it has passed.
import { setTimeout as pause } from "node:timers/promises";

const patience = 15_000 * Number(process.env.SOCKEYE_INTEROP_PATIENCE ?? 1);

/** Calls `probe` until it returns something truthy, and returns that. */
export async function until(what, probe, limit = patience) {
  const deadline = Date.now() + limit;
  for (;;) {
    const result = await probe();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited ${limit} ms in vain: ${what}`);
    await pause(10);
  }
}

/** Fails when `promise` does not settle. */
export async function within(what, promise, limit = patience) {
  const timer = new AbortController();
  const late = pause(limit, undefined, { signal: timer.signal }).then(
    () => { throw new Error(`waited ${limit} ms in vain: ${what}`); },
    () => {},
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}
