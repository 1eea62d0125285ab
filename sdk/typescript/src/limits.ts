import { type ProglogError, refused } from "./errors.js";
import type { RecordInput } from "./record.js";

/**
 * What the client checks before it sends anything, in the server's stead: a record
 * over a limit then costs no round trip, and cannot take others of its batch with
 * it.
 */
export interface Limits {
  /** Bytes of a record's value. */
  readonly valueBytes: number;
  /** Headers of a record. */
  readonly headers: number;
  /** Bytes of a record's headers, names and values together. */
  readonly headerBytes: number;
  /** Records of a batch. */
  readonly batchRecords: number;
  /** Bytes of a batch of two records or more: values, header names, header values. */
  readonly batchBytes: number;
}

/** The limits of a server that was not told others. */
export const DEFAULT_LIMITS: Limits = Object.freeze({
  valueBytes: 1 << 20,
  headers: 64,
  headerBytes: 16 << 10,
  batchRecords: 1000,
  batchBytes: 2 << 20,
});

/** A record made ready to be sent: everything in bytes, within the limits. */
export interface Prepared {
  readonly value: Uint8Array;
  /** Names and values in turn. */
  readonly headers: readonly Uint8Array[];
  /** The bytes that count towards those of a batch. */
  readonly size: number;
}

const encoder = new TextEncoder();
const noHeaders: readonly Uint8Array[] = [];

/** Holds a record against the limits. */
export function prepare(record: RecordInput, limits: Limits): Prepared {
  const plain = typeof record === "string" || record instanceof Uint8Array;
  const value = bytes(plain ? record : record.value, "a value");
  if (value.length > limits.valueBytes) {
    throw tooLarge("a value of", value.length, "bytes", limits.valueBytes);
  }
  const given = plain ? undefined : record.headers;
  if (given === undefined || given.length === 0) {
    return { value, headers: noHeaders, size: value.length };
  }
  if (given.length > limits.headers) {
    throw tooLarge("", given.length, "headers", limits.headers);
  }
  const headers: Uint8Array[] = [];
  let size = 0;
  for (const header of given) {
    const name = bytes(String(header.name), "the name of a header");
    const content = bytes(header.value, "the value of a header");
    headers.push(name, content);
    size += name.length + content.length;
  }
  if (size > limits.headerBytes) {
    throw tooLarge("headers of", size, "bytes", limits.headerBytes);
  }
  return { value, headers, size: value.length + size };
}

/** Holds a batch against the limits. */
export function prepareBatch(
  records: readonly RecordInput[],
  limits: Limits,
): { records: Prepared[]; size: number } {
  if (records.length === 0) {
    throw refused("invalid_argument", "NO_RECORD", "the batch has no record");
  }
  if (records.length > limits.batchRecords) {
    throw tooLarge("a batch of", records.length, "records", limits.batchRecords);
  }
  const prepared = records.map((record) => prepare(record, limits));
  const size = prepared.reduce((sum, record) => sum + record.size, 0);
  if (records.length > 1 && size > limits.batchBytes) {
    throw tooLarge("a batch of", size, "bytes", limits.batchBytes);
  }
  return { records: prepared, size };
}

function bytes(content: Uint8Array | string, what: string): Uint8Array {
  if (content instanceof Uint8Array) return content;
  if (typeof content !== "string") {
    throw refused("invalid_argument", "INVALID_REQUEST", `${what} is neither bytes nor a text`);
  }
  // Half of a surrogate pair has no UTF-8: it would travel as another character.
  const text = content as string & { isWellFormed?(): boolean };
  if (text.isWellFormed?.() === false) {
    throw refused("invalid_argument", "INVALID_REQUEST", `${what} is a text that is not Unicode`);
  }
  return encoder.encode(content);
}

function tooLarge(what: string, n: number, unit: string, limit: number): ProglogError {
  const text = `${what ? what + " " : ""}${n} ${unit} is over the limit of ${limit}`;
  return refused("invalid_argument", "TOO_LARGE", text, {
    limit: BigInt(limit),
  });
}
