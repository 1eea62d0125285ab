// A deadline of the caller holds, and is named, whatever the server does.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NothingAppendedError, ProglogError } from "../src/index.js";
import { nobody } from "./fake.js";
import { platforms, rejection } from "./platforms.js";

const slowRetry = { attempts: 5, minDelayMs: 5_000, maxDelayMs: 5_000 };

for (const platform of platforms) {
  describe(`deadline: ${platform.name}`, () => {
    // Goal: a deadline that passes between two tries is one too, with the signal's reason.
    for (const alone of [true, false]) {
      test(`a signal's deadline between tries, alone: ${alone}`, async (t) => {
        const client = platform.client(t, await nobody(), { retry: slowRetry });
        for (let i = 0; i < 3; i++) {
          const signal = AbortSignal.timeout(100);
          const e = await rejection(
            client.produce("a", { alone, signal }),
            alone ? NothingAppendedError : ProglogError,
          );
          assert.equal(e.code, "deadline_exceeded");
          const causes: unknown[] = [];
          for (let c: unknown = e; c instanceof Error; c = c.cause) causes.push(c);
          assert.ok(causes.includes(signal.reason));
          assert.equal(e.message.match(/the deadline passed/g)?.length, 1, e.message);
        }
      });
    }
  });
}
