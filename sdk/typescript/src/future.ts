import { checkOptions } from "./checks.js";
import { Writer } from "./codec.js";
import type { ProglogError } from "./errors.js";
import { makeAck } from "./produce.js";
import type { Ack } from "./record.js";
import { Scope } from "./scope.js";

/** The acknowledgement of one record to come. */
export class Future {
  readonly #batch: ProducerBatch;
  /** Within the batch. */
  readonly #index: number;

  /** @internal */
  constructor(batch: ProducerBatch, index: number) {
    this.#batch = batch;
    this.#index = index;
  }

  /** Whether `wait` would return at once. All records of a batch share it. */
  get done(): boolean {
    return this.#batch.settled;
  }

  /**
   * Returns the record's acknowledgement, or throws what became of it. If the signal
   * ends the wait it throws the signal's reason, which says nothing about the record;
   * it can be called again.
   */
  async wait(options: { signal?: AbortSignal | undefined } = {}): Promise<Ack> {
    checkOptions(options);
    const b = this.#batch;
    if (!b.settled) {
      if (options.signal === undefined) await b.done;
      else {
        const scope = new Scope([options.signal]);
        try {
          if (!(await scope.wait(b.done))) throw options.signal.reason;
        } finally {
          scope.end();
        }
      }
    }
    if (b.error !== undefined) throw b.error;
    const { offset, timeNs, duplicate } = b.ack!;
    return makeAck(offset + BigInt(this.#index), 1, timeNs, duplicate);
  }
}

/** A request of a producer. */
export class ProducerBatch {
  readonly writer = new Writer(4096);
  sequence = 0n;
  /** It was sent over a stream that broke without an answer. */
  tried = false;
  records = 0;
  /** How often something was put into it. */
  senders = 0;
  size = 0;
  /** Lets it linger. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** It has lingered. */
  ripe = false;
  /** Its fate is known. */
  settled = false;
  ack: Ack | undefined;
  error: ProglogError | undefined;
  /** Is resolved when its fate is known, and never rejected. */
  readonly done: Promise<void>;
  #resolve!: () => void;

  constructor() {
    this.done = new Promise((resolve) => (this.#resolve = resolve));
  }

  settle(): void {
    clearTimeout(this.timer);
    this.settled = true;
    this.#resolve();
  }
}

/** Lets tasks wait until something changed. */
export class Change {
  #waiting: (() => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  tell(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
