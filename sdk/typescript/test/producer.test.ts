// Producers against a fake: every record once, in order, and futures that say what became
// of each.
import { Code } from "@connectrpc/connect";
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  ClosedError,
  type Future,
  NothingAppendedError,
  OutcomeUnknownError,
  ProglogError,
} from "../src/index.js";
import { nobody, serverError, startFake } from "./fake.js";
import { nodePlatform, type Platform, platforms, rejection, text } from "./platforms.js";

for (const platform of platforms) describe(`producer: ${platform.name}`, () => cases(platform));

const numbers = (n: number): string[] => Array.from({ length: n }, (_, i) => String(i));

function cases(platform: Platform): void {
  test("records are acknowledged in the order of send", async (t) => {
    const fake = await platform.fake(t);
    const producer = platform.client(t, fake.address).producer({ log: "orders" });
    const futures: Future[] = [];
    for (const value of numbers(2000)) futures.push(await producer.send(value));
    await producer.flush();
    assert.ok(futures.every((f) => f.done));
    const acks = await Promise.all(futures.map((f) => f.wait()));
    assert.deepEqual(
      acks.map((a) => a.offset),
      numbers(2000).map(BigInt),
    );
    assert.deepEqual(
      fake.records.map((r) => text(r.value)),
      numbers(2000),
    );
    assert.equal(fake.produces[0]!.log, "orders");
    const { acked, pending, lastOffset } = producer.outcome();
    assert.deepEqual([acked, pending, lastOffset], [2000, 0, 1999n]);
    await producer.close();
    await producer.close();
    await producer.done;
    const e = await rejection(producer.send("late"), NothingAppendedError);
    assert.ok((e.cause as Error).cause instanceof ClosedError);
  });

  test("every record is in the log once over lost connections and answers", async (t) => {
    const fake = await platform.fake(t);
    let n = 0;
    fake.hooks.produce = async (request) => {
      n++;
      if (n % 7 === 3) fake.cut(); // before it is in the log
      if (n % 7 === 6) {
        fake.append(request);
        fake.cut();
        return new Promise(() => {});
      }
      return undefined;
    };
    const producer = platform.client(t, fake.address).producer({ maxBatchRecords: 10 });
    const futures: Future[] = [];
    for (const value of numbers(300)) futures.push(await producer.send(value));
    await producer.close();
    assert.deepEqual(
      fake.records.map((r) => text(r.value)),
      numbers(300),
    );
    const acks = await Promise.all(futures.map((f) => f.wait()));
    assert.deepEqual(
      acks.map((a) => a.offset),
      numbers(300).map(BigInt),
    );
    assert.ok(acks.some((a) => a.duplicate));
    assert.equal(new Set(fake.produces.map((r) => r.producer!.id)).size, 1);
  });

  test("a producer that is fenced ends: acknowledged, then not in the log", async (t) => {
    const fake = await platform.fake(t);
    const producer = platform
      .client(t, fake.address)
      .producer({ maxBatchRecords: 1, maxInFlightBatches: 1, identity: { id: "me", epoch: 1 } });
    fake.hooks.produce = async (request) => {
      if (request.producer!.sequence < 2n) return undefined;
      throw serverError(Code.FailedPrecondition, 13, { nothingAppended: true, epoch: 2n });
    };
    const futures: Future[] = [];
    for (const value of numbers(5)) futures.push(await producer.send(value));
    const e = await rejection(producer.close(), ProglogError);
    assert.equal(e.reason, "PRODUCER_FENCED");
    const results = await Promise.allSettled(futures.map((f) => f.wait()));
    assert.deepEqual(
      results.map((r) => r.status === "fulfilled"),
      [true, true, false, false, false],
    );
    const errors = results.slice(2).map((r) => (r as PromiseRejectedResult).reason as ProglogError);
    assert.ok(errors.every((error) => error instanceof NothingAppendedError));
    assert.deepEqual([errors[0]!.reason, errors[0]!.epoch], ["PRODUCER_FENCED", 2n]);
    assert.deepEqual(fake.produces[0]!.producer!.id, "me");
    assert.equal(producer.outcome().notInLog, 3);
    assert.ok(producer.error !== undefined);
    await rejection(producer.send("late"), NothingAppendedError);
    await rejection(producer.flush(), ProglogError);
  });

  test("what was sent and never answered is unknown when the producer ends", async (t) => {
    const fake = await platform.fake(t);
    const producer = platform.client(t, fake.address).producer();
    fake.hooks.produce = async () => {
      if (fake.produces.length > 1)
        throw serverError(Code.FailedPrecondition, 8, { nothingAppended: true });
      fake.cut();
      return new Promise(() => {});
    };
    const future = await producer.send("a");
    await rejection(producer.close(), ProglogError);
    const e = await rejection(future.wait(), OutcomeUnknownError);
    assert.equal(e.reason, "LOG_SEALED");
    assert.equal(producer.outcome().unknown, 1);
  });

  test("without an identity the first failure ends it", async (t) => {
    const fake = await platform.fake(t);
    const producer = platform.client(t, fake.address).producer({ identity: false });
    fake.hooks.produce = async () => {
      fake.cut();
      return new Promise(() => {});
    };
    const future = await producer.send("a");
    await producer.done;
    await rejection(future.wait(), OutcomeUnknownError);
    assert.equal(fake.produces.length, 1);
    assert.equal(fake.produces[0]!.producer, undefined);
  });

  test("a server that stays away is given up", async (t) => {
    const fake = await platform.fake(t);
    const away = platform.client(t, await nobody()).producer();
    const future = await away.send("a");
    await away.done;
    await rejection(future.wait(), NothingAppendedError);

    const producer = platform.client(t, fake.address).producer({ giveUpAfterMs: 400 });
    await (await producer.send("a")).wait();
    fake.hooks.produce = async () => {
      throw serverError(Code.Unavailable, 19, { nothingAppended: true });
    };
    const second = await producer.send("b");
    await producer.done;
    assert.equal((await rejection(second.wait(), NothingAppendedError)).reason, "DRAINING");
    assert.ok(fake.produces.length >= 3);
  });

  test("send waits for room, and its signal ends the wait", async (t) => {
    const fake = await platform.fake(t);
    let release = (): void => {};
    const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
    fake.hooks.produce = () => held;
    const producer = platform.client(t, fake.address).producer({ maxInFlightBytes: 1000 });
    await producer.send(new Uint8Array(900));
    const controller = new AbortController();
    const refused = rejection(
      producer.send(new Uint8Array(900), { signal: controller.signal }),
      NothingAppendedError,
    );
    const waits = producer.send(new Uint8Array(900));
    await fake.until(() => fake.produces.length === 1, "the first was sent");
    controller.abort();
    assert.equal((await refused).code, "canceled");
    release();
    await (await waits).wait();
    await producer.close();
    assert.equal(fake.records.length, 2);
  });

  test("a record that has to wait is not overtaken by those behind it", async (t) => {
    const fake = await platform.fake(t);
    const producer = platform.client(t, fake.address).producer({ maxInFlightBytes: 1000 });
    const values = ["first", "a".repeat(900), "b".repeat(900), "small", "c".repeat(900), "last"];
    const sends = [producer.send(values[0]!)];
    await sends[0]; // the server was asked
    for (const value of values.slice(1)) sends.push(producer.send(value));
    for (const send of sends) await (await send).wait();
    assert.deepEqual(
      fake.records.map((r) => text(r.value)),
      values,
    );
    await producer.close();
  });

  test("batches linger, unless they are full or flushed", async (t) => {
    const fake = await platform.fake(t);
    const producer = platform
      .client(t, fake.address)
      .producer({ lingerMs: 60_000, maxBatchRecords: 3 });
    const futures: Future[] = [];
    for (const value of numbers(4)) futures.push(await producer.send(value));
    await futures[2]!.wait();
    assert.equal(futures[3]!.done, false);
    assert.equal(fake.produces.length, 1);
    await producer.flush();
    assert.equal(futures[3]!.done, true);
    const short = platform.client(t, fake.address).producer({ lingerMs: 5 });
    await (await short.send("lingers")).wait();
    await short.close();
    await producer.close();
  });

  test("close comes behind what was sent before it, waited for or not", async (t) => {
    const fake = await platform.fake(t);
    const producer = platform.client(t, fake.address).producer({ lingerMs: 60_000 });
    const sends = numbers(3).map((value) => producer.send(value));
    await producer.close();
    for (const send of sends) await (await send).wait();
    assert.deepEqual(
      fake.records.map((r) => text(r.value)),
      numbers(3),
    );
  });

  test("closing with a signal breaks off", async (t) => {
    const fake = await platform.fake(t);
    fake.hooks.produce = () => new Promise(() => {});
    const producer = platform.client(t, fake.address).producer();
    const future = await producer.send("a");
    await fake.until(() => fake.produces.length === 1, "it was sent");
    const only = new AbortController();
    const given = rejection(future.wait({ signal: only.signal }), DOMException);
    only.abort();
    await given;
    const e = await rejection(producer.close({ signal: AbortSignal.abort() }), ProglogError);
    assert.equal(e.code, "canceled");
    await rejection(future.wait(), OutcomeUnknownError);
  });

  test("the server's lower limits hold", async (t) => {
    const fake = await platform.fake(t);
    fake.limits = { batchRecords: 2, valueBytes: 5n };
    const producer = platform.client(t, fake.address).producer({ lingerMs: 60_000 });
    await rejection(producer.send("longer"), NothingAppendedError);
    for (const value of numbers(4)) await producer.send(value);
    await producer.close();
    assert.ok(fake.produces.every((r) => r.records.length <= 2));
    assert.equal(fake.records.length, 4);
  });

  test("closing the client ends a producer", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    const producer = client.producer();
    await (await producer.send("a")).wait();
    await client.close();
    await producer.done;
    assert.equal(producer.error?.code, "canceled");
  });

  test("options that make no sense are refused", async (t) => {
    const client = platform.client(t, "http://127.0.0.1:1");
    assert.throws(() => client.producer({ maxBatchRecords: 0 }), ProglogError);
    assert.throws(() => client.producer({ identity: { id: "" } }), ProglogError);
  });
}

test("what follows a clean stream end without acknowledgements is not repeated blindly", async (t) => {
  const fake = await startFake(t);
  fake.produceStream = async function* (requests) {
    for await (const _ of requests) break;
    yield* [];
  };
  const producer = nodePlatform.client(t, fake.address).producer();
  const future = await producer.send("a");
  await producer.done;
  const e = await rejection(future.wait(), OutcomeUnknownError);
  assert.match(e.message, /broke the contract/);
});
