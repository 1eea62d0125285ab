// What a caller gives: its bytes are his again when the call has returned, and what no
// server would take is refused at once, in this process, with a typed error.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  Client,
  type CommonOptions,
  NothingAppendedError,
  type ProduceOptions,
  ProglogError,
  type RecordInput,
} from "../src/index.js";
import { type Platform, platforms, rejection, text } from "./platforms.js";

for (const platform of platforms) describe(`arguments: ${platform.name}`, () => cases(platform));

function cases(platform: Platform): void {
  // Goal: bytes that are changed after the call are not those that go into the log.
  for (const options of [{}, { alone: true }, { expectedOffset: 0n }]) {
    test(`the caller's bytes are his again: ${Object.keys(options)}`, async (t) => {
      const fake = await platform.fake(t);
      const client = platform.client(t, fake.address);
      const [value, header] = [Buffer.from("v0"), Buffer.from("h0")];
      const record = { value, headers: [{ name: "n", value: header }] };
      const calls: Promise<unknown>[] = [];
      for (const i of "expectedOffset" in options ? [0] : [0, 1, 2]) {
        value.write(`v${i}`);
        header.write(`h${i}`);
        calls.push(client.produce(record, options));
      }
      value.write("xx");
      header.write("xx");
      await Promise.all(calls);
      const sent = fake.produces.flatMap((r) => (r.record ? [r.record] : r.records));
      const pairs = sent.map((r) => text(r.value) + text(r.headers[0]!.value)).sort();
      assert.deepEqual(pairs, ["v0h0", "v1h1", "v2h2"].slice(0, calls.length));

      const batch = client.produceBatch([value, value], { ...options, ...expecting(fake.next) });
      value.write("yy");
      await batch;
      assert.deepEqual(
        fake.records.slice(-2).map((r) => text(r.value)),
        ["xx", "xx"],
      );
      function expecting(next: bigint): ProduceOptions {
        return "expectedOffset" in options ? { expectedOffset: next } : {};
      }
    });
  }

  // Goal: the same for a producer, also while it waits for the server's first answer.
  test("a producer's bytes are the caller's again", async (t) => {
    const fake = await platform.fake(t);
    const producer = platform.client(t, fake.address).producer();
    const value = Buffer.from("v0");
    for (let round = 0; round < 2; round++) {
      const sends = [];
      for (let i = 0; i < 3; i++) {
        value.write(`v${i}`);
        sends.push(producer.send(value));
      }
      value.write("xx");
      for (const future of await Promise.all(sends)) await future.wait();
    }
    assert.deepEqual(
      fake.records.map((r) => text(r.value)),
      ["v0", "v1", "v2", "v0", "v1", "v2"],
    );
  });

  // Goal: whatever is given in a wrong type or out of range ends as a typed error.
  test("arguments that make no sense are refused before anything is sent", async (t) => {
    const fake = await platform.fake(t);
    const client = platform.client(t, fake.address) as unknown as {
      [method: string]: (...args: unknown[]) => Promise<unknown>;
    };
    const writes: [string, ...unknown[]][] = [
      ...[undefined, null, 5, Symbol("s"), [], {}, { value: 5 }].map((r): [string, unknown] => [
        "produce",
        r,
      ]),
      ["produce", { value: "", headers: {} }],
      ["produce", { value: "", headers: [null] }],
      ["produce", { value: "", headers: [{ name: 5, value: "" }] }],
      ["produce", { value: "", headers: [{ name: "n" }] }],
      ["produceBatch", null],
      ["produceBatch", ["a", null]],
      ...[null, 5, { log: 5 }, { signal: {} }, { timeoutMs: NaN }, { timeoutMs: -1 }].map(
        (o): [string, unknown, unknown] => ["produce", "x", o],
      ),
      ...[-1, -1n, 1.5, NaN, 2n ** 64n, 2 ** 53, "5", null, Symbol("s")].map(
        (expectedOffset): [string, unknown, unknown] => ["produce", "x", { expectedOffset }],
      ),
      ...[
        null,
        5,
        {},
        { id: 5 },
        { id: "i", epoch: -1, sequence: 0 },
        { id: "i", sequence: 0.5 },
      ].map((producer): [string, unknown, unknown] => ["produce", "x", { producer }]),
    ];
    const calls: [string, ...unknown[]][] = [
      ["consume", -1],
      ["consume", 0, null],
      ["consume", true],
      ["consume", 0, { waitMs: NaN }],
      ["consume", 0, { waitMs: -1 }],
      ["consume", 0, { logId: 5 }],
      ["consumeBatch", null],
      ["consumeBatch", { waitMs: Infinity }],
      ["consumeBatch", { fromTime: new Date(NaN) }],
      ["consumeBatch", { fromTime: 2n ** 80n }],
      ["consumeBatch", { fromTime: "today" }],
      ["consumeBatch", { batchRecords: 0 }],
      ["describeLog", 5],
      ["deleteLog", undefined],
      ["sealLog", null],
      ["trimLog", "a", -1n],
      ["createLog", "a", null],
      ["createLog", "a", { retention: { maxAgeMs: NaN } }],
      ["putLog", "a", { retention: { maxBytes: -1 } }],
      ["putLog", "a", { sealed: "yes" }],
    ];
    const check = (e: ProglogError, what: unknown): void => {
      assert.equal(e.code, "invalid_argument", String(what));
      assert.equal(e.fromServer, false);
    };
    for (const [method, ...args] of writes) {
      check(await rejection(client[method]!(...args), NothingAppendedError), method);
    }
    for (const [method, ...args] of calls) {
      check(await rejection(client[method]!(...args), ProglogError), method);
    }
    const reads = [null, { from: -1 }, { until: 0.5 }, { heartbeatMs: NaN }, { heartbeatMs: -1 }];
    for (const options of [...reads, { log: 5 }, { signal: 5 }, { from: 1, fromEnd: 1 }]) {
      for (const method of ["follow", "records", "batches"]) {
        const reader = client[method]!(options) as unknown as { next(): Promise<unknown> };
        check(await rejection(reader.next(), ProglogError), method);
      }
    }
    const producers = [
      ...[NaN, "abc", -1, 2 ** 31].map((lingerMs) => ({ lingerMs })),
      ...[NaN, -1, "5"].map((giveUpAfterMs) => ({ giveUpAfterMs })),
      ...[NaN, 0, 1.5, "5"].flatMap((n) => [{ maxBatchRecords: n }, { maxInFlightBytes: n }]),
      ...[{ id: "w", epoch: -1 }, { id: 5 }, null].map((identity) => ({ identity })),
      null,
    ];
    for (const options of producers) {
      let e: unknown;
      try {
        client["producer"]!(options);
      } catch (caught) {
        e = caught;
      }
      assert.ok(e instanceof ProglogError, JSON.stringify(options));
      check(e, JSON.stringify(options));
    }
    const producer = platform.client(t, fake.address).producer();
    for (const record of [undefined, null, 5]) {
      check(
        await rejection(producer.send(record as unknown as RecordInput), NothingAppendedError),
        record,
      );
    }
    assert.equal(fake.produces.length + fake.reads.length, 0);
    await (await producer.send("still alive")).wait();
  });

  // Goal: a token that turns bad ends calls and readers, and is not told to anybody.
  test("a token that cannot be sent fails what asks for it", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    let token = "good";
    const client = platform.client(t, fake.address, { token: () => token });
    const reader = client.follow();
    await reader.next();
    for (token of ["secret\n", "sec ret", "secret\u00fc"]) {
      const e = await rejection(client.produce("b", { alone: true }), NothingAppendedError);
      assert.equal(e.code, "invalid_argument");
      assert.ok(!e.message.includes("sec"), e.message);
    }
    fake.cut(); // the reader has to ask for a token again
    assert.equal((await rejection(reader.next(), ProglogError)).code, "invalid_argument");
    assert.equal(fake.produces.length, 0);
  });
}

// Goal: what can never be sent is an error of the constructor.
test("headers, tokens, user agents and certificates that cannot be used are refused", () => {
  const wrong: { [name: string]: unknown }[] = [
    { headers: { "Bad Name": "x" } },
    { headers: { name: "x\ny" } },
    { headers: { name: "x\n" } },
    { headers: { name: "\u20ac" } },
    { headers: { Connection: "close" } },
    { token: "abc\n" },
    { token: 5 },
    { userAgent: "a\nb" },
    { userAgent: "\u00fc" },
    { trace: {} },
  ];
  for (const options of wrong) {
    const make = (): unknown => new Client("https://example.com", options as CommonOptions);
    assert.throws(make, TypeError, JSON.stringify(options));
  }
  const begin = "-----BEGIN CERTIFICATE-----";
  const tls = [
    { ca: "garbage" },
    { ca: "" },
    { ca: `${begin}\ngarbage\n-----END CERTIFICATE-----\n` },
    { ca: ["garbage"] },
    { cert: "a", key: "b" },
    { cert: "a" },
  ];
  for (const each of tls) {
    const make = (): unknown => new Client("https://example.com", { tls: each });
    assert.throws(make, TypeError, JSON.stringify(each));
  }
});
