// Values as large as a server may allow, several at a time.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fetchPlatform, grpcPlatform, nodePlatform } from "./platforms.js";
import { realServer, skipped } from "./server.js";

for (const platform of [nodePlatform, grpcPlatform, fetchPlatform]) {
  // Goal: neither a value near the highest limit, nor some of them at once, break a
  // connection; and the next call works.
  test(`values of 12 and 16 MiB: ${platform.name}`, { skip: skipped }, async (t) => {
    const server = await realServer(t, "--max-value-bytes", "16MiB");
    const limits = { valueBytes: 16 << 20 };
    const client = platform.client(t, server.address, { limits, timeoutMs: 30_000 });
    const sizes = [12 << 20, 16 << 20, 12 << 20];
    const values = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
    const alone = await Promise.all(values.map((v) => client.produce(v, { alone: true })));
    const shared = await Promise.all(values.map((v) => client.produce(v)));
    for (const acks of [alone, shared]) {
      const read = await Promise.all(acks.map(({ offset }) => client.consume(offset)));
      for (const [i, { value }] of read.entries()) {
        assert.ok(Buffer.from(value).equals(values[i]!), `value ${i}`);
      }
    }
    assert.equal((await client.produce("next")).offset, 6n);
  });
}
