import { Backoff } from "./backoff.js";
import { batchRequest, type Raw } from "./codec.js";
import type { Core } from "./core.js";
import {
  brokenPromise,
  ClosedError,
  failure,
  outcome,
  ProglogError,
  refused,
  vouching,
} from "./errors.js";
import { fate, tooLong } from "./fate.js";
import { Change, Future, ProducerBatch } from "./future.js";
import type { GetLogResponse, ProduceResponse } from "./gen/log/v1/log_pb.js";
import { DEDUP_ACKS, type Identity, noIdentity, producerOf, renewed } from "./identity.js";
import type { Limits, Prepared } from "./limits.js";
import type { Outcome } from "./producer.js";
import { readAck } from "./produce.js";
import { Scope } from "./scope.js";
import { methods } from "./wire.js";

/** What a producer goes by, checked. */
export interface ProducerConfig {
  readonly log: string;
  readonly signal: AbortSignal | undefined;
  readonly lingerMs: number;
  readonly batchRecords: number;
  readonly batchBytes: number;
  /** In flight, at most. */
  readonly batches: number;
  /** Waiting and in flight, at most. */
  readonly bytes: number;
  /** Without progress. */
  readonly giveUpAfterMs: number;
  readonly identity: Identity;
}

/**
 * What a record weighs in flight beyond its own bytes, so that a flood of empty
 * records has an end too.
 */
const recordOverhead = 32;

/** The life of a producer: streams or single requests, one after the other. */
export class ProducerRun {
  /** The client's, or the server's where they are lower. */
  limits: Limits;
  /** The server was asked for its bounds. */
  asked = false;
  /** Why it ended; undefined after a clean end. */
  error: ProglogError | undefined;
  readonly counts: { -readonly [k in keyof Outcome]: Outcome[k] } = {
    ...{ acked: 0, unknown: 0, pending: 0, notInLog: 0, lastOffset: undefined },
  };
  /** Is resolved when the producer has ended and every future is done. */
  readonly done: Promise<void>;

  readonly #core: Core;
  readonly #config: ProducerConfig;
  readonly #scope: Scope;
  /** Something below changed. */
  readonly #change = new Change();
  /** Bytes shrank, or the producer ended. */
  readonly #room = new Change();
  readonly #backoff: Backoff;
  #batchRecords: number;
  #batchBytes: number;
  /** Batches in flight, at most. */
  #window: number;
  #identity: Identity;
  /** The server told its bounds, or that it does not. */
  #known = false;
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
  /** No more records will come. */
  #closing = false;
  /** The server has answered. */
  #reached = false;
  #ended = false;
  /** Since when there was no acknowledgement, by performance.now(). */
  #failing = 0;
  #attempts = 0;

  constructor(core: Core, config: ProducerConfig) {
    this.#core = core;
    this.#config = config;
    this.limits = core.limits;
    this.#batchRecords = Math.min(config.batchRecords, core.limits.batchRecords);
    this.#batchBytes = Math.min(config.batchBytes, core.limits.batchBytes);
    this.#identity = config.identity;
    this.#window = config.identity.none ? config.batches : Math.min(config.batches, DEDUP_ACKS);
    this.#backoff = new Backoff(core.retry);
    this.#scope = new Scope([config.signal, core.closing.signal]);
    this.#scope.signal.addEventListener("abort", () => this.#change.tell());
    this.done = this.#live();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Ends the producer without waiting for anything. */
  cancel(): void {
    this.#scope.abort();
  }

  /** Waits until the server was asked for its bounds. */
  async untilAsked(scope: Scope): Promise<void> {
    while (!this.asked && !this.#ended) {
      if (!(await scope.wait(this.#room.wait()))) throw scope.refusal();
    }
  }

  /** Whether so much can be taken now. */
  hasRoom(size: number, records: number): boolean {
    const weight = size + records * recordOverhead;
    // They are taken however large they are, or they would wait for ever.
    const full = this.#bytes > 0 && this.#bytes + weight > this.#config.bytes;
    return !full || this.#ended || this.#closing;
  }

  async untilRoom(scope: Scope, size: number, records: number): Promise<void> {
    while (!this.hasRoom(size, records)) {
      if (!(await scope.wait(this.#room.wait()))) throw scope.refusal();
    }
  }

  /** Takes records for one batch. The future is of the first of them. */
  add(records: readonly Prepared[], size: number): Future {
    const b = this.addTo(records, size);
    return new Future(b, b.records - records.length);
  }

  /** Puts records into the open batch, or into a new one if they do not fit. */
  addTo(records: readonly Prepared[], size: number): ProducerBatch {
    if (this.error !== undefined) throw afterFailure(this.error);
    if (this.#closing || this.#ended) throw this.refusal();
    let b = this.#open;
    if (
      b !== undefined &&
      (b.records + records.length > this.#batchRecords || b.size + size > this.#batchBytes)
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
    this.#change.tell();
    return b;
  }

  /** The error of a record that comes too late. */
  refusal(): ProglogError {
    if (this.error !== undefined) return afterFailure(this.error);
    const cause = new ClosedError("the producer is closed");
    return refused("canceled", "", "the producer is closed", { cause });
  }

  /** Nothing lingers any more. */
  hurry(): void {
    this.#hurry = true;
    this.#change.tell();
  }

  #newBatch(): ProducerBatch {
    const b = new ProducerBatch();
    this.#open = b;
    this.#last = b;
    if (this.#config.lingerMs > 0) {
      b.timer = setTimeout(() => {
        b.ripe = true;
        this.#change.tell();
      }, this.#config.lingerMs);
    }
    return b;
  }

  async flush(scope: Scope): Promise<void> {
    const last = this.#last;
    if (last === undefined || last.settled) return;
    this.#flush = this.#open !== undefined;
    this.#change.tell();
    if (!(await scope.wait(last.done))) throw scope.failure();
  }

  async close(scope: Scope): Promise<void> {
    this.#closing = true;
    this.#change.tell();
    this.#room.tell();
    if (!(await scope.wait(this.done))) {
      this.#scope.abort(scope.signal.reason);
      await this.done;
    }
  }

  async #live(): Promise<void> {
    await Promise.resolve(); // the constructor ends first
    let error: ProglogError | undefined;
    try {
      await this.#learn();
      this.asked = true;
      this.#room.tell();
      while (await this.#awaitWork()) {
        const e = await this.#use();
        if (e !== undefined) await this.#goOn(e);
        if (!this.#known) await this.#learn();
      }
    } catch (e) {
      error =
        e instanceof ProglogError ? e : failure({ code: "unknown", message: String(e), cause: e });
    }
    this.#end(error);
    this.#scope.end();
  }

  /**
   * Asks the server for its bounds, unless it has told them. One that does not tell is
   * taken to have the usual ones; one that knows no identities must not get a record
   * twice.
   */
  async #learn(): Promise<void> {
    const { log } = this.#config;
    let res: GetLogResponse;
    try {
      res = await this.#ask(log);
    } catch (e) {
      if (!(e instanceof ProglogError)) throw e;
      this.#known = e.fromServer && fate(e) === "final";
      if (e.fromServer && e.code === "unimplemented") this.#goWithoutIdentity();
      return;
    }
    this.#known = true;
    const { capabilities, info, limits } = res;
    if (capabilities !== undefined && !capabilities.producers) this.#goWithoutIdentity();
    const acks = info?.dedupWindow?.acks ?? 0;
    if (acks > 0 && !this.#identity.none) this.#window = Math.min(this.#window, acks);
    if (limits === undefined) return;
    this.#batchRecords = lower(this.#batchRecords, limits.batchRecords);
    this.#batchBytes = lower(this.#batchBytes, limits.batchBytes);
    const l = this.limits;
    this.limits = {
      ...l,
      valueBytes: lower(l.valueBytes, limits.valueBytes),
      headers: lower(l.headers, limits.headers),
      headerBytes: lower(l.headerBytes, limits.headerBytes),
    };
  }

  async #ask(log: string): Promise<GetLogResponse> {
    const call = { scope: this.#scope, log, attempt: 1 };
    try {
      return await this.#core.wire.unary(methods.getLog, { log }, call);
    } catch (e) {
      // The first record may make the log, under the limits that hold for all.
      if (log === "" || !(e instanceof ProglogError) || e.reason !== "LOG_NOT_FOUND") throw e;
      return this.#ask("");
    }
  }

  #goWithoutIdentity(): void {
    if (!this.#identity.chosen && this.#flight.length === 0) this.#identity = noIdentity();
  }

  /**
   * Waits until there is something to send, so that a producer that has nothing does
   * not keep a server busy that wants to stop. It returns false if there will be
   * nothing.
   */
  async #awaitWork(): Promise<boolean> {
    while (this.#idle && !this.#closing && !this.#scope.aborted) {
      this.#backoff.reset(); // nothing is late while there is nothing to send
      await this.#change.wait();
    }
    if (this.#scope.aborted) throw this.#scope.refusal();
    return !this.#idle;
  }

  get #idle(): boolean {
    return this.#flight.length === 0 && this.#full.length === 0 && this.#open === undefined;
  }

  /**
   * Sends and receives until it fails, and returns why; undefined if everything is
   * done.
   */
  async #use(): Promise<ProglogError | undefined> {
    this.#sent = 0;
    const scope = new Scope([this.#scope.signal]);
    try {
      await (this.#core.wire.streams ? this.#useStream(scope) : this.#useCalls(scope));
      return undefined;
    } catch (e) {
      if (e instanceof ProglogError) return e;
      throw e;
    } finally {
      scope.abort();
      this.#change.tell(); // whoever still waits for a batch to send
    }
  }

  /** Has up to a window of batches in flight over one stream. */
  async #useStream(scope: Scope): Promise<void> {
    const call = { scope, log: this.#config.log, attempt: ++this.#attempts };
    const acks = this.#core.wire.stream(methods.produceStream, this.#requests(scope), call);
    for await (const ack of acks) this.#acknowledge(ack);
    // An end without an error is right only when everything was sent and acknowledged.
    if (this.#closing && this.#idle) return;
    throw brokenPromise(
      `the stream ended without an error and without ${this.#flight.length} acknowledgements`,
    );
  }

  async *#requests(scope: Scope): AsyncGenerator<Raw, void, undefined> {
    for (let first = true; ; first = false) {
      const b = await this.#take(scope);
      if (b === undefined) return; // either all is sent, or the stream has ended already
      yield this.#message(b, first);
    }
  }

  /** Sends one batch at a time, each as a call. */
  async #useCalls(scope: Scope): Promise<void> {
    const { log } = this.#config;
    for (let b = await this.#take(scope); b !== undefined; b = await this.#take(scope)) {
      const call = { scope, log, attempt: this.#backoff.failed + 1 };
      this.#acknowledge(await this.#core.wire.unary(methods.produce, this.#message(b, true), call));
    }
    if (scope.aborted) throw scope.failure();
  }

  #message(b: ProducerBatch, named: boolean): Raw {
    return batchRequest(b.writer.bytes, {
      log: named ? this.#config.log : undefined,
      producer: producerOf(this.#identity, b.sequence),
    });
  }

  /** Waits for the next batch to send. It returns undefined when there will be none. */
  async #take(scope: Scope): Promise<ProducerBatch | undefined> {
    for (; !scope.aborted; await this.#change.wait()) {
      if (this.#sent === this.#flight.length && this.#flight.length < this.#window) {
        const due = this.#due();
        if (due !== undefined) {
          due.sequence = this.#identity.sequence++;
          this.#flight.push(due);
        }
      }
      if (this.#sent < this.#flight.length) return this.#flight[this.#sent++];
      if (this.#closing && this.#full.length === 0 && this.#open === undefined) return undefined;
    }
    return undefined;
  }

  /** Removes the batch that is to be sent now from those that wait. */
  #due(): ProducerBatch | undefined {
    if (this.#full.length > 0) return this.#full.shift();
    const b = this.#open;
    if (b === undefined) return undefined;
    const ready = b.timer === undefined || b.ripe || this.#flush || this.#hurry || this.#closing;
    if (!ready && b.records < this.#batchRecords) return undefined;
    this.#open = undefined;
    this.#flush = false;
    return b;
  }

  /** Takes the answer to the oldest batch in flight. */
  #acknowledge(res: ProduceResponse): void {
    const b = this.#flight[0];
    if (this.#sent === 0 || b === undefined) {
      throw brokenPromise("an acknowledgement came of nothing that was sent");
    }
    b.ack = readAck(res, b.records);
    this.#flight.shift();
    this.#sent--;
    this.#reached = true;
    this.#backoff.reset();
    this.counts.acked += b.records;
    this.counts.lastOffset = b.ack.nextOffset - 1n;
    this.#settle(b);
    this.#change.tell();
    this.#room.tell();
  }

  /** Makes the fate of a batch known. */
  #settle(b: ProducerBatch): void {
    this.#bytes -= b.size + b.records * recordOverhead;
    this.counts.pending -= b.records;
    b.settle();
  }

  /**
   * Decides what follows a failure, and waits as long as it should. It throws the
   * error that ends the producer.
   */
  async #goOn(e: ProglogError): Promise<void> {
    if (e.code === "unimplemented" && !e.fromServer && this.#core.wire.streams) {
      this.#core.wire.streams = false; // something in between has no HTTP/2
      this.#sent = 0;
      return;
    }
    this.#reached ||= e.fromServer;
    const changed = this.#renew(e);
    if (!e.nothingAppended && !changed) {
      for (const b of this.#flight.slice(0, this.#sent)) b.tried = true;
    }
    this.#sent = 0;
    if (changed || (this.#closing && this.#idle && !this.#scope.aborted)) return;
    if (this.#hopeless(e)) throw e;
    if (!(await this.#scope.sleep(this.#backoff.pause()))) throw this.#scope.refusal();
  }

  /** Says whether to give up after a failure, which it counts. */
  #hopeless(e: ProglogError): boolean {
    if (this.#identity.none || this.#scope.aborted) return true;
    if (this.#backoff.failed === 0) this.#failing = performance.now();
    const exhausted = this.#backoff.exhausted();
    const f = fate(e);
    if (f === "final" || tooLong(e) || (f === "doubtful" && exhausted)) return true;
    if (!this.#reached) return exhausted;
    return performance.now() - this.#failing >= this.#config.giveUpAfterMs;
  }

  /**
   * Takes another identity if the server does not know this one, and nothing that was
   * sent under it is undecided.
   */
  #renew(e: ProglogError): boolean {
    const next = renewed(this.#identity, e);
    if (next === undefined || this.#flight[0]?.tried === true) return false;
    // A producer that is not known any more, after it had acks, was silent for days; or
    // the log is another one now, such as of a data directory that was made anew. The
    // caller has to know: records would go on where those before them are not.
    if (e.reason === "SEQUENCE_FORGOTTEN") return false;
    this.#identity = next;
    for (const b of this.#flight) b.sequence = next.sequence++;
    return true;
  }

  /**
   * Decides the fate of every batch that has none.
   *
   * The server ends a stream at the first request that fails, and appends nothing after
   * it. So if it vouches for that request, it does for all in flight that it saw for the
   * first time. If it does not, or said nothing, any of those that were sent may be in
   * the log: requests that arrive together may become durable together. What was sent
   * over an earlier stream, and never answered, may be in the log whatever is said of
   * this one.
   */
  #end(e: ProglogError | undefined): void {
    this.#ended = true;
    this.error = e;
    this.asked = true;
    const waiting = [...this.#flight, ...this.#full];
    if (this.#open !== undefined) waiting.push(this.#open);
    this.#flight = [];
    this.#full = [];
    this.#open = undefined;
    for (const [i, b] of waiting.entries()) {
      const cause = e ?? brokenPromise("the producer ended early");
      if (b.tried) {
        b.error = outcome(vouching(cause, false));
        this.counts.unknown += b.records;
      } else {
        b.error = outcome(i === 0 ? vouching(cause, true) : afterFailure(cause));
        this.counts.notInLog += b.records;
      }
      this.#settle(b);
    }
    this.#change.tell();
    this.#room.tell();
  }
}

/** Brings a bound down to the server's; 0: it does not tell. */
function lower(bound: number, servers: bigint | number): number {
  const n = Number(servers);
  return n > 0 && n < bound ? n : bound;
}

/** The error of what came behind the batch that failed. */
function afterFailure(e: ProglogError): ProglogError {
  const after = refused("aborted", "", `the producer ended before: ${e.message}`, { cause: e });
  after.behind = e;
  return after;
}
