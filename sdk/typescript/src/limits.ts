import { shown, unusable } from "./checks.js";
import { type ProglogError, refused } from "./errors.js";
import type { HeaderInput, RecordInput } from "./record.js";

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

/**
 * Holds a record against the limits. The bytes are the caller's: what is used after the
 * call has returned to him is {@link kept}.
 */
export function prepare(record: RecordInput, limits: Limits): Prepared {
  const plain = typeof record === "string" || isBytes(record);
  if (!plain && (typeof record !== "object" || record === null)) {
    throw unusable(`a record is bytes, a text or an object with a value, not ${shown(record)}`);
  }
  const value = bytes(plain ? record : record.value, "a value");
  const headers = (plain ? undefined : headersOf(record.headers, limits)) ?? noHeaders;
  const prepared = { value, headers, size: headers.reduce((n, h) => n + h.length, value.length) };
  checkSizes(prepared, limits);
  return prepared;
}

function headersOf(given: unknown, limits: Limits): Uint8Array[] | undefined {
  if (given === undefined) return undefined;
  if (!Array.isArray(given)) throw unusable(`headers are an array, not ${shown(given)}`);
  checkHeaders(given.length, limits);
  return given.flatMap((header: Partial<HeaderInput> | null | undefined) => {
    if (typeof header?.name !== "string") throw unusable("the name of a header is a text");
    return [
      bytes(header.name, "the name of a header"),
      bytes(header.value, "the value of a header"),
    ];
  });
}

/** Holds a record that was prepared against limits that were not known then. */
export function checkSizes({ value, headers, size }: Prepared, limits: Limits): void {
  if (value.length > limits.valueBytes) {
    throw tooLarge("a value of", value.length, "bytes", limits.valueBytes);
  }
  checkHeaders(headers.length / 2, limits);
  if (size - value.length > limits.headerBytes) {
    throw tooLarge("headers of", size - value.length, "bytes", limits.headerBytes);
  }
}

function checkHeaders(n: number, limits: Limits): void {
  if (n > limits.headers) throw tooLarge("", n, "headers", limits.headers);
}

/** The same record in bytes of its own. */
export function kept({ value, headers, size }: Prepared): Prepared {
  // Not by slice, which for a Buffer is the same memory.
  return { value: new Uint8Array(value), headers: headers.map((h) => new Uint8Array(h)), size };
}

/** Holds a batch against the limits. */
export function prepareBatch(
  records: readonly RecordInput[],
  limits: Limits,
): { records: Prepared[]; size: number } {
  if (!Array.isArray(records)) throw unusable(`a batch is an array, not ${shown(records)}`);
  if (records.length === 0) {
    throw refused("invalid_argument", "NO_RECORD", "the batch has no record");
  }
  if (records.length > limits.batchRecords) {
    throw tooLarge("a batch of", records.length, "records", limits.batchRecords);
  }
  const prepared = (records as readonly RecordInput[]).map((record) => prepare(record, limits));
  const size = prepared.reduce((sum, record) => sum + record.size, 0);
  if (records.length > 1 && size > limits.batchBytes) {
    throw tooLarge("a batch of", size, "bytes", limits.batchBytes);
  }
  return { records: prepared, size };
}

/** Says whether it is a Uint8Array, of this realm or of another: of a frame or a context. */
function isBytes(given: unknown): given is Uint8Array {
  if (given instanceof Uint8Array) return true;
  return (
    ArrayBuffer.isView(given) && Object.prototype.toString.call(given) === "[object Uint8Array]"
  );
}

function bytes(content: Uint8Array | string | undefined, what: string): Uint8Array {
  if (isBytes(content)) return content;
  if (typeof content !== "string") {
    throw unusable(`${what} is neither bytes nor a text`);
  }
  // Half of a surrogate pair has no UTF-8: it would travel as another character.
  const text = content as string & { isWellFormed?(): boolean };
  if (text.isWellFormed?.() === false) {
    throw unusable(`${what} is a text that is not Unicode`);
  }
  return encoder.encode(content);
}

function tooLarge(what: string, n: number, unit: string, limit: number): ProglogError {
  const text = `${what ? what + " " : ""}${n} ${unit} is over the limit of ${limit}`;
  return refused("invalid_argument", "TOO_LARGE", text, {
    limit: BigInt(limit),
  });
}
