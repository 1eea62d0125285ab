import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { checkDuration, checkText, shown, unusable } from "./checks.js";
import { type Core, inMs, toDuration } from "./core.js";
import { brokenPromise, ProglogError, refused } from "./errors.js";
import { Durability as WireDurability, type LogInfo as WireLogInfo } from "./gen/log/v1/log_pb.js";
import { type CallOptions, type Offset, toOffset } from "./options.js";
import type { Scope } from "./scope.js";
import { methods } from "./wire.js";

/** How long a log keeps records. Whatever is exceeded first removes the oldest; 0: no bound. */
export interface Retention {
  readonly maxAgeMs: number;
  readonly maxBytes: bigint;
}

/** How long a server knows a request that comes twice. */
export interface DedupWindow {
  /** Of each producer, the latest. */
  readonly acks: number;
  /** Of a producer's latest request. */
  readonly maxAgeMs: number;
  /** Of each log, those that were active last. */
  readonly producers: number;
}

/**
 * What an acknowledgement means: synced to the disk of one machine, to the disks of
 * a quorum, or that the record may be lost; empty: not told.
 */
export type Durability = "" | "synced" | "quorum_synced" | "unsafe";

/** A log as it was at one moment. */
export interface LogInfo {
  /** Empty: the default log. */
  readonly name: string;
  /** The log's identity: given at creation, another one after a restore from a backup. */
  readonly id: string;
  /** The lowest that can be read. */
  readonly firstOffset: bigint;
  /** The one that the next record gets. */
  readonly nextOffset: bigint;
  /** Of the records in storage. */
  readonly bytes: bigint;
  /** Of the first record; undefined in an empty log. */
  readonly firstTime: Date | undefined;
  /** Of the last record ever appended; undefined if there was none. */
  readonly lastTime: Date | undefined;
  readonly retention: Retention;
  readonly durability: Durability;
  /** It takes no more records, ever. */
  readonly sealed: boolean;
  /** Undefined if the server knows no producers. */
  readonly dedupWindow: DedupWindow | undefined;
}

/** What `createLog` and `putLog` set. What is absent stays as it is. */
export interface LogSettings {
  /** As a whole: a bound that is absent is none. */
  readonly retention?:
    | {
        readonly maxAgeMs?: number | undefined;
        readonly maxBytes?: Offset | undefined;
      }
    | undefined;
  /** True: the log takes no more records, and reads end at its tail. It cannot be undone. */
  readonly sealed?: boolean | undefined;
}

/**
 * Makes a log if there is none of that name, and changes its settings.
 *
 * @internal
 */
export async function putLog(
  core: Core,
  scope: Scope,
  log: string,
  settings: LogSettings,
): Promise<{ info: LogInfo; created: boolean }> {
  const request = putRequest(log, settings);
  const res = await core.retryRead(scope, log, (call) =>
    core.wire.unary(methods.putLog, request, call),
  );
  return { info: readLogInfo(res.info), created: res.created };
}

/** Checks the settings, and makes a request of them. */
function putRequest(log: string, settings: LogSettings) {
  checkText(log, "the log's name");
  if (typeof settings !== "object" || settings === null) {
    throw unusable(`settings are an object, not ${shown(settings)}`);
  }
  const { retention, sealed } = settings;
  if (retention !== undefined && (typeof retention !== "object" || retention === null)) {
    throw unusable(`retention is an object, not ${shown(retention)}`);
  }
  if (sealed !== undefined && typeof sealed !== "boolean") {
    throw unusable(`sealed is true or false, not ${shown(sealed)}`);
  }
  checkDuration(retention?.maxAgeMs, "maxAgeMs");
  const maxAge = toDuration(retention?.maxAgeMs);
  return {
    log,
    ...(sealed === undefined ? {} : { sealed }),
    ...(retention === undefined
      ? {}
      : {
          retention: {
            maxBytes: toOffset(retention.maxBytes ?? 0n, "maxBytes"),
            ...(maxAge === undefined ? {} : { maxAge }),
          },
        }),
  };
}

/**
 * Makes a log, and leaves one that is there as it is.
 *
 * @internal
 */
export async function createLog(
  core: Core,
  scope: Scope,
  log: string,
  settings: LogSettings,
): Promise<LogInfo> {
  putRequest(log, settings); // what cannot be set must not leave a log behind
  const { info, created } = await putLog(core, scope, log, {});
  if (!created) throw refused("already_exists", "", `there is a log "${log}" already`);
  const set = settings.retention !== undefined || settings.sealed !== undefined;
  return set ? (await putLog(core, scope, log, settings)).info : info;
}

/**
 * Describes a log.
 *
 * @internal
 */
export async function describeLog(core: Core, scope: Scope, log: string): Promise<LogInfo> {
  checkText(log, "the log's name");
  return readLogInfo((await core.getLog(scope, log)).info);
}

/**
 * Seals a log that is there.
 *
 * @internal
 */
export async function sealLog(core: Core, scope: Scope, log: string): Promise<LogInfo> {
  await describeLog(core, scope, log); // putLog would make one
  return (await putLog(core, scope, log, { sealed: true })).info;
}

/**
 * Removes the records below an offset, and returns the log's first offset then.
 *
 * @internal
 */
export async function trimLog(
  core: Core,
  scope: Scope,
  log: string,
  first: Offset,
): Promise<bigint> {
  checkText(log, "the log's name");
  const request = { log, firstOffset: toOffset(first, "the first offset") };
  const res = await core.retryRead(scope, log, (call) =>
    core.wire.unary(methods.trimLog, request, call),
  );
  return res.firstOffset;
}

/**
 * Removes a log and its records.
 *
 * @internal
 */
export async function deleteLog(core: Core, scope: Scope, log: string): Promise<void> {
  checkText(log, "the log's name");
  let unanswered = false;
  await core.retryRead(scope, log, async (call) => {
    try {
      await core.wire.unary(methods.deleteLog, { log }, call);
    } catch (e) {
      if (!(e instanceof ProglogError)) throw e;
      if (unanswered && e.reason === "LOG_NOT_FOUND") return; // the try before came through
      unanswered ||= !e.fromServer;
      throw e;
    }
  });
}

/**
 * Lists the logs whose names begin with a prefix, in the order of their bytes.
 *
 * @internal
 */
export async function* listLogs(
  core: Core,
  prefix: string,
  options: CallOptions,
): AsyncGenerator<LogInfo, void, undefined> {
  checkText(prefix, "a prefix");
  for (let pageToken = ""; ;) {
    const page = await core.within(options, (scope) =>
      core.retryRead(scope, "", (call) =>
        core.wire.unary(methods.listLogs, { prefix, pageToken }, call),
      ),
    );
    for (const info of page.logs) yield readLogInfo(info);
    pageToken = page.nextPageToken;
    if (pageToken === "") return;
  }
}

const durabilities: { readonly [n: number]: Durability } = {
  [WireDurability.SYNCED]: "synced",
  [WireDurability.QUORUM_SYNCED]: "quorum_synced",
  [WireDurability.UNSAFE]: "unsafe",
};

function readLogInfo(info: WireLogInfo | undefined): LogInfo {
  if (info === undefined) throw brokenPromise("a description of a log without the log");
  const window = info.dedupWindow;
  return {
    name: info.log,
    id: info.logId,
    firstOffset: info.firstOffset,
    nextOffset: info.nextOffset,
    bytes: info.bytes,
    firstTime: readTime(info.firstTime),
    lastTime: readTime(info.lastTime),
    retention: {
      maxAgeMs: inMs(info.retention?.maxAge),
      maxBytes: info.retention?.maxBytes ?? 0n,
    },
    durability: durabilities[info.durability] ?? "",
    sealed: info.sealed,
    dedupWindow: window && {
      acks: window.acks,
      maxAgeMs: inMs(window.maxAge),
      producers: window.producers,
    },
  };
}

function readTime(t: Timestamp | undefined): Date | undefined {
  return t && timestampDate(t);
}
