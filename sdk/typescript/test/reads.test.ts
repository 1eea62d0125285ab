// Reads against a fake: every record once, in order, whatever happens to the connection,
// and an error for what cannot pass. Each test runs through both entries.
import { Code, ConnectError } from "@connectrpc/connect";
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ClosedError, GapError, LogChangedError, ProglogError } from "../src/index.js";
import { markReadUpTo } from "../src/start.js";
import { serverError } from "./fake.js";
import { type Platform, platforms, rejection, text } from "./platforms.js";

for (const platform of platforms) describe(`reads: ${platform.name}`, () => cases(platform));

function cases(platform: Platform): void {
  test("records ends at the tail, follow at until", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a", "b", "c");
    const client = platform.client(t, fake.address);
    const values = [];
    for await (const record of client.records()) values.push(text(record.value));
    assert.deepEqual(values, ["a", "b", "c"]);
    const offsets = [];
    for await (const record of client.follow({ from: 1, until: 3n })) offsets.push(record.offset);
    assert.deepEqual(offsets, [1n, 2n]);
    const batches = [];
    for await (const b of client.batches({ toTail: true, batchRecords: 2 })) batches.push(b);
    assert.deepEqual(
      batches.map((b) => [b.records.length, b.tail, b.nextOffset]),
      [
        [2, false, undefined],
        [1, true, 3n],
      ],
    );
  });

  test("a follow goes on after a lost connection, with the log's identity", async (t) => {
    const fake = await platform.fake(t);
    fake.add("0", "1");
    const client = platform.client(t, fake.address);
    const offsets: bigint[] = [];
    for await (const record of client.follow()) {
      offsets.push(record.offset);
      assert.equal(text(record.value), String(record.offset));
      if (record.offset === 1n || record.offset === 3n) {
        fake.cut();
        fake.add(String(fake.next), String(fake.next + 1n));
      }
      if (record.offset === 5n) break;
    }
    assert.deepEqual(offsets, [0n, 1n, 2n, 3n, 4n, 5n]);
    assert.ok(fake.reads.length >= 3);
    assert.deepEqual([...new Set(fake.reads.map((r) => r.logId))], ["first-life"]);
    assert.equal(fake.reads.at(-1)!.offset, 4n);
  });

  test("a follow goes on after each code that can pass", async (t) => {
    const fake = await platform.fake(t);
    fake.add("0");
    const codes = [Code.Canceled, Code.Unknown, Code.DeadlineExceeded, Code.ResourceExhausted];
    codes.push(Code.Aborted, Code.Internal, Code.Unavailable);
    const left = [...codes];
    fake.hooks.consumeStream = (request) => {
      const code = left.shift();
      if (code === undefined) return undefined;
      return (async function* () {
        yield { records: [fake.records[Number(request.offset)]!] };
        fake.add(String(fake.next));
        throw new ConnectError("it broke", code);
      })();
    };
    const client = platform.client(t, fake.address);
    let due = 0n;
    for await (const record of client.follow()) {
      assert.equal(record.offset, due++);
      if (due > BigInt(codes.length)) break;
    }
    assert.equal(left.length, 0);
  });

  test("a follow ends with each code that cannot pass", async (t) => {
    const fake = await platform.fake(t);
    const names = {
      [Code.InvalidArgument]: "invalid_argument",
      [Code.NotFound]: "not_found",
      [Code.OutOfRange]: "out_of_range",
      [Code.PermissionDenied]: "permission_denied",
      [Code.Unauthenticated]: "unauthenticated",
      [Code.Unimplemented]: "unimplemented",
      [Code.FailedPrecondition]: "failed_precondition",
      [Code.DataLoss]: "data_loss",
    };
    const client = platform.client(t, fake.address);
    for (const [code, name] of Object.entries(names)) {
      const before = fake.reads.length;
      fake.hooks.consumeStream = () => {
        throw new ConnectError("never", Number(code));
      };
      const e = await rejection(client.follow().next(), ProglogError);
      assert.equal(e.code, name);
      assert.equal(e.fromServer, true);
      assert.equal(fake.reads.length, before + 1);
    }
  });

  test("a sealed log ends a follow without an error", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    fake.sealed = true;
    let n = 0;
    for await (const _ of platform.client(t, fake.address).follow()) n++;
    assert.equal(n, 1);
  });

  test("an end without an error before the tail is against the contract", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a", "b");
    fake.hooks.consumeStream = async function* () {
      yield { records: [fake.records[0]!] };
    };
    const read = platform.client(t, fake.address).follow();
    await read.next();
    const e = await rejection(read.next(), ProglogError);
    assert.equal(e.code, "internal");
    assert.match(e.message, /broke the contract/);
  });

  test("a gap and a repeat are against the contract", async (t) => {
    for (const wrong of [0, 2]) {
      const fake = await platform.fake(t);
      fake.add("a", "b", "c");
      fake.hooks.consumeStream = async function* () {
        yield { records: [fake.records[0]!] };
        yield { records: [fake.records[wrong]!] };
      };
      const read = platform.client(t, fake.address).follow();
      assert.equal((await read.next()).done, false);
      const e = await rejection(read.next(), ProglogError);
      assert.match(e.message, new RegExp(`record ${wrong} came where 1 was due`));
    }
  });

  test("records that were trimmed before they were read are a gap", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a", "b", "c", "d");
    fake.hooks.consumeStream = (request, context) => {
      if (request.offset > 0n) return undefined;
      return (async function* () {
        yield { records: [fake.records[0]!] };
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      })();
    };
    const read = platform.client(t, fake.address).follow();
    await read.next();
    fake.records.splice(0, 3);
    fake.first = 3n;
    fake.cut();
    const e = await rejection(read.next(), GapError);
    assert.equal(e.firstOffset, 3n);
    assert.equal(e.nextOffset, 4n);
    assert.equal(e.reason, "OFFSET_TRIMMED");
  });

  test("another log under the name is an error", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    const read = platform.client(t, fake.address).follow();
    await read.next();
    fake.logId = "second-life";
    fake.cut();
    const e = await rejection(read.next(), LogChangedError);
    assert.equal(e.reason, "LOG_CHANGED");
    assert.equal(e.fromServer, true);
  });

  test("a log that went back is an error", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a", "b", "c");
    const read = platform.client(t, fake.address).follow();
    for (let i = 0; i < 3; i++) await read.next();
    fake.records.splice(1);
    fake.cut();
    const e = await rejection(read.next(), LogChangedError);
    assert.equal(e.fromServer, false);
    assert.equal(e.nextOffset, 1n);
  });

  // Goal: an offset that nobody has read is waited for, whatever log it is said to be of.
  test("an offset beyond the tail is waited for, also with the log's identity", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    const { logId } = fake;
    const client = platform.client(t, fake.address);
    const next = client.follow({ from: 3, logId, heartbeatMs: 20 }).next();
    await fake.until(() => fake.beats >= 2, "it waits at the tail");
    fake.cut();
    await fake.until(() => fake.reads.length >= 2, "it has come again");
    fake.add("b", "c", "d");
    const { value } = await next;
    assert.deepEqual([value?.offset, value && text(value.value)], [3n, "d"]);
    // A cursor stands where its reader has been.
    const read = client.follow(markReadUpTo({ from: 9, logId }));
    assert.equal((await rejection(read.next(), LogChangedError)).nextOffset, 4n);
  });

  test("two heartbeats that fail to come are a lost connection", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    fake.hooks.consumeStream = (_, context) => {
      if (fake.reads.length > 1) return undefined;
      return (async function* () {
        yield { records: [fake.records[0]!], nextOffset: 1n };
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      })();
    };
    const read = platform.client(t, fake.address).follow({ heartbeatMs: 100 });
    await read.next();
    const second = read.next();
    await fake.until(() => fake.reads.length === 2, "the follow connects again");
    assert.equal(fake.reads[1]!.offset, 1n);
    fake.add("b");
    assert.equal((await second).value?.offset, 1n);
    await read.return();
  });

  test("heartbeats that come hold a quiet stream", async (t) => {
    const fake = await platform.fake(t);
    const read = platform.client(t, fake.address).follow({ heartbeatMs: 150 });
    const first = read.next();
    await fake.until(() => fake.beats === 5, "the stream was silent for longer than it may be");
    fake.add("a");
    assert.equal((await first).value?.offset, 0n);
    assert.equal(fake.reads.length, 1);
    await read.return();
  });

  test("fromEnd 0 loses nothing that comes before the stream does", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    let cuts = 3;
    fake.hooks.consumeStream = () => {
      if (cuts-- <= 0) return undefined;
      fake.add(`after ${cuts}`);
      throw new ConnectError("not yet", Code.Unavailable);
    };
    const read = platform.client(t, fake.address).follow({ fromEnd: 0 });
    assert.equal((await read.next()).value?.offset, 1n);
    await read.return();
  });

  test("leaving the loop frees the stream", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a", "b");
    const client = platform.client(t, fake.address);
    for await (const _ of client.follow()) {
      assert.equal(fake.open, 1);
      break;
    }
    await fake.until(() => fake.open === 0, "the stream is closed");
  });

  test("return ends a wait at the tail, and frees the stream", async (t) => {
    const fake = await platform.fake(t);
    const read = platform.client(t, fake.address).follow();
    const waiting = read.next();
    await fake.until(() => fake.open === 1, "the stream is open");
    await read.return();
    assert.deepEqual(await waiting, { done: true, value: undefined });
    await fake.until(() => fake.open === 0, "the stream is closed");
  });

  test("the signal ends a read at any moment", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    const before = await rejection(
      client.follow({ signal: AbortSignal.abort() }).next(),
      ProglogError,
    );
    assert.equal(before.code, "canceled");
    const controller = new AbortController();
    const waiting = rejection(client.follow({ signal: controller.signal }).next(), ProglogError);
    await fake.until(() => fake.open === 1, "the stream is open");
    controller.abort(new Error("enough"));
    const e = await waiting;
    assert.equal(e.code, "canceled");
    assert.equal(e.fromServer, false);
    await fake.until(() => fake.open === 0, "the stream is closed");
  });

  test("closing the client ends a read", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address);
    const waiting = rejection(client.follow().next(), ProglogError);
    await fake.until(() => fake.open === 1, "the stream is open");
    await client.close();
    const e = await waiting;
    assert.equal(e.code, "canceled");
    assert.match(e.message, /closed/);
    const after = await rejection(client.consume(0), ProglogError);
    assert.ok(after.cause instanceof ClosedError);
  });

  test("the first contact is tried only so often", async (t) => {
    const fake = await platform.fake(t);
    let asked = 0;
    fake.hooks.getLog = () => {
      asked++;
      throw serverError(Code.Unavailable, 19);
    };
    const e = await rejection(platform.client(t, fake.address).follow().next(), ProglogError);
    assert.equal(e.reason, "DRAINING");
    assert.equal(asked, 5);
  });

  test("calls of next that do not wait for each other get each record once", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a", "b", "c");
    const read = platform.client(t, fake.address).records({ batchRecords: 2 });
    const results = await Promise.all([read.next(), read.next(), read.next(), read.next()]);
    assert.deepEqual(
      results.map((r) => r.value?.offset),
      [0n, 1n, 2n, undefined],
    );
  });

  test("consume tells both bounds of an offset that is not there", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    const client = platform.client(t, fake.address);
    assert.equal(text((await client.consume(0)).value), "a");
    const e = await rejection(client.consume(7), ProglogError);
    assert.equal(e.reason, "OFFSET_UNWRITTEN");
    assert.deepEqual([e.firstOffset, e.nextOffset], [0n, 1n]);
    for (const wrong of [-1, 0.5, -1n, 1n << 64n]) {
      assert.equal((await rejection(client.consume(wrong), ProglogError)).code, "invalid_argument");
    }
  });

  test("a deadline ends a call", async (t) => {
    const fake = await platform.fake(t);
    fake.hooks.getLog = () => {
      throw serverError(Code.Unavailable, 19);
    };
    const retry = { attempts: 1000, minDelayMs: 20, maxDelayMs: 20 };
    const client = platform.client(t, fake.address, { retry });
    const e = await rejection(client.describeLog("", { timeoutMs: 50 }), ProglogError);
    assert.equal(e.code, "deadline_exceeded");
  });
}
