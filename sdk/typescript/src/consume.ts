import { type ConsumeResponse } from "./codec.js";
import { checkDuration } from "./checks.js";
import { type Core, decode, toDuration } from "./core.js";
import { brokenPromise, ProglogError } from "./errors.js";
import { type ConsumeBatchOptions, type ConsumeOptions, type Offset, toOffset } from "./options.js";
import { parseBatchRecords } from "./reading.js";
import type { Batch, LogRecord } from "./record.js";
import type { Scope } from "./scope.js";
import { parseStart, type StartPoint } from "./start.js";
import { methods } from "./wire.js";

/** Reads the record at an offset. */
export function consume(
  core: Core,
  scope: Scope,
  at: Offset,
  options: ConsumeOptions,
): Promise<LogRecord> {
  const { log = "", logId = "", waitMs } = options;
  const offset = toOffset(at, "the offset");
  checkDuration(waitMs, "waitMs");
  const wait = toDuration(waitMs);
  const request = {
    log,
    logId,
    offset,
    ...(wait === undefined ? {} : { wait }),
  };
  return core.retryRead(scope, log, async (call) => {
    const { records } = decode(await core.wire.unary(methods.consume, request, call));
    const [record] = records;
    if (record === undefined || records.length !== 1 || record.offset !== offset) {
      throw brokenPromise(`${records.length} records came where the one at ${offset} was due`);
    }
    return record;
  });
}

/**
 * Reads the records that are there from a start on, in one request. At the tail it
 * waits as long as `waitMs` says, and then returns a batch without records.
 */
export async function consumeBatch(
  core: Core,
  scope: Scope,
  options: ConsumeBatchOptions,
): Promise<Batch> {
  const { log = "", logId = "", waitMs } = options;
  checkDuration(waitMs, "waitMs");
  const start = parseStart(options);
  const wait = toDuration(waitMs);
  const request = {
    log,
    logId,
    maxRecords: parseBatchRecords(options.batchRecords),
    ...(options.until === undefined ? {} : { untilOffset: toOffset(options.until, "until") }),
    ...(wait === undefined ? {} : { wait }),
    ...(start.at === "earliest" ? { offset: (await core.bounds(scope, log)).first } : {}),
    ...(start.at === "offset" ? { offset: start.offset } : {}),
    ...(start.at === "end" ? { start: { case: "fromTail" as const, value: start.offset } } : {}),
    ...(start.at === "time" ? { start: { case: "fromTime" as const, value: start.time } } : {}),
  };
  return core.retryRead(scope, log, async (call) => {
    let res: ConsumeResponse;
    try {
      res = decode(await core.wire.unary(methods.consume, request, call));
    } catch (e) {
      const tail = tailOf(e, start);
      if (tail === undefined) throw e;
      return { records: [], tail: true, nextOffset: tail };
    }
    const { records, nextOffset } = res;
    for (const [i, record] of records.entries()) {
      const due = records[0]!.offset + BigInt(i);
      if (record.offset !== due)
        throw brokenPromise(`record ${record.offset} came where ${due} was due`);
    }
    return { records, tail: nextOffset !== undefined, nextOffset };
  });
}

/** The tail, if a request was refused for nothing else than that it began there. */
function tailOf(e: unknown, start: StartPoint): bigint | undefined {
  if (!(e instanceof ProglogError) || e.reason !== "OFFSET_UNWRITTEN") return undefined;
  // An offset beyond the tail is another matter: nobody knows what will come to be there.
  if (start.at === "offset" && start.offset !== e.nextOffset) return undefined;
  return e.nextOffset;
}
