import { brokenPromise, outcome, type ProglogError, refused, vouching } from "./errors.js";
import { Future, ProducerBatch } from "./future.js";
import type { ProduceResponse } from "./gen/log/v1/log_pb.js";
import type { Identity } from "./identity.js";
import type { Prepared } from "./limits.js";
import type { Outcome } from "./producer.js";
import { readAck } from "./produce.js";

/** How large a backlog and its batches may become. */
export interface BacklogBounds {
  /** Records of a batch. */
  batchRecords: number;
  /** Bytes of a batch of two records or more. */
  batchBytes: number;
  /** Batches in flight. */
  window: number;
  /** Bytes waiting and in flight. */
  readonly bytes: number;
}

/**
 * What a record weighs in flight beyond its own bytes, so that a flood of empty
 * records has an end too.
 */
const recordOverhead = 32;

/**
 * The batches of a producer, in the order of `send`: in flight, closed and waiting, and
 * one that still takes records.
 */
export class Backlog {
  readonly counts: { -readonly [k in keyof Outcome]: Outcome[k] } = {
    ...{ acked: 0, unknown: 0, pending: 0, notInLog: 0, lastOffset: undefined },
  };
  readonly bounds: BacklogBounds;
  readonly #lingerMs: number;
  /** Is told when a batch is ripe. */
  readonly #onRipe: () => void;
  /** Takes records. */
  #open: ProducerBatch | undefined;
  /** Closed, not yet sent. */
  #full: ProducerBatch[] = [];
  /** Numbered, not yet acknowledged. */
  #flight: ProducerBatch[] = [];
  /** So many of them were sent over the stream that is open now. */
  #sent = 0;
  /** Of the records in all of them, with recordOverhead for each. */
  #bytes = 0;
  /** The latest that was opened. */
  #last: ProducerBatch | undefined;
  /** What is open must not linger. */
  #flush = false;
  /** Nor must what is opened later. */
  #hurry = false;
  /** Nor while so many wait for what comes in. */
  flushes = 0;

  constructor(bounds: BacklogBounds, lingerMs: number, onRipe: () => void) {
    this.bounds = bounds;
    this.#lingerMs = lingerMs;
    this.#onRipe = onRipe;
  }

  /** Whether every batch has its fate. */
  get idle(): boolean {
    return this.#flight.length === 0 && !this.waiting;
  }

  /** Whether there are records that were never sent. */
  get waiting(): boolean {
    return this.#full.length > 0 || this.#open !== undefined;
  }

  /** How many batches are sent or numbered, and not acknowledged. */
  get inFlight(): number {
    return this.#flight.length;
  }

  /** Whether the oldest batch in flight was sent before, without an answer. */
  get undecided(): boolean {
    return this.#flight[0]?.tried === true;
  }

  /** Whether so much can be taken now. */
  hasRoom(size: number, records: number): boolean {
    const weight = size + records * recordOverhead;
    // They are taken however large they are, or they would wait for ever.
    return this.#bytes === 0 || this.#bytes + weight <= this.bounds.bytes;
  }

  /** Puts records into the open batch, or into a new one if they do not fit. */
  add(records: readonly Prepared[], size: number): ProducerBatch {
    const { batchRecords, batchBytes } = this.bounds;
    let b = this.#open;
    if (
      b !== undefined &&
      (b.records + records.length > batchRecords || b.size + size > batchBytes)
    ) {
      this.#full.push(b);
      b = undefined;
    }
    b ??= this.#newBatch();
    for (const record of records) b.writer.record(record);
    b.records += records.length;
    b.size += size;
    b.senders++;
    this.#bytes += size + records.length * recordOverhead;
    this.counts.pending += records.length;
    return b;
  }

  /** The same for records that end in a future: that of the first of them. */
  addFuture(records: readonly Prepared[], size: number): Future {
    const b = this.add(records, size);
    return new Future(b, b.records - records.length);
  }

  #newBatch(): ProducerBatch {
    const b = new ProducerBatch();
    this.#open = b;
    this.#last = b;
    if (this.#lingerMs > 0) {
      b.timer = setTimeout(() => {
        b.ripe = true;
        this.#onRipe();
      }, this.#lingerMs);
    }
    return b;
  }

  /** Ends the linger of what waits now, and returns the latest batch if it is undecided. */
  flush(): ProducerBatch | undefined {
    const last = this.#last;
    if (last === undefined || last.settled) return undefined;
    this.#flush = this.#open !== undefined;
    return last;
  }

  /** Nothing lingers any more. */
  hurry(): void {
    this.#hurry = true;
  }

  /** Gives the next batch to send over what is open now, numbered, if one is due. */
  next(identity: Identity): ProducerBatch | undefined {
    if (this.#sent === this.#flight.length && this.#flight.length < this.bounds.window) {
      const due = this.#due();
      if (due !== undefined) {
        due.sequence = identity.sequence++;
        this.#flight.push(due);
      }
    }
    return this.#sent < this.#flight.length ? this.#flight[this.#sent++] : undefined;
  }

  /** Removes the batch that is to be sent now from those that wait. */
  #due(): ProducerBatch | undefined {
    if (this.#full.length > 0) return this.#full.shift();
    const b = this.#open;
    if (b === undefined) return undefined;
    const ready = b.timer === undefined || b.ripe || this.#flush || this.#hurry || this.flushes > 0;
    if (!ready && b.records < this.bounds.batchRecords) return undefined;
    this.#open = undefined;
    this.#flush = false;
    return b;
  }

  /** Takes the answer to the oldest batch in flight. */
  acknowledge(res: ProduceResponse): void {
    const b = this.#flight[0];
    if (this.#sent === 0 || b === undefined) {
      throw brokenPromise("an acknowledgement came of nothing that was sent");
    }
    b.ack = readAck(res, b.records);
    this.#flight.shift();
    this.#sent--;
    this.counts.acked += b.records;
    this.counts.lastOffset = b.ack.nextOffset - 1n;
    this.#settle(b);
  }

  /** What was sent, and is not acknowledged, may be in the log from now on. */
  doubtSent(): void {
    for (const b of this.#flight.slice(0, this.#sent)) b.tried = true;
  }

  /** Everything in flight is to be sent again, over another stream. */
  rewind(): void {
    this.#sent = 0;
  }

  /** Numbers what is in flight anew, under another identity. */
  renumber(identity: Identity): void {
    for (const b of this.#flight) b.sequence = identity.sequence++;
  }

  /**
   * Decides the fate of every batch that has none, by the error that ended the producer.
   *
   * The server ends a stream at the first request that fails, and appends nothing after
   * it. So if it vouches for that request, it does for all in flight that it saw for the
   * first time. If it does not, or said nothing, any of those that were sent may be in
   * the log: requests that arrive together may become durable together. What was sent
   * over an earlier stream, and never answered, may be in the log whatever is said of
   * this one.
   */
  end(e: ProglogError | undefined): void {
    const left = [...this.#flight, ...this.#full];
    if (this.#open !== undefined) left.push(this.#open);
    this.#flight = [];
    this.#full = [];
    this.#open = undefined;
    const cause = e ?? brokenPromise("the producer ended early");
    for (const [i, b] of left.entries()) {
      if (b.tried) {
        b.error = outcome(vouching(cause, false));
        this.counts.unknown += b.records;
      } else {
        b.error = outcome(i === 0 ? vouching(cause, true) : afterFailure(cause));
        this.counts.notInLog += b.records;
      }
      this.#settle(b);
    }
  }

  /** Makes the fate of a batch known. */
  #settle(b: ProducerBatch): void {
    this.#bytes -= b.size + b.records * recordOverhead;
    this.counts.pending -= b.records;
    b.settle();
  }
}

/** The error of what came behind the batch that failed. */
export function afterFailure(e: ProglogError): ProglogError {
  const after = refused("aborted", "", `the producer ended before: ${e.message}`, { cause: e });
  after.behind = e;
  return after;
}
