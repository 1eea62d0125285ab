import { checkDuration, shown, unusable } from "./checks.js";
import { Backoff } from "./backoff.js";
import { type Bounds, type Core, decode, toDuration } from "./core.js";
import type { ConsumeResponse } from "./codec.js";
import { DEFAULT_HEARTBEAT_MS, DEFAULT_READ_RECORDS } from "./defaults.js";
import { brokenPromise, failure, LogChangedError, ProglogError, refused } from "./errors.js";
import { fate } from "./fate.js";
import { type ReadOptions, toOffset } from "./options.js";
import type { Batch } from "./record.js";
import { Scope } from "./scope.js";
import { isReadUpTo, parseStart, type StartPoint } from "./start.js";
import { methods } from "./wire.js";

/** Checks a number of records. */
export function parseBatchRecords(n: number | undefined): number {
  if (n === undefined) return DEFAULT_READ_RECORDS;
  if (!Number.isSafeInteger(n) || n < 1 || n >= 2 ** 32) {
    throw unusable(`batchRecords is not possible: ${shown(n)}`);
  }
  return n;
}

/** One iteration over a log, across as many streams as it takes. */
export class Reading {
  readonly #core: Core;
  readonly #scope: Scope;
  readonly #log: string;
  readonly #start: StartPoint;
  readonly #records: number;
  readonly #toTail: boolean;
  readonly #backoff: Backoff;
  #logId: string;
  /** The offset that is due. */
  #next = 0n;
  /** Exclusive. */
  #until: bigint | undefined;
  /** Everything before the start was read, as a cursor of this very log says. */
  readonly #stored: boolean;
  /** The log's next offset when the read began. */
  #tailAtBegin = 0n;
  /** Something was. */
  #delivered = false;
  #heartbeatMs: number;
  #streams = 0;

  constructor(core: Core, scope: Scope, options: ReadOptions) {
    checkDuration(options.heartbeatMs, "heartbeatMs");
    this.#core = core;
    this.#scope = scope;
    this.#log = options.log ?? "";
    this.#logId = options.logId ?? "";
    this.#start = parseStart(options);
    this.#stored = this.#start.at === "offset" && isReadUpTo(options);
    this.#records = parseBatchRecords(options.batchRecords);
    this.#toTail = options.toTail ?? false;
    this.#until = options.until === undefined ? undefined : toOffset(options.until, "until");
    this.#heartbeatMs = options.heartbeatMs ?? DEFAULT_HEARTBEAT_MS;
    this.#backoff = new Backoff(core.retry);
  }

  /** Reads until the log ends, or with an error. */
  async *batches(): AsyncGenerator<Batch, void, undefined> {
    await this.#begin();
    while (this.#until === undefined || this.#next < this.#until) {
      try {
        yield* this.#stream();
        return;
      } catch (e) {
        await this.#resume(e);
      }
    }
  }

  /**
   * Finds out where to start, and which log it is: a log that takes over the name of
   * a deleted one must not be read on as if it were that.
   */
  async #begin(): Promise<void> {
    const b = await this.#core.bounds(this.#scope, this.#log);
    if (this.#logId !== "" && b.logId !== "" && this.#logId !== b.logId) {
      throw new LogChangedError({
        code: "failed_precondition",
        reason: "LOG_CHANGED",
        message: `the log is ${b.logId}, and not the one that is to be read, ${this.#logId}`,
      });
    }
    this.#logId ||= b.logId;
    const [low, high] = b.heartbeatMs;
    this.#heartbeatMs =
      high > 0 && this.#heartbeatMs > 0 ? Math.min(Math.max(this.#heartbeatMs, low), high) : 0;
    const start = this.#start;
    if (start.at === "earliest") this.#next = b.first;
    else if (start.at === "offset") this.#next = start.offset;
    else if (start.at === "time") this.#next = await this.#find(start.time);
    else this.#next = start.offset > b.next - b.first ? b.first : b.next - start.offset;
    this.#checkTail(b.next, this.#next);
    this.#tailAtBegin = b.next;
    if (this.#toTail) this.#endAt(b);
  }

  /** Ends the read at the tail as it is now. */
  #endAt(b: Bounds): void {
    if (this.#next > b.next) {
      throw refused(
        "out_of_range",
        "OFFSET_UNWRITTEN",
        `offset ${this.#next} is not yet written: the log's next offset is ${b.next}`,
        { firstOffset: b.first, nextOffset: b.next },
      );
    }
    if (this.#until === undefined || this.#until > b.next) this.#until = b.next;
  }

  /**
   * Asks for the offset at which the records of a time begin. From there on a read
   * goes by offsets, which is what it can be resumed by.
   */
  #find(time: { seconds: bigint; nanos: number }): Promise<bigint> {
    return this.#core.retryRead(this.#scope, this.#log, async (call) => {
      try {
        const request = {
          log: this.#log,
          logId: this.#logId,
          maxRecords: 1,
          start: { case: "fromTime" as const, value: time },
        };
        const res = decode(await this.#core.wire.unary(methods.consume, request, call));
        const found = res.records[0]?.offset ?? res.nextOffset;
        if (found !== undefined) return found;
      } catch (e) {
        const unwritten = e instanceof ProglogError && e.reason === "OFFSET_UNWRITTEN";
        if (unwritten && e.nextOffset !== undefined) return e.nextOffset;
        throw e;
      }
      throw brokenPromise("neither a record nor the tail came for a time");
    });
  }

  /** Reads one stream, to its end without an error. */
  async *#stream(): AsyncGenerator<Batch, void, undefined> {
    const scope = new Scope([this.#scope.signal]);
    const pulse = new Pulse(scope, this.#heartbeatMs, this.#core.wire.replacement());
    const call = { scope, log: this.#log, attempt: ++this.#streams };
    const responses = this.#core.wire.stream(methods.consumeStream, this.#request(), call);
    try {
      for (;;) {
        const r = await pulse.over(responses.next());
        if (r.done === true) break;
        const res = decode(r.value);
        this.#check(res);
        this.#backoff.reset();
        const { records, nextOffset } = res;
        if (records.length === 0) continue; // a heartbeat
        this.#next += BigInt(records.length);
        this.#delivered = true;
        yield { records, tail: nextOffset !== undefined, nextOffset };
      }
      await this.#end();
    } finally {
      scope.abort();
      await responses.return();
    }
  }

  async *#request() {
    const heartbeat = toDuration(this.#heartbeatMs);
    yield {
      log: this.#log,
      logId: this.#logId,
      offset: this.#next,
      maxRecords: this.#records,
      ...(this.#until === undefined ? {} : { untilOffset: this.#until }),
      ...(heartbeat === undefined ? {} : { heartbeat }),
    };
  }

  /**
   * Holds what came against what was due: a gap or a repeat would be silent
   * corruption of whatever the caller builds from the records.
   */
  #check(res: ConsumeResponse): void {
    let due = this.#next;
    for (const { offset } of res.records) {
      if (offset !== due || (this.#until !== undefined && due >= this.#until)) {
        throw brokenPromise(`record ${offset} came where ${due} was due`);
      }
      due++;
    }
    const tail = res.nextOffset;
    if (tail === undefined) return;
    if (tail > due) {
      throw brokenPromise(`the tail, at offset ${tail}, came where record ${due} was due`);
    }
    this.#checkTail(tail, due);
  }

  /**
   * A log that ends before a record which was read from it, here or by whoever stored the
   * cursor, is not the same any more. What was readable is
   * durable, so an older state was put in its place, without a sign that the server
   * could see.
   */
  #checkTail(tail: bigint, due: bigint): void {
    let known = this.#delivered || this.#stored ? due : 0n;
    if (this.#tailAtBegin > known) known = this.#tailAtBegin;
    if (tail >= known) return;
    throw new LogChangedError({
      code: "failed_precondition",
      reason: "LOG_CHANGED",
      message: `the log ends at offset ${tail}, and reached ${known} before: it is an older state of it`,
      nextOffset: tail,
    });
  }

  /** Judges the end of a stream without an error: a sealed log ends one at its tail. */
  async #end(): Promise<void> {
    if (this.#until !== undefined && this.#next >= this.#until) return;
    const b = await this.#core.bounds(this.#scope, this.#log);
    if (b.next > this.#next) {
      throw brokenPromise(`the stream ended at offset ${this.#next}, before ${b.next}`);
    }
    this.#checkTail(b.next, this.#next);
  }

  /** Decides whether to go on after a failed stream, and waits as long as it should. */
  async #resume(e: unknown): Promise<void> {
    if (!(e instanceof ProglogError) || this.#scope.aborted) {
      throw this.#scope.aborted ? this.#scope.failure(e) : e;
    }
    const trimmed = e.reason === "OFFSET_TRIMMED" ? e.firstOffset : undefined;
    const free = this.#start.at !== "offset" && !this.#delivered;
    if (trimmed !== undefined && trimmed > this.#next && free) {
      this.#next = trimmed; // trimmed since it began
      return;
    }
    const tooOften = this.#backoff.exhausted();
    const f = fate(e);
    if (f === "final" || (f === "doubtful" && tooOften)) throw e;
    if (!(await this.#scope.sleep(this.#backoff.pause()))) throw this.#scope.failure(e);
  }
}

/** Watches over the signs of life of a stream. */
class Pulse {
  readonly #scope: Scope;
  readonly #afterMs: number;
  #lost = false;

  readonly #onLost: () => void;

  /** With a heartbeat of 0 nothing is promised. */
  constructor(scope: Scope, heartbeatMs: number, onLost: () => void) {
    this.#scope = scope;
    this.#onLost = onLost;
    this.#afterMs = 2.5 * heartbeatMs;
  }

  /** Waits for a message, or gives the stream up. */
  async over<T>(message: Promise<T>): Promise<T> {
    if (this.#afterMs === 0) return message;
    const timer = setTimeout(() => {
      this.#lost = true;
      this.#onLost(); // a new stream on a dead connection would be as silent
      this.#scope.abort();
    }, this.#afterMs);
    try {
      return await message;
    } catch (e) {
      if (!this.#lost) throw e;
      throw failure({
        code: "unavailable",
        message: "no sign of life from the server, where two were due",
        cause: e,
      });
    } finally {
      clearTimeout(timer);
    }
  }
}
