import type { Batch, LogRecord } from "./record.js";
import type { Scope } from "./scope.js";

/**
 * What a read returns: it is iterated over with `for await`, once. Leaving the loop
 * frees its stream; so does `return()`, at any time.
 */
export interface Reader<T> extends AsyncIterableIterator<T, void, undefined>, AsyncDisposable {
  next(): Promise<IteratorResult<T, void>>;
  return(): Promise<IteratorResult<T, void>>;
  [Symbol.asyncIterator](): Reader<T>;
}

const over: IteratorResult<never, void> = { done: true, value: undefined };

/** A read that has begun, and what ends it. */
interface Started {
  readonly batches: AsyncGenerator<Batch, void, undefined>;
  readonly scope: Scope;
}

/** Batches as they come. */
export class BatchReader implements Reader<Batch> {
  readonly #start: () => Started;
  #started: Started | undefined;
  #left = false;

  /** Nothing begins before the first batch is asked for. */
  constructor(start: () => Started) {
    this.#start = start;
  }

  async next(): Promise<IteratorResult<Batch, void>> {
    if (this.#left) return over;
    try {
      this.#started ??= this.#start();
      const result = await this.#started.batches.next();
      if (result.done === true) this.#started.scope.end();
      return result;
    } catch (e) {
      this.#started?.scope.end();
      if (this.#left) return over;
      throw e;
    }
  }

  async return(): Promise<IteratorResult<Batch, void>> {
    this.#left = true;
    if (this.#started !== undefined) {
      const { batches, scope } = this.#started;
      scope.abort(); // first: what waits for a message is waiting for this
      await batches.return().catch(() => {});
    }
    return over;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/** The records of batches, one by one. */
export class RecordReader implements Reader<LogRecord> {
  readonly #batches: BatchReader;
  #records: readonly LogRecord[] = [];
  #at = 0;
  /** Calls of next that wait for a batch. */
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(batches: BatchReader) {
    this.#batches = batches;
  }

  next(): Promise<IteratorResult<LogRecord, void>> {
    if (this.#waiting === 0 && this.#at < this.#records.length) {
      return Promise.resolve({
        done: false,
        value: this.#records[this.#at++]!,
      });
    }
    this.#waiting++;
    const result = this.#last.then(() => this.#pull()).finally(() => this.#waiting--);
    this.#last = result.catch(() => {});
    return result;
  }

  async #pull(): Promise<IteratorResult<LogRecord, void>> {
    while (this.#at >= this.#records.length) {
      const batch = await this.#batches.next();
      if (batch.done === true) return over;
      this.#records = batch.value.records;
      this.#at = 0;
    }
    return { done: false, value: this.#records[this.#at++]! };
  }

  async return(): Promise<IteratorResult<LogRecord, void>> {
    this.#records = [];
    return this.#batches.return() as Promise<IteratorResult<LogRecord, void>>;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
