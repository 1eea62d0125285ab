// flush: what it waits for.
import assert from "node:assert/strict";
import { test } from "node:test";
import { platforms, text } from "./platforms.js";

for (const platform of platforms) {
  for (const lingerMs of [0, 60_000]) {
    // Goal: flush covers a record whose send was called before, wherever that waits: for the
    // first answer of the server, or for room.
    test(`flush behind sends that wait, linger ${lingerMs}: ${platform.name}`, async (t) => {
      const fake = await platform.fake(t);
      const client = platform.client(t, fake.address);
      const producer = client.producer({ maxInFlightBytes: 100, lingerMs });
      const values = Array.from({ length: 20 }, (_, i) => `value ${i}`);
      const sends = values.map((v) => producer.send(v));
      await producer.flush({ signal: AbortSignal.timeout(10_000) });
      assert.deepEqual(
        fake.records.map(({ value }) => text(value)),
        values,
      );
      assert.equal(producer.outcome().acked, values.length);
      for (const future of await Promise.all(sends)) assert.ok(future.done);
    });
  }
}
