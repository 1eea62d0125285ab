/** A named annotation of a record. Order and duplicates are kept. */
export interface Header {
  /** UTF-8; may be empty. */
  readonly name: string;
  /** Any bytes; may be empty. */
  readonly value: Uint8Array;
}

/** A record as it is in its log. */
export interface LogRecord {
  /** The record's number in its log, from 0 on without gaps. */
  readonly offset: bigint;
  /**
   * The bytes that were produced. They are a view of the response that they came
   * with: keep `value.slice()` of one record that outlives many others.
   */
  readonly value: Uint8Array;
  readonly headers: readonly Header[];
  /** When the server appended the record. It never decreases within a log. */
  readonly time: Date;
  /** The same in nanoseconds since 1970. */
  readonly timeNs: bigint;
}

/** A header to produce. A text travels as UTF-8. */
export interface HeaderInput {
  readonly name: string;
  readonly value: Uint8Array | string;
}

/** A record to produce: its value, or its value with headers. A text travels as UTF-8. */
export type RecordInput =
  | Uint8Array
  | string
  | {
      readonly value: Uint8Array | string;
      readonly headers?: readonly HeaderInput[];
    };

/** The server's word that records are durable: they, and all before them in the log. */
export interface Ack {
  /** That of the record, or of the first of a batch. */
  readonly offset: bigint;
  /** One past that of the record, or of the last of a batch. */
  readonly nextOffset: bigint;
  /** The time of the records; undefined from a server that does not tell. */
  readonly time: Date | undefined;
  /** The same in nanoseconds since 1970. */
  readonly timeNs: bigint | undefined;
  /**
   * This is the acknowledgement of an earlier try, which had come through; nothing
   * was appended twice.
   */
  readonly duplicate: boolean;
}

/** A run of records that arrived together. */
export interface Batch {
  /**
   * At least one record, but for `consumeBatch` at the tail. Their offsets are
   * contiguous.
   */
  readonly records: readonly LogRecord[];
  /**
   * The last of them was the last of the log when the server sent it, so that the
   * next batch may take a while.
   */
  readonly tail: boolean;
  /** The log's next offset, if `tail`. */
  readonly nextOffset: bigint | undefined;
}

/** A record that was read. The times are made when they are asked for. */
export class ReadRecord implements LogRecord {
  readonly offset: bigint;
  readonly value: Uint8Array;
  readonly headers: readonly Header[];
  readonly #seconds: number;
  readonly #nanos: number;

  constructor(
    offset: bigint,
    value: Uint8Array,
    headers: readonly Header[],
    seconds: number,
    nanos: number,
  ) {
    this.offset = offset;
    this.value = value;
    this.headers = headers;
    this.#seconds = seconds;
    this.#nanos = nanos;
  }

  get time(): Date {
    return new Date(this.#seconds * 1000 + Math.floor(this.#nanos / 1e6));
  }

  get timeNs(): bigint {
    return BigInt(this.#seconds) * 1_000_000_000n + BigInt(this.#nanos);
  }
}
