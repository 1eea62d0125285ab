import { shown, unusable } from "./checks.js";
import { type Start, toOffset } from "./options.js";

/** Where a read starts, checked. */
export type StartPoint =
  | { readonly at: "earliest" }
  | { readonly at: "offset" | "end"; readonly offset: bigint }
  | { readonly at: "time"; readonly time: { seconds: bigint; nanos: number } };

/** Checks where to start. */
export function parseStart(s: Start): StartPoint {
  const given = [s.from, s.fromEnd, s.fromTime].filter((v) => v !== undefined).length;
  if (given > 1) {
    throw unusable("from, fromEnd and fromTime exclude each other");
  }
  if (s.from !== undefined) return { at: "offset", offset: toOffset(s.from, "from") };
  if (s.fromEnd !== undefined) return { at: "end", offset: toOffset(s.fromEnd, "fromEnd") };
  if (s.fromTime === undefined) return { at: "earliest" };
  return { at: "time", time: toTime(s.fromTime) };
}

/** The first and the last second of a timestamp of the wire: the years 1 to 9999. */
const [firstSecond, lastSecond] = [-62_135_596_800n, 253_402_300_799n];

function toTime(given: Date | bigint): { seconds: bigint; nanos: number } {
  let ns: bigint | undefined;
  if (typeof given === "bigint") ns = given;
  else if (given instanceof Date && !Number.isNaN(given.getTime())) {
    ns = BigInt(given.getTime()) * 1_000_000n;
  }
  if (ns === undefined) throw unusable(`fromTime is not possible: ${shown(given)}`);
  const nanos = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = (ns - nanos) / 1_000_000_000n;
  if (seconds < firstSecond || seconds > lastSecond) {
    throw unusable(`fromTime is outside of the years 1 to 9999: ${ns} ns`);
  }
  return { seconds, nanos: Number(nanos) };
}

const readUpTo: unique symbol = Symbol("everything before it was read");

/** Marks a start as one before which everything was read; a copy by spread keeps it. */
export function markReadUpTo<S extends Start>(start: S): S {
  return Object.assign(start, { [readUpTo]: true });
}

/** Says whether a start is marked so. */
export function isReadUpTo(start: Start): boolean {
  return (start as { [readUpTo]?: boolean })[readUpTo] === true;
}
