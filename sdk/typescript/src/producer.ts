import { checkCount, checkOptions, checkTimer, shown, unusable } from "./checks.js";
import type { Core } from "./core.js";
import {
  DEFAULT_BATCH_BYTES,
  DEFAULT_BATCH_RECORDS,
  DEFAULT_GIVE_UP_AFTER_MS,
  DEFAULT_IN_FLIGHT_BATCHES,
  DEFAULT_IN_FLIGHT_BYTES,
} from "./defaults.js";
import { beneath, ClosedError, outcome, ProglogError } from "./errors.js";
import type { Future } from "./future.js";
import { newIdentity, noIdentity } from "./identity.js";
import { checkSizes, kept, type Prepared, prepare } from "./limits.js";
import type { ProducerOptions } from "./options.js";
import { chosenIdentity } from "./produce.js";
import type { ProducerConfig } from "./producer-bounds.js";
import { ProducerRun } from "./producer-run.js";
import type { RecordInput } from "./record.js";
import { Scope } from "./scope.js";

/**
 * The records that `send` took, by what became of them. Their order is that of the
 * fields: first all that are acknowledged, and so on.
 */
export interface Outcome {
  /** In the log. */
  readonly acked: number;
  /** Perhaps in the log. */
  readonly unknown: number;
  /** Waiting, or in flight; 0 once the producer has ended. */
  readonly pending: number;
  /** Certainly not in the log. */
  readonly notInLog: number;
  /** That of the last record that is acknowledged. */
  readonly lastOffset: bigint | undefined;
}

/** How a wait can be ended. */
export interface WaitOptions {
  signal?: AbortSignal | undefined;
}

/**
 * Appends many records without waiting for one before the next is sent. Records get
 * their offsets in the order of `send`, and are acknowledged in that order.
 *
 * What waits goes out together, as an atomic batch. A producer has an identity, and
 * its batches have numbers, by which the server knows one that comes twice. So when
 * the connection is lost, or the server stops or is overloaded, the producer
 * connects again and sends again what was not acknowledged: each record is in the
 * log once, in order.
 *
 * What cannot pass ends the producer: a log that is sealed, an identity that
 * another took over, or a server that stays away. Then every future is done, and
 * says which of three holds for its record: it is in the log (no error), it is not
 * ({@link NothingAppendedError}), or nobody knows ({@link OutcomeUnknownError}). In
 * the order of `send` these are three runs, of which each may be empty.
 *
 * Where requests can be streamed (HTTP/2), batches are in flight together; elsewhere,
 * as in a browser, they go one at a time.
 */
export class Producer implements AsyncDisposable {
  readonly #run: ProducerRun;
  /** Calls of send that wait: they come before what is called after them. */
  #entering = 0;
  /** Is resolved when all of them until now are through. */
  #entered: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** @internal */
  constructor(run: ProducerRun) {
    this.#run = run;
  }

  /**
   * Takes a record, of which it keeps a copy, and returns at once unless too much is
   * in flight: then it waits for room. The first one also waits until the server was
   * asked for its limits.
   *
   * What it throws is a {@link NothingAppendedError}: the record was not taken. A
   * record over a limit, the client's or the server's, is refused so, and the
   * producer goes on.
   *
   * A call that the end of the producer refuses, and that nobody waits for, is no
   * unhandled rejection: `done`, `error`, `flush` and `close` tell of the end. Any other
   * refusal is.
   */
  send(record: RecordInput, options: WaitOptions = {}): Promise<Future> {
    const taken = this.#take(record, options);
    // A promise of its own, so that whether it is handled can be said of it alone.
    const returned = new Promise<Future>((resolve, reject) => {
      taken.then(resolve, (e: unknown) => {
        reject(e);
        if (toldElsewhere(e)) returned.catch(() => {});
      });
    });
    return returned;
  }

  async #take(record: RecordInput, options: WaitOptions): Promise<Future> {
    const run = this.#run;
    try {
      checkOptions(options);
      if (this.#closed) throw run.refusal();
      const prepared = prepare(record, run.limits);
      if (run.asked && this.#entering === 0 && run.hasRoom(prepared.size, 1)) {
        return run.add([prepared], prepared.size); // which copies it
      }
      this.#entering++;
      const before = this.#entered;
      const entering = this.#enter(kept(prepared), before, options).finally(() => this.#entering--);
      this.#entered = Promise.allSettled([before, entering]);
      return await entering;
    } catch (e) {
      throw e instanceof ProglogError ? outcome(e) : e;
    }
  }

  /** Waits until a record can be taken, after those before it. */
  #enter(prepared: Prepared, before: Promise<unknown>, options: WaitOptions): Promise<Future> {
    const run = this.#run;
    return waiting(options, async (scope) => {
      if (!(await scope.wait(before))) throw scope.refusal();
      await run.untilAsked(scope);
      checkSizes(prepared, run.limits);
      await run.untilRoom(scope, prepared.size, 1);
      return run.add([prepared], prepared.size);
    });
  }

  /**
   * Sends what waits and returns when every record is acknowledged whose `send` was called
   * before it, also if that still waits for room. It throws the error that ended the producer, if one did.
   */
  async flush(options: WaitOptions = {}): Promise<void> {
    const entered = this.#entered;
    await waiting(options, async (scope) => {
      // What waits for room makes batches of its own, which must not linger either.
      const calm = this.#entering === 0 ? undefined : this.#run.flushing();
      try {
        if (!(await scope.wait(entered))) throw scope.failure();
      } finally {
        calm?.();
      }
      await this.#run.flush(scope);
    });
    if (this.error !== undefined) throw this.error;
  }

  /**
   * Takes no more records, waits until the others are acknowledged, and ends the
   * stream. If the signal ends the wait, the stream is broken off, which leaves the
   * outcome of what was in flight unknown. It throws the error that ended the
   * producer, if one did. Called again, it does the same.
   */
  async close(options: WaitOptions = {}): Promise<void> {
    this.#closed = true;
    await waiting(options, async (scope) => {
      this.#run.hurry();
      await scope.wait(this.#entered);
      await this.#run.close(scope);
    });
    if (this.error !== undefined) throw this.error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Is resolved when the producer has ended, after `close` or by a failure. All futures are done then. */
  get done(): Promise<void> {
    return this.#run.done;
  }

  /** What ended the producer; undefined while it runs and after a clean `close`. */
  get error(): ProglogError | undefined {
    return this.#run.error;
  }

  /** The counts so far. */
  outcome(): Outcome {
    return { ...this.#run.counts };
  }
}

/** Whether an error says no more than that the producer has ended. */
function toldElsewhere(e: unknown): boolean {
  if (!(e instanceof ProglogError)) return false;
  const cause = beneath(e);
  return cause.behind !== undefined || cause.cause instanceof ClosedError;
}

async function waiting<T>(options: WaitOptions, wait: (scope: Scope) => Promise<T>): Promise<T> {
  checkOptions(options);
  const scope = new Scope([options.signal]);
  try {
    return await wait(scope);
  } finally {
    scope.end();
  }
}

/**
 * Starts a producer for a user.
 *
 * @internal
 */
export function newProducer(core: Core, options: ProducerOptions): Producer {
  return new Producer(new ProducerRun(core, parseProducer(options)));
}

function parseProducer(options: ProducerOptions): ProducerConfig {
  checkOptions(options);
  checkTimer(options.lingerMs, "lingerMs");
  checkCount(options.maxBatchRecords, "maxBatchRecords");
  checkCount(options.maxBatchBytes, "maxBatchBytes");
  checkCount(options.maxInFlightBatches, "maxInFlightBatches");
  checkCount(options.maxInFlightBytes, "maxInFlightBytes");
  const { giveUpAfterMs = DEFAULT_GIVE_UP_AFTER_MS } = options;
  if (typeof giveUpAfterMs !== "number" || !(giveUpAfterMs >= 0)) {
    throw unusable(`giveUpAfterMs is 0 or above, not ${shown(giveUpAfterMs)}`);
  }
  return {
    log: options.log ?? "",
    signal: options.signal,
    lingerMs: options.lingerMs ?? 0,
    batchRecords: options.maxBatchRecords ?? DEFAULT_BATCH_RECORDS,
    batchBytes: options.maxBatchBytes ?? DEFAULT_BATCH_BYTES,
    batches: options.maxInFlightBatches ?? DEFAULT_IN_FLIGHT_BATCHES,
    bytes: options.maxInFlightBytes ?? DEFAULT_IN_FLIGHT_BYTES,
    giveUpAfterMs,
    cut: true,
    identity:
      options.identity === undefined
        ? newIdentity()
        : options.identity === false
          ? noIdentity()
          : chosenIdentity(options.identity),
  };
}
