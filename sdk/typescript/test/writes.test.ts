// Single writes against a fake: once in the log however often they were sent, and an error
// that says whether they are in it.
import { Code, ConnectError } from "@connectrpc/connect";
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { NothingAppendedError, OutcomeUnknownError, ProglogError } from "../src/index.js";
import { nobody, serverError, startFake } from "./fake.js";
import { nodePlatform, type Platform, platforms, rejection, text } from "./platforms.js";

for (const platform of platforms) describe(`writes: ${platform.name}`, () => cases(platform));

function cases(platform: Platform): void {
  test("a record and a batch", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    const ack = await client.produce("a");
    assert.deepEqual([ack.offset, ack.nextOffset, ack.duplicate], [0n, 1n, false]);
    assert.equal(ack.time?.getTime(), 1_700_000_000_000);
    assert.equal(ack.timeNs, 1_700_000_000_000_000_000n);
    const batch = await client.produceBatch(["b", new Uint8Array([99])], { alone: true });
    assert.deepEqual([batch.offset, batch.nextOffset], [1n, 3n]);
    assert.deepEqual(
      fake.records.map((r) => text(r.value)),
      ["a", "b", "c"],
    );
    assert.equal(fake.produces.at(-1)!.record, undefined);
  });

  test("an answer that was lost does not double the record", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    let losses = 2;
    fake.hooks.produce = async (request) => {
      if (losses-- <= 0) return undefined;
      fake.append(request);
      fake.cut();
      return new Promise(() => {}); // there is nobody to answer
    };
    for (const alone of [false, true]) {
      losses = 1;
      const before = fake.records.length;
      const ack = await client.produce("a", { alone });
      assert.equal(ack.duplicate, true);
      assert.equal(ack.offset, BigInt(before));
      assert.equal(fake.records.length, before + 1);
      const [first, second] = fake.produces.slice(-2);
      assert.ok(first!.producer!.id !== "");
      assert.deepEqual(first!.producer, second!.producer);
    }
  });

  test("requests that go alone are numbered under one identity, one at a time", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    for (let i = 0; i < 3; i++) await client.produce("a", { alone: true });
    assert.deepEqual(
      fake.produces.map((r) => r.producer!.sequence),
      [0n, 1n, 2n],
    );
    assert.equal(new Set(fake.produces.map((r) => r.producer!.id)).size, 1);
    await Promise.all(["a", "b", "c"].map((v) => client.produce(v, { alone: true })));
    const last = fake.produces.slice(-3).map((r) => `${r.producer!.id} ${r.producer!.sequence}`);
    assert.equal(new Set(last).size, 3);
  });

  test("fenced, sealed or mismatched after an unanswered try: the outcome is unknown", async (t) => {
    const refusals: [Code, number, string][] = [
      [Code.FailedPrecondition, 13, "PRODUCER_FENCED"],
      [Code.FailedPrecondition, 8, "LOG_SEALED"],
      [Code.Aborted, 12, "OFFSET_MISMATCH"],
    ];
    for (const [code, reason, name] of refusals) {
      const fake = await platform.fake(t);
      const client = platform.client(t, fake.address);
      let tries = 0;
      fake.hooks.produce = async () => {
        if (tries++ > 0) throw serverError(code, reason, { nothingAppended: true, nextOffset: 9n });
        fake.cut();
        return new Promise(() => {});
      };
      const e = await rejection(client.produce("a", { expectedOffset: 0 }), OutcomeUnknownError);
      assert.equal(e.reason, name);
      assert.equal(e.outcome, "unknown");
      assert.equal(e.nothingAppended, false);
      assert.ok(e.cause instanceof ProglogError);
      assert.equal(tries, 2);
    }
  });

  test("the same refusals at the first try: nothing was appended", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    const detail = { nothingAppended: true, epoch: 3n, sequence: 2n, nextOffset: 9n };
    for (const options of [{}, { alone: true }, { expectedOffset: 5n }]) {
      fake.hooks.produce = async () => {
        throw serverError(Code.FailedPrecondition, 13, detail);
      };
      const e = await rejection(client.produce("a", options), NothingAppendedError);
      assert.equal(e.reason, "PRODUCER_FENCED");
      assert.equal(e.fromServer, true);
      assert.deepEqual([e.epoch, e.sequence, e.nextOffset, e.firstOffset], [3n, 2n, 9n, undefined]);
      assert.equal(e.outcome, "nothing_appended");
    }
  });

  test("what passes is tried again, so often and no more", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    let failures = 2;
    fake.hooks.produce = async () => {
      if (failures-- > 0) throw serverError(Code.ResourceExhausted, 17, { nothingAppended: true });
      return undefined;
    };
    await client.produce("a", { alone: true });
    assert.equal(fake.produces.length, 3);
    failures = Infinity;
    const e = await rejection(client.produce("b", { alone: true }), NothingAppendedError);
    assert.equal(e.reason, "OVERLOADED");
    assert.equal(fake.produces.length, 8);
  });

  test("a message over the transport's limit is never sent again", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    fake.hooks.produce = async () => {
      throw new ConnectError("message is too large", Code.ResourceExhausted);
    };
    for (const options of [{ alone: true }, {}]) {
      const before = fake.produces.length;
      const e = await rejection(client.produce("a", options), NothingAppendedError);
      assert.equal(e.code, "resource_exhausted");
      assert.equal(e.reason, "");
      assert.equal(fake.produces.length, before + 1);
    }
  });

  test("limits are held before anything is sent", async (t) => {
    const fake = await platform.fake(t);
    const limits = { valueBytes: 10, headers: 1, headerBytes: 5, batchRecords: 2, batchBytes: 12 };
    const client = platform.client(t, fake.address, { limits });
    const header = { name: "n", value: "v" };
    const cases: [() => Promise<unknown>, string, bigint | undefined][] = [
      [() => client.produce("x".repeat(11)), "TOO_LARGE", 10n],
      [() => client.produce("ü".repeat(6)), "TOO_LARGE", 10n],
      [() => client.produce({ value: "", headers: [header, header] }), "TOO_LARGE", 1n],
      [
        () => client.produce({ value: "", headers: [{ name: "long", value: "er" }] }),
        "TOO_LARGE",
        5n,
      ],
      [() => client.produceBatch([]), "NO_RECORD", undefined],
      [() => client.produceBatch(["", "", ""]), "TOO_LARGE", 2n],
      [() => client.produceBatch(["x".repeat(7), "x".repeat(6)]), "TOO_LARGE", 12n],
      [
        () => client.produce("", { producer: { id: "", sequence: 0 } }),
        "INVALID_REQUEST",
        undefined,
      ],
      [
        () => client.produce("", { producer: { id: "x".repeat(65), sequence: 0 } }),
        "INVALID_REQUEST",
        undefined,
      ],
      [() => client.produce(7 as unknown as string), "INVALID_REQUEST", undefined],
      [() => client.produce("\ud800"), "INVALID_REQUEST", undefined],
    ];
    for (const [call, reason, limit] of cases) {
      const e = await rejection(call(), NothingAppendedError);
      assert.deepEqual([e.code, e.reason, e.limit], ["invalid_argument", reason, limit]);
      assert.equal(e.fromServer, false);
    }
    assert.equal(fake.produces.length, 0);
    await client.produceBatch(["x".repeat(10)]);
  });

  test("an abort before the send appended nothing, one after it is unknown", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    const before = await rejection(
      client.produce("a", { signal: AbortSignal.abort() }),
      NothingAppendedError,
    );
    assert.equal(before.code, "canceled");
    fake.hooks.produce = () => new Promise(() => {});
    for (const alone of [false, true]) {
      const sent = fake.produces.length;
      const controller = new AbortController();
      const call = rejection(
        client.produce("b", { signal: controller.signal, alone }),
        OutcomeUnknownError,
      );
      if (alone || sent === 0) await fake.until(() => fake.produces.length > sent, "it was sent");
      controller.abort();
      assert.equal((await call).code, "canceled");
      const late = await rejection(
        client.produce("c", { timeoutMs: 30, alone }),
        OutcomeUnknownError,
      );
      assert.equal(late.code, "deadline_exceeded");
    }
  });

  test("the caller's own sequence repeats to the first acknowledgement", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    const producer = { id: "mine", epoch: 2, sequence: 0n };
    assert.equal((await client.produce("a", { producer })).duplicate, false);
    assert.equal((await client.produce("a", { producer })).duplicate, true);
    assert.deepEqual(fake.produces[0]!.producer!.epoch, 2n);
  });

  test("a server that knows no identities gets nothing twice", async (t) => {
    const fake = await platform.fake(t);
    fake.hooks.getLog = () => ({ info: { logId: "x" }, capabilities: { producers: false } });
    const client = platform.client(t, fake.address);
    fake.hooks.produce = async (request) => {
      fake.add(...(request.record ? [request.record] : request.records).map((r) => r.value));
      fake.cut();
      return new Promise(() => {});
    };
    for (const alone of [false, true]) {
      const before = fake.records.length;
      await rejection(client.produce("a", { alone }), OutcomeUnknownError);
      assert.equal(fake.records.length, before + 1);
    }
  });

  test("an acknowledgement that does not fit leaves the outcome unknown", async (t) => {
    const fake = await platform.fake(t);
    fake.hooks.produce = async () => ({ offset: 3n, nextOffset: 9n });
    const client = platform.client(t, fake.address);
    const e = await rejection(client.produce("a", { alone: true }), OutcomeUnknownError);
    assert.match(e.message, /broke the contract/);
  });

  test("a server that is not there appended nothing", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, await nobody());
    for (const alone of [false, true]) {
      const e = await rejection(client.produce("a", { alone }), NothingAppendedError);
      assert.equal(e.code, "unavailable");
      assert.equal(e.fromServer, false);
    }
    assert.equal(fake.produces.length, 0);
  });
}

test("calls that wait together travel together, each with its own acknowledgement", async (t) => {
  const fake = await startFake(t);
  const client = nodePlatform.client(t, fake.address);
  let release = (): void => {};
  const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
  fake.hooks.produce = () => held;
  const acks = Promise.all(Array.from({ length: 500 }, (_, i) => client.produce(String(i))));
  await fake.until(() => fake.produces.length > 0, "the first request came");
  release();
  const offsets = (await acks).map((a) => a.offset);
  assert.equal(new Set(offsets).size, 500);
  for (const [i, offset] of offsets.entries()) {
    assert.equal(text(fake.records[Number(offset)]!.value), String(i));
  }
  assert.ok(fake.produces.length < 10, `${fake.produces.length} requests`);
  assert.equal(new Set(fake.produces.map((r) => r.producer!.id)).size, 1);
});

test("one call that is refused on a shared stream does not fail the others", async (t) => {
  const fake = await startFake(t);
  const client = nodePlatform.client(t, fake.address);
  fake.hooks.produce = async (request) => {
    const values = (request.record ? [request.record] : request.records).map((r) => text(r.value));
    if (values.includes("bad"))
      throw serverError(Code.InvalidArgument, 2, { nothingAppended: true });
    return undefined;
  };
  const results = await Promise.allSettled(["a", "bad", "b"].map((v) => client.produce(v)));
  assert.deepEqual(
    results.map((r) => r.status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  const e = (results[1] as PromiseRejectedResult).reason as ProglogError;
  assert.ok(e instanceof NothingAppendedError);
  assert.equal(e.reason, "INVALID_REQUEST");
  assert.deepEqual(fake.records.map((r) => text(r.value)).sort(), ["a", "b"]);
});
