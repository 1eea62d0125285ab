// A server that says nothing, over a connection that stays: how long a producer and a read
// wait for it.
import assert from "node:assert/strict";
import * as net from "node:net";
import { type TestContext, test } from "node:test";
import { NothingAppendedError, OutcomeUnknownError, ProglogError } from "../src/index.js";
import { Fake, listen, startFake } from "./fake.js";
import { nodePlatform, platforms } from "./platforms.js";

/** A way to a server that carries everything, until it swallows it. */
async function tunnel(t: TestContext, to: Fake) {
  const { port } = new URL(to.address);
  const sockets: net.Socket[] = [];
  const state = { swallows: false, connections: 0 };
  const proxy = net.createServer((near) => {
    state.connections++;
    const dead = state.swallows; // for good
    const far = net.connect(Number(port), "127.0.0.1");
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on("error", () => {});
    near.on("data", (data) => dead || state.swallows || far.write(data));
    far.on("data", (data) => dead || state.swallows || near.write(data));
  });
  const here = new Fake();
  await listen(t, proxy, here);
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  return Object.assign(state, { address: here.address });
}

async function failureOf(what: Promise<unknown>): Promise<ProglogError> {
  const e: unknown = await what.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(e instanceof ProglogError, `it failed with ${String(e)}`);
  return e;
}

for (const platform of platforms) {
  // The bound holds also while an answer is waited for: nobody would learn of it before the
  // connection is found dead, after half a minute.
  test(`a producer gives up a server that went silent: ${platform.name}`, async (t) => {
    const fake = await platform.fake(t);
    const way = await tunnel(t, fake);
    const client = platform.client(t, way.address);
    const producer = client.producer({ giveUpAfterMs: 500, maxInFlightBatches: 1 });
    await (await producer.send("0")).wait();
    way.swallows = true;
    const began = performance.now();
    const sent = await producer.send("1");
    await new Promise((resolve) => setImmediate(resolve)); // it leaves alone
    const behind = await producer.send("2");
    const error = await failureOf(sent.wait());
    const took = performance.now() - began;
    assert.ok(took >= 450 && took < 3_000, `it took ${took} ms`);
    assert.ok(error instanceof OutcomeUnknownError, String(error));
    assert.equal(error.code, "unavailable");
    assert.match(error.detail, /^no answer for 0.5 s/);
    assert.ok((await failureOf(behind.wait())) instanceof NothingAppendedError);
    await producer.done;
    assert.deepEqual(producer.outcome(), {
      ...{ acked: 1, unknown: 1, pending: 0, notInLog: 1, lastOffset: 0n },
    });
  });

  // Also before the first answer, when the producer asks for the log's limits.
  test(`a producer gives up a server that never said a word: ${platform.name}`, async (t) => {
    const fake = await platform.fake(t);
    const way = await tunnel(t, fake);
    way.swallows = true;
    const producer = platform.client(t, way.address).producer({ giveUpAfterMs: 500 });
    const began = performance.now();
    const error = await failureOf(producer.send("0").then((future) => future.wait()));
    assert.ok(performance.now() - began < 4_000);
    assert.equal(error.code, "unavailable");
    await failureOf(producer.close());
  });
}

// What lingers waits for no answer.
test("a producer does not count the time in which its records linger", async (t) => {
  const fake = await startFake(t);
  const client = nodePlatform.client(t, fake.address);
  const producer = client.producer({ giveUpAfterMs: 200, lingerMs: 700 });
  await (await producer.send("0")).wait();
  await (await producer.send("1")).wait();
  await producer.close();
  assert.equal(fake.records.length, 2);
});

// 0 means one try, and not that it is over before its answer can come.
test("a producer that tries once waits for the answer", async (t) => {
  const fake = await startFake(t);
  fake.hooks.produce = async () => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    return undefined;
  };
  const producer = nodePlatform.client(t, fake.address).producer({ giveUpAfterMs: 0 });
  await (await producer.send("0")).wait();
});

// A read first asks for the bounds of the log; it must not wait for ever for that.
test("a read that begins on a silent connection goes on over another one", async (t) => {
  const fake = await startFake(t);
  fake.add("0");
  const way = await tunnel(t, fake);
  way.swallows = true;
  const began = performance.now();
  const read = nodePlatform.client(t, way.address).follow();
  const first = read.next();
  const speaking = setTimeout(() => (way.swallows = false), 2_000);
  t.after(() => clearTimeout(speaking));
  assert.equal((await first).value?.offset, 0n);
  assert.ok(performance.now() - began < 14_000);
  assert.equal(way.connections, 2);
  await read.return();
});

// Before a call goes over a connection that said nothing for long, the connection is asked for
// a sign of life. A client that is closed meanwhile ends the call, and opens no other one.
test("closing the client ends a call whose connection is being checked", async (t) => {
  const fake = await startFake(t);
  fake.add("0");
  const way = await tunnel(t, fake);
  const client = nodePlatform.client(t, way.address);
  await client.consume(0);
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 3_600_000 });
  way.swallows = true;
  const asked = fake.headers.length;
  const call = failureOf(client.consume(0));
  await new Promise((resolve) => setImmediate(resolve)); // it waits for the answer to a ping
  await client.close();
  const error = await call;
  assert.equal(error.code, "canceled");
  assert.match(error.message, /the client is closed/);
  // Connections are taken in their order: none came before this one.
  const { port } = new URL(way.address);
  const own = net.connect(Number(port), "127.0.0.1");
  t.after(() => own.destroy());
  await new Promise((resolve) => own.once("connect", resolve));
  while (way.connections < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(way.connections, 2);
  assert.equal(fake.headers.length, asked);
});
