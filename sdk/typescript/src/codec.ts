import { create, type Message } from "@bufbuild/protobuf";
import { type Empty, EmptySchema } from "@bufbuild/protobuf/wkt";
import type { Prepared } from "./limits.js";
import { type Header, type LogRecord, ReadRecord } from "./record.js";

// The messages that carry records are encoded and decoded here, straight from and
// to records: the generated types would cost several objects for each of them. For
// the protocol library such a message is one without fields of its own: it hands
// over all that came as unknown fields, and sends unknown fields as they are.

/** The type that stands for ProduceRequest, and for ConsumeResponse. */
export const RawSchema = EmptySchema;
/** A message of that type. */
export type Raw = Empty;

/** A decoded ConsumeResponse. */
export interface ConsumeResponse {
  records: LogRecord[];
  /** Set if the response reached the tail. */
  nextOffset: bigint | undefined;
}

const varint = 0;
const delimited = 2;

// Numbers of the fields in log/v1/log.proto.
const requestRecord = 1;
const requestLog = 2;
const requestRecords = 3;
const requestExpected = 4;
const requestProducer = 5;
const responseRecord = 2;
const responseRecords = 3;
const responseNext = 4;

// Tags of the fields of Record, Header, Timestamp and Producer.
const tagValue = (1 << 3) | delimited;
const tagOffset = (2 << 3) | varint;
const tagTimestamp = (5 << 3) | delimited;
const tagHeaders = (6 << 3) | delimited;
const tagName = (1 << 3) | delimited;
const tagContent = (2 << 3) | delimited;
const tagSeconds = (1 << 3) | varint;
const tagNanos = (2 << 3) | varint;
const tagID = (1 << 3) | delimited;
const tagEpoch = (2 << 3) | varint;
const tagSequence = (3 << 3) | varint;
const tagRecords = (requestRecords << 3) | delimited;

/** Encodes fields into a buffer that grows. */
export class Writer {
  #buffer: Uint8Array;
  #length = 0;

  constructor(capacity = 1024) {
    this.#buffer = new Uint8Array(capacity);
  }

  /** What was written, as a view. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Writes a record as an entry of `records`, tag included. */
  record(r: Prepared): void {
    const size = recordSize(r);
    this.#room(size + 11);
    this.#buffer[this.#length++] = tagRecords;
    this.#small(size);
    this.#content(r);
  }

  /** Writes a record as the only one, without a tag. */
  single(r: Prepared): void {
    const size = recordSize(r);
    this.#room(size + 10);
    this.#small(size);
    this.#content(r);
  }

  /** Writes a tag, a length and bytes. */
  field(tag: number, content: Uint8Array): void {
    this.#room(content.length + 11);
    this.#buffer[this.#length++] = tag;
    this.#small(content.length);
    this.#buffer.set(content, this.#length);
    this.#length += content.length;
  }

  /** Writes a length. */
  length(n: number): void {
    this.#room(10);
    this.#small(n);
  }

  /** Writes a tag and a number, unless that is 0. */
  number(tag: number, n: bigint): void {
    if (n === 0n) return;
    this.#room(11);
    this.#buffer[this.#length++] = tag;
    this.varint(n);
  }

  /** Writes a number. */
  varint(n: bigint): void {
    this.#room(10);
    for (; n > 127n; n >>= 7n) this.#buffer[this.#length++] = Number(n & 127n) | 128;
    this.#buffer[this.#length++] = Number(n);
  }

  #content(r: Prepared): void {
    if (r.value.length > 0) {
      this.#buffer[this.#length++] = tagValue;
      this.#small(r.value.length);
      this.#buffer.set(r.value, this.#length);
      this.#length += r.value.length;
    }
    for (let i = 0; i < r.headers.length; i += 2) {
      const name = r.headers[i]!;
      const content = r.headers[i + 1]!;
      this.#buffer[this.#length++] = tagHeaders;
      this.#small(fieldSize(name.length) + fieldSize(content.length));
      if (name.length > 0) this.field(tagName, name);
      if (content.length > 0) this.field(tagContent, content);
    }
  }

  #small(n: number): void {
    for (; n > 127; n >>>= 7) this.#buffer[this.#length++] = (n & 127) | 128;
    this.#buffer[this.#length++] = n;
  }

  #room(n: number): void {
    const need = this.#length + n;
    if (need <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(need, 2 * this.#buffer.length));
    larger.set(this.bytes);
    this.#buffer = larger;
  }
}

function recordSize(r: Prepared): number {
  let size = fieldSize(r.value.length);
  for (let i = 0; i < r.headers.length; i += 2) {
    const header = fieldSize(r.headers[i]!.length) + fieldSize(r.headers[i + 1]!.length);
    size += 1 + varintSize(header) + header;
  }
  return size;
}

/** The size of a bytes field, which is left out when empty. */
function fieldSize(n: number): number {
  return n === 0 ? 0 : 1 + varintSize(n) + n;
}

function varintSize(n: number): number {
  let size = 1;
  for (; n > 127; n >>>= 7) size++;
  return size;
}

/** The parts of a ProduceRequest beside its records. */
export interface RequestParts {
  log?: string | undefined;
  expected?: bigint | undefined;
  producer?: { id: string; epoch: bigint; sequence: bigint } | undefined;
}

const encoder = new TextEncoder();

/**
 * Makes a ProduceRequest of entries of `records`, as {@link Writer.record} wrote
 * them. The bytes are not copied.
 */
export function batchRequest(records: Uint8Array, parts: RequestParts): Raw {
  // The library writes the first tag; the others are in the bytes.
  return request(requestRecords, records.subarray(1), parts);
}

/** Makes a ProduceRequest of one record. */
export function singleRequest(record: Prepared, parts: RequestParts): Raw {
  const w = new Writer(record.size + 32);
  w.single(record);
  return request(requestRecord, w.bytes, parts);
}

function request(no: number, data: Uint8Array, parts: RequestParts): Raw {
  const message = create(RawSchema);
  const fields = [{ no, wireType: delimited, data }];
  if (parts.log) {
    const w = new Writer(parts.log.length + 16);
    const name = encoder.encode(parts.log);
    w.length(name.length);
    fields.push({
      no: requestLog,
      wireType: delimited,
      data: concat(w.bytes, name),
    });
  }
  if (parts.expected !== undefined) {
    const w = new Writer(16);
    w.varint(parts.expected);
    fields.push({ no: requestExpected, wireType: varint, data: w.bytes });
  }
  if (parts.producer !== undefined) {
    const { id, epoch, sequence } = parts.producer;
    const body = new Writer(128);
    body.field(tagID, encoder.encode(id));
    body.number(tagEpoch, epoch);
    body.number(tagSequence, sequence);
    const w = new Writer(16);
    w.length(body.bytes.length);
    fields.push({
      no: requestProducer,
      wireType: delimited,
      data: concat(w.bytes, body.bytes),
    });
  }
  message.$unknown = fields;
  return message;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Decodes a ConsumeResponse. It throws if the bytes are none. */
export function decodeResponse(message: Message): ConsumeResponse {
  const records: LogRecord[] = [];
  let nextOffset: bigint | undefined;
  for (const { no, wireType, data } of message.$unknown ?? []) {
    if ((no === responseRecords || no === responseRecord) && wireType === delimited) {
      const r = new Reader(data);
      r.small(); // the length of what follows
      records.push(decodeRecord(r));
    } else if (no === responseNext && wireType === varint) {
      nextOffset = new Reader(data).varint();
    }
  }
  return { records, nextOffset };
}

const empty: Uint8Array = new Uint8Array(0);
const noHeaders: readonly Header[] = Object.freeze([]);
const decoder = new TextDecoder("utf-8", { fatal: true });

function decodeRecord(r: Reader): LogRecord {
  let value = empty;
  let offset = 0n;
  let seconds = 0;
  let nanos = 0;
  let headers: Header[] | undefined;
  while (r.more()) {
    const tag = r.small();
    if (tag === tagValue) value = r.bytes();
    else if (tag === tagOffset) offset = r.varint();
    else if (tag === tagTimestamp) {
      for (const end = r.end(); r.at < end;) {
        const inner = r.small();
        if (inner === tagSeconds) seconds = r.int();
        else if (inner === tagNanos) nanos = r.int();
        else r.skip(inner);
      }
    } else if (tag === tagHeaders) (headers ??= []).push(decodeHeader(r));
    else r.skip(tag);
  }
  return new ReadRecord(offset, value, headers ?? noHeaders, seconds, nanos);
}

function decodeHeader(r: Reader): Header {
  let name = "";
  let value = empty;
  for (const end = r.end(); r.at < end;) {
    const tag = r.small();
    if (tag === tagName) name = decoder.decode(r.bytes());
    else if (tag === tagContent) value = r.bytes();
    else r.skip(tag);
  }
  return { name, value };
}

/** Reads the parts of an encoded message. Its end is checked by every method. */
class Reader {
  at = 0;
  readonly #data: Uint8Array;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  more(): boolean {
    return this.at < this.#data.length;
  }

  /** A number below 2³². */
  small(): number {
    let n = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const b = this.#byte();
      n |= (b & 127) << shift;
      if (b < 128) return n >>> 0;
    }
    throw new Error("a number is too long");
  }

  /** An unsigned number. */
  varint(): bigint {
    const n = this.#exact();
    return n >= 0 ? BigInt(n) : this.#big();
  }

  /** A signed number, as near as a float gets. */
  int(): number {
    const n = this.#exact();
    return n >= 0 ? n : Number(BigInt.asIntN(64, this.#big()));
  }

  /** A number of up to 7 bytes, which is exact without a bigint; or -1. */
  #exact(): number {
    let n = 0;
    let factor = 1;
    const start = this.at;
    for (let i = 0; i < 7; i++) {
      const b = this.#byte();
      n += (b & 127) * factor;
      if (b < 128) return n;
      factor *= 128;
    }
    this.at = start;
    return -1;
  }

  #big(): bigint {
    let big = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const b = this.#byte();
      big |= BigInt(b & 127) << shift;
      if (b < 128) return BigInt.asUintN(64, big);
    }
    throw new Error("a number is too long");
  }

  /** Reads a length and returns where what it measures ends. */
  end(): number {
    const n = this.small();
    const end = this.at + n;
    if (end > this.#data.length) throw new Error("a field is cut off");
    return end;
  }

  bytes(): Uint8Array {
    const end = this.end();
    const view = this.#data.subarray(this.at, end);
    this.at = end;
    return view;
  }

  /** Passes over a field of a type that a newer server may send. */
  skip(tag: number): void {
    const type = tag & 7;
    if (type === varint) this.varint();
    else if (type === delimited) this.at = this.end();
    else if (type === 1) this.at += 8;
    else if (type === 5) this.at += 4;
    else throw new Error(`a field has the type ${type}`);
    if (this.at > this.#data.length) throw new Error("a field is cut off");
  }

  #byte(): number {
    const b = this.#data[this.at++];
    if (b === undefined) throw new Error("a field is cut off");
    return b;
  }
}
