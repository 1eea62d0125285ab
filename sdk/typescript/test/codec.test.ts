// Holds the encoding and decoding by hand against the generated code.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import { test } from "node:test";
import { batchRequest, decodeResponse, RawSchema, singleRequest, Writer } from "../src/codec.js";
import { ConsumeResponseSchema, ProduceRequestSchema } from "../src/gen/log/v1/log_pb.js";
import { DEFAULT_LIMITS, prepare } from "../src/limits.js";

const inputs = [
  "",
  "a",
  new Uint8Array(300).fill(7),
  {
    value: "with headers",
    headers: [
      { name: "n", value: "v" },
      { name: "n", value: "" },
    ],
  },
  {
    value: "",
    headers: [
      { name: "", value: new Uint8Array(200) },
      { name: "ü".repeat(90), value: "x" },
    ],
  },
  new Uint8Array(70_000),
];
const records = inputs.map((record) => prepare(record, DEFAULT_LIMITS));
const big = (1n << 64n) - 1n;

test("a batch reads back through the generated code", () => {
  const w = new Writer(1);
  for (const record of records) w.record(record);
  for (const producer of [
    undefined,
    { id: "p", epoch: 0n, sequence: 0n },
    { id: "ü", epoch: big, sequence: 300n },
  ]) {
    for (const expected of [undefined, 0n, 127n, 128n, big]) {
      const raw = batchRequest(w.bytes, { log: "orders", expected, producer });
      const request = fromBinary(ProduceRequestSchema, toBinary(RawSchema, raw));
      assert.equal(request.log, "orders");
      assert.equal(request.expectedOffset, expected);
      assert.equal(request.record, undefined);
      assert.deepEqual(
        request.producer && { ...request.producer, $typeName: undefined },
        producer && { ...producer, $typeName: undefined },
      );
      assert.equal(request.records.length, inputs.length);
      for (const [i, { value, headers }] of request.records.entries()) {
        assert.deepEqual(value, records[i]!.value);
        const flat = headers.flatMap((h) => [new TextEncoder().encode(h.name), h.value]);
        assert.deepEqual(flat, [...records[i]!.headers]);
      }
      assert.equal(request.$unknown, undefined);
    }
  }
});

test("a single record reads back through the generated code", () => {
  for (const record of records) {
    const raw = singleRequest(record, {});
    const request = fromBinary(ProduceRequestSchema, toBinary(RawSchema, raw));
    assert.deepEqual(request.record?.value, record.value);
    assert.equal(request.records.length, 0);
  }
});

test("a response of the generated code is decoded", () => {
  const response = create(ConsumeResponseSchema, {
    records: [
      { value: new Uint8Array([1, 2]), offset: 0n },
      { offset: (1n << 49n) - 1n, timestamp: { seconds: 1_700_000_000n, nanos: 999_999_999 } },
      { offset: 1n << 49n, timestamp: { seconds: -5n, nanos: 1 } },
      { offset: big, headers: [{ name: "é", value: new Uint8Array([3]) }, { name: "é" }] },
    ],
    nextOffset: big,
  });
  const { records, nextOffset } = decodeResponse(
    fromBinary(RawSchema, toBinary(ConsumeResponseSchema, response)),
  );
  assert.equal(nextOffset, big);
  assert.deepEqual(
    records.map((r) => r.offset),
    [0n, (1n << 49n) - 1n, 1n << 49n, big],
  );
  assert.deepEqual(records[0]!.value, new Uint8Array([1, 2]));
  assert.equal(records[1]!.timeNs, 1_700_000_000_999_999_999n);
  assert.equal(records[1]!.time.getTime(), 1_700_000_000_999);
  assert.equal(records[2]!.timeNs, -4_999_999_999n);
  assert.deepEqual(records[3]!.headers, [
    { name: "é", value: new Uint8Array([3]) },
    { name: "é", value: new Uint8Array(0) },
  ]);
});

test("fields of a newer server are passed over, and one that is cut off is not", () => {
  // value "hi", then fields 15 of each wire type, then offset 9
  const record = [0x0a, 2, 104, 105, 0x78, 0x96, 1, 0x7a, 1, 0, 0x7d, 1, 2, 3, 4];
  record.push(0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 9);
  const response = Uint8Array.from([0x1a, record.length, ...record]);
  const [r] = decodeResponse(fromBinary(RawSchema, response)).records;
  assert.equal(r!.offset, 9n);
  assert.equal(String.fromCharCode(...r!.value), "hi");
  for (const broken of [record.slice(0, 3), record.slice(0, 12), record.slice(0, 20), [0x0b]]) {
    const bytes = Uint8Array.from([0x1a, broken.length, ...broken]);
    assert.throws(() => decodeResponse(fromBinary(RawSchema, bytes)), /cut off|has the type/);
  }
});
