import { type ProglogError, refused } from "./errors.js";

/** The error of an argument that no server would take; nothing was sent. */
export function unusable(why: string): ProglogError {
  return refused("invalid_argument", "INVALID_REQUEST", why);
}

/** What was given, for a message; whatever it is, this does not throw. */
export function shown(given: unknown): string {
  if (typeof given === "string") return JSON.stringify(given);
  if (given === null || typeof given !== "object") return String(given);
  return Array.isArray(given) ? "an array" : "an object";
}

/** Checks what all options have in common. */
export function checkOptions(given: unknown): void {
  if (typeof given !== "object" || given === null) {
    throw unusable(`options are an object, not ${shown(given)}`);
  }
  const { signal, log, logId } = given as { [name: string]: unknown };
  if (signal !== undefined && !isSignal(signal)) {
    throw unusable(`signal is an AbortSignal, not ${shown(signal)}`);
  }
  if (log !== undefined) checkText(log, "log");
  if (logId !== undefined) checkText(logId, "logId");
}

function isSignal(given: unknown): given is AbortSignal {
  return (
    typeof given === "object" &&
    given !== null &&
    typeof (given as AbortSignal).aborted === "boolean" &&
    typeof (given as AbortSignal).addEventListener === "function"
  );
}

/** Checks a text, such as a log's name. What the name may hold is for the server to say. */
export function checkText(given: unknown, what: string): void {
  if (typeof given !== "string") throw unusable(`${what} is a text, not ${shown(given)}`);
}

/** The longest duration of the wire, in ms: that of google.protobuf.Duration. */
const longestMs = 315_576_000_000_000;
/** The longest that a timer of the platform can wait, in ms. */
const longestTimerMs = 2 ** 31 - 1;

/** Checks a duration that goes to the server. */
export function checkDuration(given: unknown, what: string): void {
  if (given === undefined) return;
  if (typeof given !== "number" || !(given >= 0 && given <= longestMs)) {
    throw unusable(`${what} is not possible: ${shown(given)}`);
  }
}

/** Checks how long something here waits, in ms. */
export function checkTimer(given: unknown, what: string): void {
  if (given === undefined) return;
  if (typeof given !== "number" || !(given >= 0 && given <= longestTimerMs)) {
    throw unusable(`${what} is 0 to ${longestTimerMs} ms, not ${shown(given)}`);
  }
}

/** Checks how many, or how large, something may become. */
export function checkCount(given: unknown, what: string): void {
  if (given === undefined) return;
  if (!Number.isSafeInteger(given) || (given as number) < 1) {
    throw unusable(`${what} is a whole number from 1 on, not ${shown(given)}`);
  }
}

/** Headers of a connection itself, which a caller's would break. */
const ofConnections = new Set([
  ...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"],
  ...["http2-settings", "te", "content-length"],
]);

/** Makes the headers of all calls; it throws a TypeError if one of them cannot be sent. */
export function fixedHeaders(given: Headers | Readonly<{ [name: string]: string }> = {}): Headers {
  let headers: Headers;
  try {
    headers = new Headers(given as Headers);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TypeError(`proglog: headers: ${why}`, { cause });
  }
  for (const name of headers.keys()) {
    if (ofConnections.has(name)) throw new TypeError(`proglog: header "${name}" cannot be set`);
  }
  if (given !== null && typeof given === "object" && !(given instanceof Headers)) {
    // The platform would cut line ends at the edges, without a word.
    for (const [name, value] of Object.entries(given)) {
      if (/[\r\n]/.test(String(value))) {
        throw new TypeError(`proglog: header "${name}": a value has no line end`);
      }
    }
  }
  return headers;
}

/** Says why a token cannot be sent; undefined if it can. */
export function tokenFault(token: unknown): string | undefined {
  if (typeof token !== "string") return "the token is not a text";
  // The token itself must not come into a message.
  return /^[\x21-\x7e]*$/.test(token)
    ? undefined
    : "the token has a character that no token has, such as a blank or a line end";
}
