// Every public method against the real server, through both entries.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Client } from "../src/client.js";
import { GapError, LogChangedError, NothingAppendedError, ProglogError } from "../src/index.js";
import { type Platform, platforms, rejection, text } from "./platforms.js";
import { realServer, skipped } from "./server.js";

for (const platform of platforms) {
  describe(`real server: ${platform.name}`, { skip: skipped }, () => cases(platform));
}

async function values(client: Client, log: string): Promise<string[]> {
  const all = [];
  for await (const record of client.records({ log })) all.push(text(record.value));
  return all;
}

function cases(platform: Platform): void {
  test("records come back as they were produced", async (t) => {
    const client = platform.client(t, (await realServer(t)).address);
    const started = Date.now() - 1000;
    const ack = await client.produce({
      value: "hello",
      headers: [
        { name: "n", value: "1" },
        { name: "n", value: new Uint8Array([0, 255]) },
      ],
    });
    assert.ok(ack.time!.getTime() >= started);
    const record = await client.consume(ack.offset);
    assert.equal(text(record.value), "hello");
    assert.deepEqual(
      record.headers.map((h) => [h.name, [...h.value]]),
      [
        ["n", [49]],
        ["n", [0, 255]],
      ],
    );
    assert.equal(record.timeNs, ack.timeNs);
    assert.equal(record.time.getTime(), ack.time!.getTime());
    const empty = await client.produce("");
    assert.equal((await client.consume(empty.offset)).value.length, 0);
    const large = new Uint8Array(1 << 20).fill(9);
    const at = (await client.produce(large)).offset;
    assert.deepEqual(Buffer.from((await client.consume(at)).value), Buffer.from(large));
  });

  test("starts: an offset, the end, a time, the first record", async (t) => {
    const client = platform.client(t, (await realServer(t)).address);
    await client.produceBatch(["0", "1", "2"]);
    const { timeNs, time } = await client.produce("3");
    await client.produce("4");
    const first = async (options: object): Promise<string | undefined> => {
      for await (const record of client.records(options)) return text(record.value);
      return undefined;
    };
    assert.equal(await first({}), "0");
    assert.equal(await first({ from: 2 }), "2");
    assert.equal(await first({ fromEnd: 2n }), "3");
    assert.equal(await first({ fromEnd: 99 }), "0");
    assert.equal(await first({ fromTime: timeNs }), "3");
    assert.equal(await first({ fromTime: new Date(time!.getTime() + 60_000) }), undefined);
    assert.equal(await first({ from: 5 }), undefined);
    assert.equal((await rejection(first({ from: 6 }), ProglogError)).reason, "OFFSET_UNWRITTEN");
    const both = await rejection(first({ from: 1, fromEnd: 1 }), ProglogError);
    assert.equal(both.code, "invalid_argument");

    const batch = await client.consumeBatch({ from: 1, batchRecords: 2 });
    assert.deepEqual([batch.records.length, batch.tail], [2, false]);
    const last = await client.consumeBatch({ fromEnd: 1 });
    assert.deepEqual([last.records.length, last.tail, last.nextOffset], [1, true, 5n]);
    const cut = await client.consumeBatch({ until: 2 });
    assert.equal(cut.records.length, 2);
    const later = await client.consumeBatch({ fromTime: timeNs! });
    assert.equal(later.records[0]!.offset, 3n);
    const none = await client.consumeBatch({ from: 5, waitMs: 10 });
    assert.deepEqual([none.records.length, none.nextOffset], [0, 5n]);
    for (const start of [{ from: 5 }, { fromEnd: 0 }, { fromTime: new Date(Date.now() + 1e9) }]) {
      const atTail = await client.consumeBatch(start);
      assert.deepEqual([atTail.records, atTail.tail, atTail.nextOffset], [[], true, 5n]);
    }
    const beyond = await rejection(client.consumeBatch({ from: 6 }), ProglogError);
    assert.deepEqual([beyond.reason, beyond.nextOffset], ["OFFSET_UNWRITTEN", 5n]);
    const waits = client.consume(5, { waitMs: 20_000 });
    await client.produce("5");
    assert.equal(text((await waits).value), "5");
  });

  test("logs are made, listed, described, trimmed, sealed and deleted", async (t) => {
    const client = platform.client(t, (await realServer(t)).address);
    const made = await client.createLog("a/1", {
      retention: { maxAgeMs: 3_600_500, maxBytes: 1e6 },
    });
    assert.deepEqual(made.retention, { maxAgeMs: 3_600_500, maxBytes: 1_000_000n });
    assert.deepEqual([made.name, made.sealed, made.durability], ["a/1", false, "synced"]);
    assert.equal((await rejection(client.createLog("a/1"), ProglogError)).code, "already_exists");
    assert.equal((await client.putLog("a/2")).created, true);
    assert.equal((await client.putLog("a/2", { retention: {} })).created, false);
    const names = [];
    for await (const { name } of client.listLogs("a/")) names.push(name);
    assert.deepEqual(names, ["a/1", "a/2"]);

    await client.produceBatch(["0", "1", "2"], { log: "a/1" });
    assert.equal(await client.trimLog("a/1", 2), 2n);
    const e = await rejection(client.consume(0, { log: "a/1" }), GapError);
    assert.deepEqual([e.firstOffset, e.nextOffset], [2n, 3n]);
    await rejection(client.follow({ log: "a/1", from: 0 }).next(), GapError);
    assert.equal((await client.sealLog("a/1")).sealed, true);
    const sealed = await rejection(client.produce("3", { log: "a/1" }), NothingAppendedError);
    assert.equal(sealed.reason, "LOG_SEALED");
    let n = 0;
    for await (const _ of client.follow({ log: "a/1" })) n++;
    assert.equal(n, 1);
    const info = await client.describeLog("a/1");
    assert.deepEqual([info.firstOffset, info.nextOffset, info.sealed], [2n, 3n, true]);
    assert.ok(info.lastTime !== undefined && info.dedupWindow!.acks > 0 && info.bytes > 0n);

    await client.deleteLog("a/1");
    const gone = await rejection(client.deleteLog("a/1"), ProglogError);
    assert.equal(gone.reason, "LOG_NOT_FOUND");
    assert.equal((await rejection(client.sealLog("a/1"), ProglogError)).code, "not_found");
    const again = await client.createLog("a/1");
    assert.notEqual(again.id, info.id);
    assert.equal((await client.produce("4", { log: "a/1" })).offset, 3n);
    const other = await rejection(
      client.consumeBatch({ log: "a/1", logId: info.id, from: 3 }),
      LogChangedError,
    );
    assert.equal(other.fromServer, true);
  });

  test("a deleted log ends its followers", async (t) => {
    const client = platform.client(t, (await realServer(t)).address);
    await client.createLog("a");
    await client.produce("0", { log: "a" });
    const read = client.follow({ log: "a" });
    await read.next();
    const waiting = rejection(read.next(), ProglogError);
    await client.deleteLog("a");
    assert.equal((await waiting).reason, "LOG_NOT_FOUND");
  });

  test("writes at an expected offset, and under the caller's own sequence", async (t) => {
    const client = platform.client(t, (await realServer(t)).address);
    await client.produce("0", { expectedOffset: 0 });
    const e = await rejection(client.produce("1", { expectedOffset: 0n }), NothingAppendedError);
    assert.deepEqual([e.reason, e.nextOffset], ["OFFSET_MISMATCH", 1n]);
    const producer = { id: "mine", epoch: 1n, sequence: 0n };
    const first = await client.produce("1", { producer });
    const second = await client.produce("1", { producer });
    assert.deepEqual([first.duplicate, second.duplicate], [false, true]);
    assert.equal(second.offset, first.offset);
    const other = await rejection(client.produce("x", { producer }), NothingAppendedError);
    assert.equal(other.reason, "SEQUENCE_REUSED");
    const gap = await rejection(
      client.produce("x", { producer: { ...producer, sequence: 2 } }),
      NothingAppendedError,
    );
    assert.deepEqual([gap.reason, gap.sequence], ["SEQUENCE_GAP", 1n]);
    const fenced = await rejection(
      client.produce("x", { producer: { ...producer, epoch: 0n } }),
      NothingAppendedError,
    );
    assert.deepEqual([fenced.reason, fenced.epoch], ["PRODUCER_FENCED", 1n]);
    assert.deepEqual(await values(client, ""), ["0", "1"]);
  });

  test("a cursor whose log was replaced begins anew with the other", async (t) => {
    const client = platform.client(t, (await realServer(t)).address);
    await client.createLog("replaced");
    await client.produceBatch(["a", "b"], { log: "replaced" });
    const cursor = client.cursor("replaced", "me");
    await cursor.get();
    cursor.set(2n);
    await cursor.commit();
    await client.deleteLog("replaced");
    const info = await client.createLog("replaced");
    const place = await cursor.get();
    const read = async () => {
      for await (const record of client.records({ log: "replaced", ...place.start })) void record;
    };
    const e = await rejection(read(), LogChangedError);
    assert.equal(e.reason, "LOG_CHANGED");
    const anew = await cursor.restart();
    assert.equal(anew.logId, info.id);
    assert.equal(anew.offset, info.firstOffset);
    await cursor.commit();
    assert.equal((await client.cursor("replaced", "me").get()).logId, info.id);
  });

  test("a cursor keeps its place, and two do not overwrite each other", async (t) => {
    const client = platform.client(t, (await realServer(t)).address);
    await client.createLog("orders");
    await client.produceBatch(["0", "1", "2"], { log: "orders" });
    const cursor = client.cursor("orders", "billing");
    const none = await cursor.get();
    assert.deepEqual([none.logId, none.start], ["", {}]);
    await cursor.commit(); // nothing was set
    for await (const record of client.records({ log: "orders", ...none.start })) {
      cursor.set(record.offset + 1n);
      if (record.offset === 1n) break;
    }
    await cursor.commit();
    const stored = await client.consume(0, { log: cursor.logName });
    const { id } = await client.describeLog("orders");
    const place = JSON.parse(text(stored.value)) as { log_id: string; offset: string };
    assert.deepEqual([place.log_id, place.offset], [id, "2"]);

    const other = client.cursor("orders", "billing");
    const there = await other.get();
    assert.deepEqual([there.logId, there.offset], [id, 2n]);
    assert.deepEqual([there.start.logId, there.start.from], [id, 2n]);
    other.set(3);
    await other.commit();
    cursor.set(3);
    const e = await rejection(cursor.commit(), NothingAppendedError);
    assert.equal(e.reason, "OFFSET_MISMATCH");
    assert.match(e.message, /somebody else/);
    await rejection(cursor.commit(), NothingAppendedError); // it has not looked
    assert.equal((await cursor.get()).offset, 3n);
    cursor.set(3);
    await cursor.commit(); // it has seen the other's place now
    assert.equal((await other.get()).offset, 3n);
    const limits = await client.describeLog(cursor.logName);
    assert.equal(limits.retention.maxBytes, 65536n);
  });

  // Goal: the real server lets an offset be waited for, also under the log's identity.
  test("an offset beyond the tail of a known log is waited for", async (t) => {
    const server = await realServer(t);
    const client = platform.client(t, server.address);
    await client.produce("0");
    const { id } = await client.describeLog("");
    const next = client.follow({ from: 2, logId: id, heartbeatMs: 1000 }).next();
    await client.produceBatch(["1", "2"]);
    assert.equal((await next).value?.offset, 2n);
  });

  // Goal: a reader that lags on an open stream while the log is trimmed before it gets what
  // the server has still sent, in order, or a typed gap; nothing is left out in silence.
  test("a log that is trimmed under a reader that lags", async (t) => {
    const server = await realServer(t);
    const client = platform.client(t, server.address);
    const value = "x".repeat(100_000);
    const producer = client.producer();
    for (let i = 0; i < 400; i++) await producer.send(value);
    await producer.close();
    const reader = client.follow({ batchRecords: 10 });
    assert.equal((await reader.next()).value?.offset, 0n);
    assert.equal(await client.trimLog("", 395), 395n);
    let due = 1n;
    let gap: GapError | undefined;
    try {
      for (; due < 400n; due++) assert.equal((await reader.next()).value?.offset, due);
    } catch (e) {
      if (!(e instanceof GapError)) throw e;
      gap = e;
    }
    if (gap !== undefined) {
      assert.ok(due < 395n);
      assert.deepEqual([gap.firstOffset, gap.nextOffset], [395n, 400n]);
    }
    await reader.return();
    const late = await rejection(client.follow({ from: 1 }).next(), GapError);
    assert.equal(late.firstOffset, 395n);
  });

  test("a producer and a follower go over three kills of the server, each record once", async (t) => {
    const server = await realServer(t);
    const retry = { attempts: 5, minDelayMs: 10, maxDelayMs: 100 };
    const client = platform.client(t, server.address, { retry });
    const total = 3000;
    const seen: bigint[] = [];
    const following = (async () => {
      for await (const record of client.follow({ heartbeatMs: 1000 })) {
        assert.equal(text(record.value), String(record.offset));
        seen.push(record.offset);
        if (seen.length === total) return;
      }
    })();
    const producer = client.producer({ maxBatchRecords: 20 });
    for (let i = 0; i < total; i++) {
      const future = await producer.send(String(i));
      if (i % 800 === 799) {
        await future.wait();
        await producer.send(String(++i)); // in flight when it dies
        await server.kill();
        await server.start();
      }
    }
    await producer.close();
    await following;
    assert.deepEqual(
      seen,
      Array.from({ length: total }, (_, i) => BigInt(i)),
    );
    assert.equal(producer.outcome().acked, total);
  });

  test("a server that drains is come back to", async (t) => {
    const server = await realServer(t);
    const retry = { attempts: 5, minDelayMs: 10, maxDelayMs: 100 };
    const client = platform.client(t, server.address, { retry });
    await client.produce("0");
    const read = client.follow();
    await read.next();
    const waiting = read.next();
    await server.drain();
    await server.start();
    await client.produce("1");
    assert.equal(text((await waiting).value!.value), "1");
    await read.return();
  });
}
