// More streams than the server allows on one connection: the client opens another one.
import assert from "node:assert/strict";
import * as net from "node:net";
import { test } from "node:test";
import { Fake, listen } from "./fake.js";
import { grpcPlatform, nodePlatform } from "./platforms.js";
import { realServer, skipped } from "./server.js";

const limit = 20;

for (const platform of [nodePlatform, grpcPlatform]) {
  const name = (what: string): string => `${what}: ${platform.name}`;

  // Goal: neither producers, nor shared streams, nor followers use up what a call needs.
  test(name("a limit of streams stalls nobody"), { skip: skipped }, async (t) => {
    const server = await realServer(t, "--max-streams", String(limit), "--create-on-produce", "*");
    const client = platform.client(t, server.address, { timeoutMs: 15_000 });
    const logs = Array.from({ length: 2 * limit }, (_, i) => `log-${i}`);
    const acks = await Promise.all(logs.map((log) => client.produce("0", { log })));
    assert.deepEqual(new Set(acks.map(({ offset }) => offset)), new Set([0n]));
    const producers = logs.map((log) => client.producer({ log }));
    for (const producer of producers) await (await producer.send("1")).wait();
    const reads = logs.map((log) => client.follow({ log, from: 1 }));
    for (const read of reads) assert.equal((await read.next()).value?.offset, 1n);
    assert.equal((await client.consume(0, { log: "log-0" })).offset, 0n);
    await Promise.all(producers.map((producer) => producer.close()));
    await Promise.all(reads.map((read) => read.return()));
  });

  // Goal: a burst before the server has said what it allows is no other case, and needs no
  // more connections than it has to.
  test(name("a burst at the beginning"), { skip: skipped }, async (t) => {
    const server = await realServer(t, "--max-streams", String(limit));
    let connections = 0;
    const proxy = net.createServer((near) => {
      connections++;
      const far = net.connect(Number(new URL(server.address).port), "127.0.0.1");
      for (const [one, other] of [[near, far] as const, [far, near] as const]) {
        one.on("error", () => other.destroy());
        one.pipe(other);
      }
    });
    const at = new Fake();
    await listen(t, proxy, at);
    const client = platform.client(t, at.address);
    await client.produce("0");
    const burst = platform.client(t, at.address, { timeoutMs: 15_000 });
    connections = 0;
    const reads = Array.from({ length: 2.5 * limit }, () => burst.follow());
    const first = await Promise.all(reads.map((read) => read.next()));
    assert.ok(first.every(({ value }) => value?.offset === 0n));
    assert.equal(connections, 3);
    await Promise.all(reads.map((read) => read.return()));
    await burst.consume(0);
    assert.equal(connections, 3);
  });
}
