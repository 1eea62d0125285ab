import type { ProglogError } from "./errors.js";

/**
 * What another try of a failed read can bring: the same (final), perhaps something
 * else, so that a few tries are worth it (doubtful), or success, in time (passing).
 */
export type Fate = "final" | "doubtful" | "passing";

const passingReasons = new Set<string>([
  ...["DRAINING", "OVERLOADED", "STORAGE_FULL", "STORAGE_FAILED", "NO_QUORUM"],
  ...["DEADLINE", "CANCELED"],
]);
const passingCodes = new Set<string>([
  ...["unavailable", "resource_exhausted", "canceled", "deadline_exceeded"],
]);
// The server's last word on this very request, under a code that is doubtful elsewhere.
const finalReasons = new Set<string>(["OFFSET_MISMATCH", "SEQUENCE_GAP"]);
const doubtfulCodes = new Set<string>(["internal", "unknown", "aborted"]);

/** Judges an error of a read. */
export function fate(e: ProglogError): Fate {
  if (e.permanent || finalReasons.has(e.reason)) return "final";
  if (passingReasons.has(e.reason) || passingCodes.has(e.code)) return "passing";
  return doubtfulCodes.has(e.code) ? "doubtful" : "final";
}

/**
 * Recognises a message over the transport's limit, which comes without a reason:
 * it will be over it for ever.
 */
export function tooLong(e: ProglogError): boolean {
  return e.fromServer && e.code === "resource_exhausted" && e.reason === "";
}

/**
 * Says whether a failed write without an identity can be sent again: it provably
 * did not happen, and what prevented it can pass.
 */
export function mayRetryWrite(e: ProglogError): boolean {
  if (!e.nothingAppended || e.permanent || (e.fromServer && e.reason === "")) return false;
  return e.code === "unavailable" || e.code === "resource_exhausted";
}
