import { Backlog, afterFailure } from "./backlog.js";
import { Backoff } from "./backoff.js";
import { batchRequest, type Raw } from "./codec.js";
import type { Core } from "./core.js";
import { ASK_PATIENCE_MS } from "./defaults.js";
import { brokenPromise, ClosedError, failure, ProglogError, refused, vouching } from "./errors.js";
import { fate, tooLong } from "./fate.js";
import { Change, type Future, type ProducerBatch } from "./future.js";
import type { ProduceResponse } from "./gen/log/v1/log_pb.js";
import { DEDUP_ACKS, type Identity, noIdentity, producerOf, renewed } from "./identity.js";
import type { Limits, Prepared } from "./limits.js";
import { Patience } from "./patience.js";
import type { Outcome } from "./producer.js";
import { askBounds, lower, lowered, type ProducerConfig, replaced } from "./producer-bounds.js";
import { Scope } from "./scope.js";
import { methods } from "./wire.js";

/** The life of a producer: streams or single requests, one after the other. */
export class ProducerRun {
  /** The client's, or the server's where they are lower. */
  limits: Limits;
  /** The server was asked for its bounds. */
  asked = false;
  /** Why it ended; undefined after a clean end. */
  error: ProglogError | undefined;
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
  readonly #backlog: Backlog;
  #identity: Identity;
  /** The server told its bounds, or that it does not. */
  #known = false;
  /** No more records will come. */
  #closing = false;
  /** The server has answered. */
  #reached = false;
  #ended = false;
  readonly #patience: Patience;
  /** A try is cut off when the patience is over. */
  readonly #cuts: boolean;
  /** The try under way. */
  #try: { readonly scope: Scope; readonly renew: () => void } | undefined;
  #attempts = 0;
  /** Of the log when the server was asked; empty: not known. */
  #logId = "";

  constructor(core: Core, config: ProducerConfig) {
    this.#core = core;
    this.#config = config;
    this.limits = core.limits;
    this.#identity = config.identity;
    const bounds = {
      batchRecords: Math.min(config.batchRecords, core.limits.batchRecords),
      batchBytes: Math.min(config.batchBytes, core.limits.batchBytes),
      window: config.identity.none ? config.batches : Math.min(config.batches, DEDUP_ACKS),
      bytes: config.bytes,
    };
    this.#backlog = new Backlog(bounds, config.lingerMs, () => this.#change.tell());
    this.#backoff = new Backoff(core.retry);
    const { giveUpAfterMs } = config;
    this.#cuts = config.cut && giveUpAfterMs > 0;
    const cut = (): void => this.#cut();
    this.#patience = new Patience(giveUpAfterMs, this.#cuts ? cut : undefined);
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

  /** The records taken so far, by what became of them. */
  get counts(): Outcome {
    return this.#backlog.counts;
  }

  /** Whether so much can be taken now, or never. */
  hasRoom(size: number, records: number): boolean {
    return this.#ended || this.#closing || this.#backlog.hasRoom(size, records);
  }

  async untilRoom(scope: Scope, size: number, records: number): Promise<void> {
    while (!this.hasRoom(size, records)) {
      if (!(await scope.wait(this.#room.wait()))) throw scope.refusal();
    }
  }

  /** Takes records for one batch. The future is of the first of them. */
  add(records: readonly Prepared[], size: number): Future {
    this.#checkOpen();
    const future = this.#backlog.addFuture(records, size);
    this.#change.tell();
    return future;
  }

  /** Takes records into a batch, of which they are the last. */
  addTo(records: readonly Prepared[], size: number): ProducerBatch {
    this.#checkOpen();
    const batch = this.#backlog.add(records, size);
    this.#change.tell();
    return batch;
  }

  #checkOpen(): void {
    if (this.error !== undefined || this.#closing || this.#ended) throw this.refusal();
  }

  /** The error of a record that comes too late. */
  refusal(): ProglogError {
    if (this.error !== undefined) return afterFailure(this.error);
    const cause = new ClosedError("the producer is closed");
    return refused("canceled", "", "the producer is closed", { cause });
  }

  /** Nothing lingers any more. */
  hurry(): void {
    this.#backlog.hurry();
    this.#change.tell();
  }

  /** Nothing lingers until what it returns is called. */
  flushing(): () => void {
    this.#backlog.flushes++;
    this.#change.tell();
    return () => void this.#backlog.flushes--;
  }

  async flush(scope: Scope): Promise<void> {
    const last = this.#backlog.flush();
    if (last === undefined) return;
    this.#change.tell();
    if (!(await scope.wait(last.done))) throw scope.failure();
  }

  async close(scope: Scope): Promise<void> {
    this.#closing = true;
    this.#backlog.hurry();
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
        const e = await this.#judge(await this.#use());
        if (e !== undefined) await this.#goOn(e);
        if (!this.#known) await this.#learn();
        if (e !== undefined && this.#cuts && this.#patience.over) throw e;
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
    const patienceMs = Math.min(this.#patience.leftMs, ASK_PATIENCE_MS);
    const told = await askBounds(this.#core, this.#scope, this.#config.log, patienceMs);
    const { known, identities, acks, limits, logId } = told;
    this.#known = known;
    this.#logId ||= logId;
    if (identities === false) this.#goWithoutIdentity();
    const { bounds } = this.#backlog;
    if (!this.#identity.none) bounds.window = lower(bounds.window, acks);
    if (limits === undefined) return;
    bounds.batchRecords = lower(bounds.batchRecords, limits.batchRecords);
    bounds.batchBytes = lower(bounds.batchBytes, limits.batchBytes);
    this.limits = lowered(this.limits, limits);
  }

  /** Ends the try under way, over a connection that may have gone silent. */
  #cut(): void {
    const ms = this.#config.giveUpAfterMs;
    const message = `no answer for ${ms / 1000} s, after which the producer gives up`;
    this.#try?.renew();
    this.#try?.scope.abort(failure({ code: "unavailable", message }));
  }

  #goWithoutIdentity(): void {
    if (!this.#identity.chosen && this.#backlog.inFlight === 0) this.#identity = noIdentity();
  }

  /**
   * Waits until there is something to send, so that a producer that has nothing does
   * not keep a server busy that wants to stop. It returns false if there will be
   * nothing.
   */
  async #awaitWork(): Promise<boolean> {
    while (this.#backlog.idle && !this.#closing && !this.#scope.aborted) {
      this.#backoff.reset(); // nothing is late while there is nothing to send
      this.#patience.end();
      await this.#change.wait();
    }
    if (this.#scope.aborted) throw this.#scope.refusal();
    return !this.#backlog.idle;
  }

  /**
   * Sends and receives until it fails, and returns why; undefined if everything is
   * done.
   */
  async #use(): Promise<ProglogError | undefined> {
    this.#backlog.rewind();
    const scope = new Scope([this.#scope.signal]);
    this.#try = { scope, renew: this.#core.wire.replacement() };
    if (this.#backlog.inFlight > 0) this.#patience.beginTry();
    try {
      await (this.#core.wire.streams ? this.#useStream(scope) : this.#useCalls(scope));
      return undefined;
    } catch (e) {
      if (!(e instanceof ProglogError)) throw e;
      // Whoever answered may have passed on what was sent until then.
      const streamed = this.#core.wire.streams && e.status !== undefined;
      return streamed ? vouching(e, false) : e;
    } finally {
      this.#try = undefined;
      scope.abort();
      this.#change.tell(); // whoever still waits for a batch to send
    }
  }

  /** Says of a failure that the log was replaced, if that is why. */
  async #judge(e: ProglogError | undefined): Promise<ProglogError | undefined> {
    if (e === undefined) return e;
    const written = this.counts.acked > 0;
    const log = { name: this.#config.log, id: this.#logId, written };
    return replaced(this.#core, this.#scope, log, e);
  }

  /** Has up to a window of batches in flight over one stream. */
  async #useStream(scope: Scope): Promise<void> {
    const call = { scope, log: this.#config.log, attempt: ++this.#attempts };
    const acks = this.#core.wire.stream(methods.produceStream, this.#requests(scope), call);
    for await (const ack of acks) this.#acknowledge(ack);
    // An end without an error is right only when everything was sent and acknowledged.
    if (this.#closing && this.#backlog.idle) return;
    throw brokenPromise(
      `the stream ended without an error and without ${this.#backlog.inFlight} acknowledgements`,
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
      const b = this.#backlog.next(this.#identity);
      if (b !== undefined) {
        this.#patience.beginTry();
        return b;
      }
      if (this.#closing && !this.#backlog.waiting) return undefined;
    }
    return undefined;
  }

  /** Takes the answer to the oldest batch in flight. */
  #acknowledge(res: ProduceResponse): void {
    this.#backlog.acknowledge(res);
    this.#reached = true;
    this.#backoff.reset();
    this.#patience.progress(this.#backlog.inFlight > 0);
    this.#change.tell();
    this.#room.tell();
  }

  /**
   * Decides what follows a failure, and waits as long as it should. It throws the
   * error that ends the producer.
   */
  async #goOn(e: ProglogError): Promise<void> {
    if (e.code === "unimplemented" && !e.fromServer && this.#core.wire.streams) {
      this.#core.wire.streams = false; // something in between has no HTTP/2
      return;
    }
    this.#reached ||= e.fromServer;
    const changed = this.#renew(e);
    if (!e.nothingAppended && !changed) this.#backlog.doubtSent();
    if (changed || (this.#closing && this.#backlog.idle && !this.#scope.aborted)) return;
    if (this.#hopeless(e)) throw e;
    const pause = this.#backoff.pause();
    const left = this.#patience.leftMs;
    if (!this.#patience.allowsTry) throw e;
    if (!(await this.#scope.sleep(Math.min(pause, left / 2)))) throw this.#scope.refusal();
  }

  /** Says whether to give up after a failure, which it counts. */
  #hopeless(e: ProglogError): boolean {
    if (this.#identity.none || this.#scope.aborted) return true;
    if (!this.#cuts || !this.#backlog.idle) this.#patience.begin();
    const exhausted = this.#backoff.exhausted();
    const f = fate(e);
    if (f === "final" || tooLong(e) || (f === "doubtful" && exhausted)) return true;
    if (!this.#reached && (exhausted || !this.#cuts)) return exhausted;
    return this.#patience.over;
  }

  /**
   * Takes another identity if the server does not know this one, and nothing that was
   * sent under it is undecided.
   */
  #renew(e: ProglogError): boolean {
    const next = renewed(this.#identity, e);
    if (next === undefined || this.#backlog.undecided) return false;
    // A producer that is not known any more, after it had acks, was silent for days; or
    // the log is another one now, such as of a data directory that was made anew. The
    // caller has to know: records would go on where those before them are not.
    if (e.reason === "SEQUENCE_FORGOTTEN") return false;
    this.#identity = next;
    this.#backlog.renumber(next);
    return true;
  }

  /** Ends with the fate of every batch decided. */
  #end(e: ProglogError | undefined): void {
    this.#ended = true;
    this.error = e;
    this.asked = true;
    this.#backlog.end(e);
    this.#patience.end();
    this.#change.tell();
    this.#room.tell();
  }
}
