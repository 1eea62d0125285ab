import * as admin from "./admin.js";
import type { LogInfo, LogSettings } from "./admin.js";
import { checkOptions } from "./checks.js";
import { Core } from "./core.js";
import { Cursor } from "./cursor.js";
import { consume, consumeBatch } from "./consume.js";
import { ClosedError } from "./errors.js";
import type {
  CallOptions,
  ConsumeBatchOptions,
  ConsumeOptions,
  Offset,
  ProduceOptions,
  ProducerOptions,
  ReadOptions,
  Settings,
} from "./options.js";
import { produce } from "./produce.js";
import { newProducer, type Producer } from "./producer.js";
import { BatchReader, type Reader, RecordReader } from "./reader.js";
import { Reading } from "./reading.js";
import type { Ack, Batch, LogRecord, RecordInput } from "./record.js";
import { Scope } from "./scope.js";
import { Sharing } from "./sharing.js";
import type { Connection } from "./wire.js";

/**
 * Speaks to one server. One is enough: its calls share a connection. It has to be
 * closed, or its connection keeps the process alive for a while.
 */
export class Client implements AsyncDisposable {
  readonly #core: Core;
  readonly #sharing: Sharing;

  /** @internal */
  protected constructor(connection: Connection, settings: Settings) {
    this.#core = new Core(connection, settings);
    this.#sharing = new Sharing(this.#core);
  }

  /**
   * Appends one record and returns when it is durable.
   *
   * Calls that wait at the same time share a stream and travel together, where requests
   * can be streamed; each has its own acknowledgement and error. The client has an
   * identity by which the server knows a record that comes twice, so a call goes on by
   * itself after a lost connection, as often as `retry` says.
   *
   * What it throws is a {@link NothingAppendedError} or an {@link OutcomeUnknownError}.
   */
  produce(record: RecordInput, options: ProduceOptions = {}): Promise<Ack> {
    return produce(this.#core, this.#sharing, { record }, options);
  }

  /**
   * Appends records at contiguous offsets, all or none, and returns when they are
   * durable. Otherwise it is {@link Client.produce}.
   */
  produceBatch(records: readonly RecordInput[], options: ProduceOptions = {}): Promise<Ack> {
    return produce(this.#core, this.#sharing, { records }, options);
  }

  /**
   * Makes a producer. A server that cannot be reached shows in the futures, and in
   * `done`.
   */
  producer(options: ProducerOptions = {}): Producer {
    return newProducer(this.#core, options);
  }

  /**
   * Reads the record at an offset. One that is not there is OFFSET_TRIMMED or
   * OFFSET_UNWRITTEN, with both bounds.
   */
  consume(offset: Offset, options: ConsumeOptions = {}): Promise<LogRecord> {
    return this.#core.within(options, (scope) => consume(this.#core, scope, offset, options));
  }

  /**
   * Reads the records that are there from a start on, by default the first, in one
   * request. At the tail it waits as long as `waitMs` says, and then returns a batch
   * without records.
   */
  consumeBatch(options: ConsumeBatchOptions = {}): Promise<Batch> {
    return this.#core.within(options, (scope) => consumeBatch(this.#core, scope, options));
  }

  /**
   * Reads a log, by default from its first record, and at its tail waits for what comes.
   * It goes on by itself after every loss of the connection and every stop of the
   * server: each record comes once, in order, without a gap.
   *
   * It ends without an error when the log ends, because it is sealed or `until` was
   * reached. It throws when the signal ends it, or when the server says something that
   * cannot pass: a {@link GapError} if the records that are due were trimmed, a
   * {@link LogChangedError} if the log is not the one that was read before.
   *
   *     for await (const record of client.follow({ from: 7n, signal })) use(record);
   */
  follow(options: ReadOptions = {}): Reader<LogRecord> {
    return new RecordReader(this.#read(options));
  }

  /** Is {@link Client.follow} up to the tail as it was when the read began. */
  records(options: ReadOptions = {}): Reader<LogRecord> {
    const wrong = typeof options !== "object" || options === null;
    return new RecordReader(this.#read(wrong ? options : { ...options, toTail: true }));
  }

  /**
   * Is {@link Client.follow} by batches, for callers that work on many records at once or
   * want to know when they have caught up.
   */
  batches(options: ReadOptions = {}): Reader<Batch> {
    return this.#read(options);
  }

  #read(given: ReadOptions): BatchReader {
    const options = typeof given === "object" && given !== null ? { ...given } : given;
    return new BatchReader(() => {
      checkOptions(options);
      const scope = new Scope([options.signal, this.#core.closing.signal]);
      return {
        batches: new Reading(this.#core, scope, options).batches(),
        scope,
      };
    });
  }

  /** A reader's place on the server. Nothing is sent. */
  cursor(log: string, name: string): Cursor {
    return new Cursor(this, log, name);
  }

  /**
   * Makes a log. If there is one of that name already, it is left as it is, and the error
   * has the code "already_exists".
   */
  createLog(name: string, settings: LogSettings = {}, options: CallOptions = {}): Promise<LogInfo> {
    const core = this.#core;
    return core.within(options, (scope) => admin.createLog(core, scope, name, settings));
  }

  /**
   * Makes a log if there is none of that name, and changes its settings. What is not set
   * stays as it is. It can be repeated.
   */
  putLog(
    name: string,
    settings: LogSettings = {},
    options: CallOptions = {},
  ): Promise<{ info: LogInfo; created: boolean }> {
    const core = this.#core;
    return core.within(options, (scope) => admin.putLog(core, scope, name, settings));
  }

  /** Describes a log; "" is the default log. */
  describeLog(name: string, options: CallOptions = {}): Promise<LogInfo> {
    return this.#core.within(options, (scope) => admin.describeLog(this.#core, scope, name));
  }

  /** Lists the logs whose names begin with a prefix, in the order of their bytes. */
  listLogs(
    prefix = "",
    options: CallOptions = {},
  ): AsyncIterableIterator<LogInfo, void, undefined> {
    return admin.listLogs(this.#core, prefix, options);
  }

  /** Seals a log: it takes no more records, ever, and reads end at its tail. */
  sealLog(name: string, options: CallOptions = {}): Promise<LogInfo> {
    return this.#core.within(options, (scope) => admin.sealLog(this.#core, scope, name));
  }

  /**
   * Removes the records below an offset, all of them if it is beyond the tail, and returns
   * the log's first offset then. It can be repeated.
   */
  trimLog(name: string, first: Offset, options: CallOptions = {}): Promise<bigint> {
    return this.#core.within(options, (scope) => admin.trimLog(this.#core, scope, name, first));
  }

  /**
   * Removes a log and its records. A log that takes its name later goes on behind its
   * offsets, with an identity of its own.
   */
  deleteLog(name: string, options: CallOptions = {}): Promise<void> {
    return this.#core.within(options, (scope) => admin.deleteLog(this.#core, scope, name));
  }

  /**
   * Ends the use of the client, and what still runs: reads and producers end, and calls
   * fail, with the code "canceled" and a {@link ClosedError} beneath. Close producers
   * before it. It can be called again.
   */
  async close(): Promise<void> {
    if (this.#core.closing.signal.aborted) return;
    this.#core.closing.abort(new ClosedError("the client is closed"));
    this.#sharing.close();
    this.#core.wire.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
