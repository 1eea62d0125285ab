import { newIdentity } from "./identity.js";
import type { Core } from "./core.js";
import { beneath, ClosedError, ProglogError, vouching } from "./errors.js";
import { makeAck, type Request } from "./produce.js";
import { ProducerRun } from "./producer-run.js";
import type { Ack } from "./record.js";
import type { Scope } from "./scope.js";
import type { ProducerBatch } from "./future.js";

/**
 * How many requests are in flight over a stream that calls share. Few of them make
 * large batches out of many callers.
 */
const sharedBatches = 4;
/** How much waits, or is in flight, over such a stream. */
const sharedBytes = 64 << 20;
/** How long, in ms, a stream that nobody uses stays open. */
const sharedIdleMs = 30_000;
/**
 * How long, in ms, calls wait for a server that answered before to come back, as it
 * does from a restart.
 */
const sharedPatienceMs = 10_000;

interface Shared {
  readonly run: ProducerRun;
  /** Calls that wait. */
  users: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** The streams over which calls of `produce` travel together, one for each log. */
export class Sharing {
  readonly #core: Core;
  readonly #open = new Map<string, Shared>();

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Sends records with those of other calls. It returns undefined if the request has to
   * go alone, to get an answer of its own.
   */
  async produce(scope: Scope, request: Request): Promise<Ack | undefined> {
    const { log, records, size } = request;
    const s = this.#enter(log);
    let batch: ProducerBatch | undefined;
    let error: ProglogError;
    try {
      await s.run.untilAsked(scope);
      await s.run.untilRoom(scope, size, records.length);
      batch = s.run.addTo(records, size);
      const index = batch.records - records.length;
      if (!(await scope.wait(batch.done))) throw scope.failure();
      if (batch.error === undefined) {
        const { offset, timeNs, duplicate } = batch.ack!;
        return makeAck(offset + BigInt(index), records.length, timeNs, duplicate);
      }
      error = batch.error;
    } catch (e) {
      if (!(e instanceof ProglogError)) throw e;
      error = e;
    } finally {
      this.#leave(log, s);
    }
    if (scope.aborted || !error.nothingAppended) throw error;
    return this.#judge(beneath(error), batch);
  }

  /** Decides what a call does about the failure of a stream that appended nothing of it. */
  #judge(e: ProglogError, batch: ProducerBatch | undefined): undefined {
    const cause = e.behind ?? e;
    // A stream stays with a log that is deleted, also when another has taken the name.
    if (cause.reason === "LOG_CHANGED") return undefined;
    // It is an answer to this call alone.
    const own = cause === e && batch?.senders === 1 && cause.fromServer;
    if (own && cause.reason !== "LOG_NOT_FOUND") throw e;
    const noStreams = cause.code === "unimplemented" && !cause.fromServer;
    if (noStreams || cause.fromServer || cause.cause instanceof ClosedError) return undefined;
    throw vouching(cause, true);
  }

  #enter(log: string): Shared {
    let s = this.#open.get(log);
    if (s === undefined || s.run.ended) {
      const { limits, retry } = this.#core;
      s = {
        // It outlives the call that opens it, so nothing of that call bounds it.
        run: new ProducerRun(this.#core, {
          log,
          signal: undefined,
          lingerMs: 0,
          batchRecords: limits.batchRecords,
          batchBytes: limits.batchBytes,
          batches: sharedBatches,
          bytes: sharedBytes,
          giveUpAfterMs: retry.attempts === 1 ? 0 : sharedPatienceMs,
          cut: false, // each call has a deadline of its own
          identity: newIdentity(),
        }),
        users: 0,
        timer: undefined,
      };
      this.#open.set(log, s);
    }
    s.users++;
    clearTimeout(s.timer);
    return s;
  }

  /** The last one leaves a stream that closes after a while. */
  #leave(log: string, s: Shared): void {
    if (--s.users > 0) return;
    s.timer = setTimeout(() => {
      if (this.#open.get(log) === s) this.#open.delete(log);
      s.run.cancel();
    }, sharedIdleMs);
    // In Node a timer keeps the process; this one has nothing to wait for.
    if (typeof s.timer === "object") s.timer.unref();
  }

  /** Ends the streams. */
  close(): void {
    for (const s of this.#open.values()) {
      clearTimeout(s.timer);
      s.run.cancel();
    }
    this.#open.clear();
  }
}
