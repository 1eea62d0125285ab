import { checkText } from "./checks.js";
import type { Client } from "./client.js";
import { failure, NothingAppendedError, OutcomeUnknownError, ProglogError } from "./errors.js";
import { randomText } from "./identity.js";
import { type CallOptions, type Offset, type Start, toOffset } from "./options.js";
import { markReadUpTo } from "./start.js";

/** What the log of a cursor keeps, in bytes: some hundred places. */
const cursorBytes = 64 << 10;

/** Where a reader goes on. */
export interface Place {
  /** Of the log that is read; empty: nothing was stored yet. */
  readonly logId: string;
  /** Of the record to read next. */
  readonly offset: bigint;
  /**
   * The options of a read that goes on there: at the first record of the log if
   * nothing was stored. They hold the read to the log that was read before.
   */
  readonly start: Start & { logId?: string };
}

/**
 * The name of the log that holds a cursor: "<log>.cursor/<name>", and "cursor/<name>"
 * for one on the default log.
 */
export function cursorLog(log: string, name: string): string {
  return log === "" ? `cursor/${name}` : `${log}.cursor/${name}`;
}

/** A place as a record: JSON, so that people can read it. */
interface StoredPlace {
  log_id: string;
  offset: string;
  writer: string;
}

/**
 * A reader's place in a log, kept on the server: in a tiny log of its own, whose last
 * record is the place.
 *
 *     const cursor = client.cursor("orders", "billing");
 *     const place = await cursor.get();
 *     for await (const record of client.follow({ log: "orders", ...place.start })) {
 *       // … handle it, then
 *       cursor.set(record.offset + 1n);
 *       await cursor.commit(); // now and then
 *     }
 *
 * Two readers that use one cursor do not overwrite each other: the one whose place is
 * out of date gets OFFSET_MISMATCH from `commit`, again and again, until he decides: `get`
 * takes over the other's place, from which he may go on or set his own, and `restart`
 * begins anew.
 */
export class Cursor {
  readonly #client: Client;
  readonly #log: string;
  /** The name of the log that holds it. */
  readonly logName: string;
  /** Tells this cursor's records from those of others. */
  readonly #writer = randomText();
  #loaded = false;
  /** The next offset of the cursor's log. */
  #at = 0n;
  #logId = "";
  #offset = 0n;
  /** The log that is to be read, as it was when nothing was stored yet; empty: not known. */
  #begun = "";
  /** How often the place was set, and how often by when it was stored. */
  #set = 0;
  #stored = 0;
  /** Why nothing is stored until the caller looks at the place: somebody else moved it. */
  #lost: ProglogError | undefined;
  /** Nobody told whether the last place that was to be stored is there. */
  #unsure = false;
  #turn: Promise<unknown> = Promise.resolve();

  /** @internal */
  constructor(client: Client, log: string, name: string) {
    checkText(log, "the log of a cursor");
    checkText(name, "the name of a cursor");
    this.#client = client;
    this.#log = log;
    this.logName = cursorLog(log, name);
  }

  /**
   * Returns the place that is stored, and makes the cursor if there is none: its place is
   * the first offset of the log. What `commit` stores is a place in the log that is there
   * now, whatever takes its name until then.
   */
  get(options: CallOptions = {}): Promise<Place> {
    return this.#inTurn(async () => {
      const before = this.#set;
      const { log_id: logId, offset: at } = await this.#load(options);
      const offset = BigInt(at);
      this.#lost = undefined;
      this.#begun = logId === "" ? await this.#idNow(options) : "";
      this.#logId = logId;
      this.#stored = before;
      if (this.#set === before) this.#offset = offset;
      return {
        logId,
        offset,
        start: logId === "" ? {} : markReadUpTo({ logId, from: offset }),
      };
    });
  }

  /** Notes the offset of the record to read next. `commit` stores it. */
  set(offset: Offset): void {
    this.#offset = toOffset(offset, "the offset of a cursor");
    this.#set++;
  }

  /**
   * Begins anew with the log that has the name now, at its first record: for a reader
   * that was told LOG_CHANGED, and decided to go on with the other log. `commit` stores
   * it.
   */
  restart(options: CallOptions = {}): Promise<Place> {
    return this.#inTurn(async () => {
      await this.#load(options);
      const info = await this.#client.describeLog(this.#log, options);
      this.#lost = undefined;
      this.#logId = info.id;
      this.#offset = info.firstOffset;
      this.#set++;
      return {
        logId: info.id,
        offset: info.firstOffset,
        start: { logId: info.id, from: info.firstOffset },
      };
    });
  }

  /**
   * Stores what was set since the last time. When it returns, a reader that begins anew,
   * anywhere, begins there.
   */
  commit(options: CallOptions = {}): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#lost !== undefined) throw this.#lost;
      if (this.#set === this.#stored) return;
      if (!this.#loaded) this.#logId = (await this.#load(options)).log_id;
      else if (this.#unsure) await this.#find(options);
      this.#logId ||= this.#begun;
      if (this.#logId === "") {
        this.#logId = (await this.#client.describeLog(this.#log, options)).id;
      }
      const set = this.#set; // the place as it is now is what is stored
      await this.#store(options);
      this.#stored = set;
    });
  }

  /** The identity of the log that is to be read; empty if it is not there yet. */
  async #idNow(options: CallOptions): Promise<string> {
    try {
      return (await this.#client.describeLog(this.#log, options)).id;
    } catch (e) {
      if (!(e instanceof ProglogError) || e.reason !== "LOG_NOT_FOUND") throw e;
      return "";
    }
  }

  async #store(options: CallOptions): Promise<void> {
    const { logName: log } = this;
    const place: StoredPlace = {
      log_id: this.#logId,
      offset: String(this.#offset),
      writer: this.#writer,
    };
    const value = JSON.stringify(place);
    try {
      await this.#client.produce(value, {
        ...options,
        log,
        expectedOffset: this.#at,
      });
      this.#at++;
    } catch (e) {
      if (!(e instanceof ProglogError)) throw e;
      if (e instanceof OutcomeUnknownError && (await this.#isThere(value, options))) {
        this.#at++;
        return;
      }
      this.#unsure = e instanceof OutcomeUnknownError;
      if (e.reason !== "OFFSET_MISMATCH")
        throw this.#explain("store a place in it", "produce to", e);
      this.#lost = this.#because("somebody else has moved it", e);
      throw this.#lost;
    }
  }

  /** Goes on behind a place of its own of which nobody told, if it is there. */
  async #find(options: CallOptions): Promise<void> {
    const before = this.#at;
    const { writer } = await this.#load(options);
    // What somebody else stored stays in the way.
    if (writer !== this.#writer) this.#at = before;
  }

  /** Looks whether a record of which nobody told is there. */
  async #isThere(value: string, options: CallOptions): Promise<boolean> {
    try {
      const record = await this.#client.consume(this.#at, {
        ...options,
        log: this.logName,
      });
      return new TextDecoder().decode(record.value) === value;
    } catch {
      return false;
    }
  }

  /** Reads the last record of the cursor's log, which it makes if there is none. */
  async #load(options: CallOptions): Promise<StoredPlace> {
    const info = await this.#findLog(options);
    let place: StoredPlace = { log_id: "", offset: "0", writer: "" };
    let at = info.nextOffset;
    if (info.nextOffset > info.firstOffset) {
      const batch = await this.#client
        .consumeBatch({
          ...options,
          log: this.logName,
          fromEnd: 1n,
          batchRecords: 1,
        })
        .catch((e: unknown) => {
          throw this.#explain("read it", "consume", e);
        });
      for (const { value, offset } of batch.records) {
        place = this.#parse(value, offset);
        at = offset + 1n;
      }
    }
    this.#at = at;
    this.#loaded = true;
    this.#unsure = false;
    return place;
  }

  async #findLog(options: CallOptions): Promise<{ firstOffset: bigint; nextOffset: bigint }> {
    try {
      return await this.#client.describeLog(this.logName, options);
    } catch (e) {
      if (!(e instanceof ProglogError) || e.reason !== "LOG_NOT_FOUND") {
        throw this.#explain("look for it", "describe", e);
      }
    }
    try {
      const settings = { retention: { maxBytes: cursorBytes } };
      return (await this.#client.putLog(this.logName, settings, options)).info;
    } catch (e) {
      throw this.#explain("create it", "create", e);
    }
  }

  #parse(value: Uint8Array, offset: bigint): StoredPlace {
    try {
      const stored: unknown = JSON.parse(new TextDecoder().decode(value));
      if (
        typeof stored === "object" &&
        stored !== null &&
        "log_id" in stored &&
        typeof stored.log_id === "string" &&
        "offset" in stored &&
        typeof stored.offset === "string" &&
        /^\d+$/.test(stored.offset)
      ) {
        const writer = "writer" in stored && typeof stored.writer === "string" ? stored.writer : "";
        return { log_id: stored.log_id, offset: stored.offset, writer };
      }
    } catch {
      // It is said below.
    }
    throw failure({
      code: "data_loss",
      message: `cursor "${this.logName}": record ${offset} is not a place`,
    });
  }

  /** Says what is missing when the server does not let the cursor be. */
  #explain(what: string, right: string, e: unknown): unknown {
    if (!(e instanceof ProglogError)) return e;
    const name = this.logName;
    if (e.code === "permission_denied") {
      const why =
        `may not ${what}: the right to ${right} the log "${name}" is missing (` +
        `\`proglog logs create ${name} --max-bytes ${cursorBytes}\` by somebody who has the right to ` +
        `create it does the first part)`;
      return this.#because(why, e);
    }
    if (e.code === "unimplemented") {
      return this.#because(`cannot ${what}: the server has no named logs, which a cursor needs`, e);
    }
    return this.#because(`cannot ${what}`, e);
  }

  /** The same error with words before it. */
  #because(why: string, e: ProglogError): ProglogError {
    const kinds = [NothingAppendedError, OutcomeUnknownError, ProglogError] as const;
    const kind = kinds.find((k) => e instanceof k) ?? ProglogError;
    const { code, reason, fromServer, nothingAppended, firstOffset, nextOffset } = e;
    const message = `cursor "${this.logName}": ${why}: ${e.detail}`;
    return new kind({
      ...{
        code,
        reason,
        fromServer,
        nothingAppended,
        firstOffset,
        nextOffset,
        message,
      },
      cause: e,
    });
  }

  /** One at a time: each goes by what the one before left. */
  #inTurn<T>(what: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(what);
    this.#turn = result.catch(() => {});
    return result;
  }
}
