import type { Retry } from "./backoff.js";
import {
  DEFAULT_ATTEMPTS,
  DEFAULT_MAX_DELAY_MS,
  DEFAULT_MIN_DELAY_MS,
  MAX_RETRY_DELAY_MS,
} from "./defaults.js";
import { checkOptions, fixedHeaders, shown, tokenFault, unusable } from "./checks.js";
import { DEFAULT_LIMITS, type Limits } from "./limits.js";
import type { HeaderSource, Trace } from "./trace.js";
import { VERSION } from "./version.js";

/** An offset that is given; a number has to be a whole one below 2⁵³. */
export type Offset = bigint | number;

/** What every client can be told, whatever it runs on. */
export interface CommonOptions {
  /**
   * A token, or what is asked for one before every call; it is sent as "Bearer". A
   * token goes to an https:// address, or to this machine, only.
   */
  token?: string | (() => string | Promise<string>) | undefined;
  /** HTTP headers that go with every call. */
  headers?: Readonly<{ [name: string]: string }> | Headers | undefined;
  /** A program's name, such as "billing/2.1", which goes before the SDK's in User-Agent. */
  userAgent?: string | undefined;
  /** How failed calls are tried again. */
  retry?: Partial<Retry> | undefined;
  /** What is checked before anything is sent, for a server that has other limits. */
  limits?: Partial<Limits> | undefined;
  /** How long, in ms, a single call may take with all its tries, unless it says otherwise. */
  timeoutMs?: number | undefined;
  /** Is called around every try of a call. */
  trace?: Trace | undefined;
}

/** What every single call can be told. */
export interface CallOptions {
  /** Ends the call. A write that it ends is of unknown outcome. */
  signal?: AbortSignal | undefined;
  /** How long, in ms, the call may take with all its tries. */
  timeoutMs?: number | undefined;
}

/** Says which request of which writer this is. */
export interface ProducerSequence {
  /** 1 to 64 bytes. */
  readonly id: string;
  /** Which life of this writer; a higher one fences those before. */
  readonly epoch?: Offset | undefined;
  /** The number of the request within the epoch, from 0 on without gaps. */
  readonly sequence: Offset;
}

/** The choices of one `produce` or `produceBatch`. */
export interface ProduceOptions extends CallOptions {
  /** The log; "" or absent: the default log. */
  log?: string | undefined;
  /**
   * Append only if the first record gets exactly this offset; otherwise the call
   * fails with OFFSET_MISMATCH.
   */
  expectedOffset?: Offset | undefined;
  /**
   * Sends the request as the given one of a producer. With the same three the same
   * records are appended once, however often and by whatever process they are
   * sent; the answer is the first acknowledgement then.
   */
  producer?: ProducerSequence | undefined;
  /** Sends the request by itself, and not with those of other calls. */
  alone?: boolean | undefined;
}

/** The choices of one `consume`. */
export interface ConsumeOptions extends CallOptions {
  /** The log; "" or absent: the default log. */
  log?: string | undefined;
  /**
   * Reads only the log with this identity, as `LogInfo.id` has it. Whoever stores
   * offsets stores the identity with them.
   */
  logId?: string | undefined;
  /** How long, in ms, to wait at the tail for a record; the server cuts it, at 60 s by default. */
  waitMs?: number | undefined;
}

/** Where a read starts: at most one of these. Without any: at the first record. */
export interface Start {
  /**
   * At an offset. Below the log's first offset the read fails with OFFSET_TRIMMED; one
   * that is not yet written is waited for, or fails with OFFSET_UNWRITTEN in a read
   * that ends at the tail.
   */
  from?: Offset | undefined;
  /**
   * So many records before the tail, or at the first record if there are fewer; 0:
   * only with records that are yet to come.
   */
  fromEnd?: Offset | undefined;
  /**
   * At the first record that the server appended at this time or later, or at the
   * tail if there is none. A bigint is in nanoseconds since 1970.
   */
  fromTime?: Date | bigint | undefined;
}

/** The choices of one `consumeBatch`. */
export interface ConsumeBatchOptions extends ConsumeOptions, Start {
  /** Stop before this offset. */
  until?: Offset | undefined;
  /** The most records to return. */
  batchRecords?: number | undefined;
}

/** The choices of one `records`, `follow` or `batches`. */
export interface ReadOptions extends Start {
  /** Ends the read, with an error whose code is "canceled". */
  signal?: AbortSignal | undefined;
  /** The log; "" or absent: the default log. */
  log?: string | undefined;
  /** Reads only the log with this identity; see {@link ConsumeOptions}. */
  logId?: string | undefined;
  /** End without an error before this offset. */
  until?: Offset | undefined;
  /** End at the offset that was the log's next one when the read began; `records` does so anyway. */
  toTail?: boolean | undefined;
  /** The most records of one response. */
  batchRecords?: number | undefined;
  /**
   * Asks the server for a sign of life in this interval, in ms, while the read waits
   * at the tail; 0: never. When two fail to come, the read connects again. It is
   * brought within what the server allows.
   */
  heartbeatMs?: number | undefined;
}

/** The choices of a producer. */
export interface ProducerOptions {
  /** Ends the producer; the outcome of what is in flight is unknown then. */
  signal?: AbortSignal | undefined;
  /** The log; "" or absent: the default log. */
  log?: string | undefined;
  /**
   * How long, in ms, a batch waits for more records, unless it is full. 0, the
   * default: it leaves as soon as there is room in flight, and what comes meanwhile
   * makes the next one, so that batches grow with the load.
   */
  lingerMs?: number | undefined;
  /** The most records of a batch. Where the server allows less, that holds. */
  maxBatchRecords?: number | undefined;
  /** The most bytes of a batch of two records or more. Where the server allows less, that holds. */
  maxBatchBytes?: number | undefined;
  /** How many batches are sent before the first of them is acknowledged. */
  maxInFlightBatches?: number | undefined;
  /** How many bytes are held, sent or waiting; `send` waits while they are used up. */
  maxInFlightBytes?: number | undefined;
  /**
   * How long, in ms, to go on without success while records wait for an answer: since the
   * last success, or since the oldest of them was first sent. The try under way is cut off
   * then, so that this bounds a server that says nothing, too; the records that were sent
   * have an unknown outcome. 0: one try, which is not cut off. A server that never answered
   * is given up after `Retry.attempts` at the latest, so that a wrong address shows soon.
   */
  giveUpAfterMs?: number | undefined;
  /**
   * Under which identity to write: an id of 1 to 64 bytes, and the epoch, which says
   * which life of this writer it is; it fences those with a lower one. Under an id
   * and an epoch that were used before, the first batch would be taken for a
   * repetition. Absent: a random id. False: none, and nothing is sent twice.
   */
  identity?: { readonly id: string; readonly epoch?: Offset | undefined } | false | undefined;
}

/** What a client goes by, checked. */
export interface Settings {
  readonly retry: Retry;
  readonly limits: Limits;
  readonly timeoutMs: number | undefined;
  readonly trace: Trace | undefined;
  readonly headers: HeaderSource;
  readonly userAgent: string;
}

/** Checks the address of a server, and returns it without a slash at the end. */
export function parseBase(address: string): URL {
  const wrong = (why: string): Error => new TypeError(`proglog: address "${address}": ${why}`);
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw wrong("it is no URL: it has to look like http://127.0.0.1:8400");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw wrong("it has to start with http:// or https://");
  }
  if (url.username || url.password || url.search || url.hash) {
    throw wrong("it may have a host, a port and a path, and nothing else");
  }
  url.pathname = url.pathname.replace(/\/+$/, "");
  return url;
}

/** Throws a TypeError at what has to be an object, if it is given. */
function checkShape(given: unknown, what: string): void {
  if (given === undefined || (typeof given === "object" && given !== null)) return;
  throw new TypeError(`proglog: ${what}: an object is needed, not ${shown(given)}`);
}

/** Checks the options of a client. */
export function parseSettings(base: URL, options: CommonOptions): Settings {
  checkShape(options, "options");
  checkShape(options.retry, "retry");
  checkShape(options.limits, "limits");
  const retry: Retry = {
    attempts: options.retry?.attempts ?? DEFAULT_ATTEMPTS,
    minDelayMs: options.retry?.minDelayMs ?? DEFAULT_MIN_DELAY_MS,
    maxDelayMs: options.retry?.maxDelayMs ?? DEFAULT_MAX_DELAY_MS,
  };
  if (!(retry.attempts >= 1 && retry.minDelayMs > 0 && retry.maxDelayMs >= retry.minDelayMs)) {
    throw new RangeError("proglog: retry needs at least 1 attempt and delays above 0 in order");
  }
  if (retry.maxDelayMs > MAX_RETRY_DELAY_MS) {
    throw new RangeError(`proglog: the longest delay of retry is ${MAX_RETRY_DELAY_MS} ms`);
  }
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  for (const [name, limit] of Object.entries(limits)) {
    if (!(name in DEFAULT_LIMITS)) throw new TypeError(`proglog: there is no limit "${name}"`);
    const least = name === "headers" || name === "headerBytes" ? 0 : 1;
    if (!(Number.isSafeInteger(limit) && limit >= least)) {
      throw new RangeError(`proglog: the limit ${name} is out of range: ${limit}`);
    }
  }
  if (options.timeoutMs !== undefined && !isTimeout(options.timeoutMs)) {
    throw new RangeError(`proglog: timeoutMs is above 0, not ${shown(options.timeoutMs)}`);
  }
  const { token, trace } = options;
  if (trace !== undefined && typeof trace !== "function") {
    throw new TypeError("proglog: trace is a function");
  }
  const fault = typeof token === "function" ? undefined : tokenFault(token ?? "");
  if (fault !== undefined) throw new TypeError(`proglog: ${fault}`);
  if (token !== undefined && base.protocol === "http:" && !isLoopback(base.hostname)) {
    throw new TypeError(`proglog: a token would travel to ${base.host} in the clear: use https://`);
  }
  return {
    retry,
    limits,
    timeoutMs: options.timeoutMs,
    trace,
    headers: {
      fixed: fixedHeaders(options.headers),
      token: typeof token === "string" ? () => token : token,
    },
    userAgent: userAgentOf(options.userAgent),
  };
}

function userAgentOf(program: string | undefined): string {
  const name = `proglog-typescript/${VERSION}`;
  if (program === undefined || program === "") return name;
  if (typeof program !== "string" || !/^[\x20-\x7e]+$/.test(program)) {
    throw new TypeError("proglog: userAgent is printable ASCII");
  }
  return `${program} ${name}`;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

function isTimeout(timeoutMs: unknown): boolean {
  return typeof timeoutMs === "number" && timeoutMs > 0;
}

/** Checks the options of a single call. */
export function checkCall(options: CallOptions): void {
  checkOptions(options);
  const { timeoutMs } = options;
  if (timeoutMs !== undefined && !isTimeout(timeoutMs)) {
    throw unusable(`timeoutMs is above 0, not ${shown(timeoutMs)}`);
  }
}

/** Takes an offset, an epoch or a sequence as it was given. */
export function toOffset(given: Offset, what: string): bigint {
  const valid =
    typeof given === "bigint"
      ? given >= 0n && given < 1n << 64n
      : Number.isSafeInteger(given) && given >= 0;
  if (!valid) {
    throw unusable(`${what} is not possible: ${shown(given)}`);
  }
  return BigInt(given);
}
