import type { ProglogError } from "./errors.js";

/** One try of a call, as a {@link Trace} sees it begin. */
export interface Attempt {
  /** The procedure, such as "log.v1.Log/Produce". */
  readonly method: string;
  /** The log it is about; empty: the default log. */
  readonly log: string;
  /** 1 for the first try. */
  readonly attempt: number;
  /** The headers that will be sent; a trace may add its own, such as traceparent. */
  readonly headers: Headers;
}

/** How a try ended. */
export interface AttemptEnd {
  readonly durationMs: number;
  /** Undefined if it succeeded. */
  readonly error: ProglogError | undefined;
}

/**
 * Is called when a try begins; what it returns is called when that ends. A stream
 * is one try. What either throws does not change the call: the first is warned of, by a
 * warning of the process in Node and on the console elsewhere.
 */
export type Trace = (attempt: Attempt) => ((end: AttemptEnd) => void) | void;

/** Where the headers of a call come from. */
export interface HeaderSource {
  readonly fixed: Headers;
  readonly token: (() => string | Promise<string>) | undefined;
}
