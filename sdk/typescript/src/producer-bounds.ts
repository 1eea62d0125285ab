import type { Core } from "./core.js";
import { ASK_PATIENCE_MS } from "./defaults.js";
import { ProglogError, refused } from "./errors.js";
import { fate } from "./fate.js";
import type { GetLogResponse } from "./gen/log/v1/log_pb.js";
import type { Identity } from "./identity.js";
import type { Limits } from "./limits.js";
import type { Scope } from "./scope.js";
import { type Call, methods } from "./wire.js";

/** What a producer goes by, checked. */
export interface ProducerConfig {
  readonly log: string;
  readonly signal: AbortSignal | undefined;
  readonly lingerMs: number;
  readonly batchRecords: number;
  readonly batchBytes: number;
  /** In flight, at most. */
  readonly batches: number;
  /** Waiting and in flight, at most. */
  readonly bytes: number;
  /** Without progress. */
  readonly giveUpAfterMs: number;
  /** A try that has no answer when that is over is cut off; not the only one, for 0. */
  readonly cut: boolean;
  readonly identity: Identity;
}

/** What a server tells a producer before it writes. */
export interface ServerBounds {
  /** It need not be asked again: it has told its bounds, or that it does not. */
  readonly known: boolean;
  /** Whether it knows a request that comes twice; undefined: it does not tell. */
  readonly identities: boolean | undefined;
  /** How many acknowledgements of a producer it remembers; 0: it does not tell. */
  readonly acks: number;
  readonly limits: GetLogResponse["limits"];
  /** The identity of the log; empty if there is none yet, or it is not told. */
  readonly logId: string;
}

/** The reasons of a server that no longer finds what a producer has written before. */
const lost = new Set(["LOG_NOT_FOUND", "SEQUENCE_FORGOTTEN"]);

/**
 * Says of such an error that another log has the name now, if that is so. The producer belongs
 * to the log that it began with. Nothing was appended by this try then.
 */
export async function replaced(
  core: Core,
  scope: Scope,
  log: { readonly name: string; readonly id: string; readonly written: boolean },
  e: ProglogError,
): Promise<ProglogError> {
  if (!e.fromServer || !lost.has(e.reason) || scope.aborted) return e;
  if (log.id === "" && !(log.written && e.reason === "LOG_NOT_FOUND")) return e;
  try {
    const call = { scope, log: log.name, attempt: 1 };
    const { info } = await core.answered(call, ASK_PATIENCE_MS, (bounded) =>
      core.wire.unary(methods.getLog, { log: log.name }, bounded),
    );
    if (info === undefined || info.logId === "" || info.logId === log.id) return e;
  } catch {
    return e;
  }
  const message = "the log was deleted, and another one has its name now";
  return refused("failed_precondition", "LOG_CHANGED", message, { cause: e });
}

/**
 * Asks for the bounds in one try, and waits so many ms for the answer. An error is an answer
 * too: what it does not tell.
 */
export async function askBounds(
  core: Core,
  scope: Scope,
  log: string,
  patienceMs: number,
): Promise<ServerBounds> {
  try {
    const { own, response } = await core.answered({ scope, log, attempt: 1 }, patienceMs, (call) =>
      ask(core, call),
    );
    const { capabilities, info, limits } = response;
    const identities = capabilities?.producers;
    const logId = own ? (info?.logId ?? "") : "";
    return { known: true, identities, acks: info?.dedupWindow?.acks ?? 0, limits, logId };
  } catch (e) {
    // Something that is not the server answers, for good: nothing has to be sent to learn it.
    if (!(e instanceof ProglogError) || (e.status !== undefined && e.permanent)) throw e;
    return {
      known: e.fromServer && fate(e) === "final",
      identities: e.fromServer && e.code === "unimplemented" ? false : undefined,
      acks: 0,
      limits: undefined,
      logId: "",
    };
  }
}

/** Asks about the log, or about the default one if it is not there. */
async function ask(core: Core, call: Call): Promise<{ own: boolean; response: GetLogResponse }> {
  const { log } = call;
  try {
    return { own: true, response: await core.wire.unary(methods.getLog, { log }, call) };
  } catch (e) {
    // The first record may make the log, under the limits that hold for all.
    if (log === "" || !(e instanceof ProglogError) || e.reason !== "LOG_NOT_FOUND") throw e;
    const { response } = await ask(core, { ...call, log: "" });
    return { own: false, response };
  }
}

/** Brings limits of records down to the server's. */
export function lowered(limits: Limits, servers: NonNullable<ServerBounds["limits"]>): Limits {
  return {
    ...limits,
    valueBytes: lower(limits.valueBytes, servers.valueBytes),
    headers: lower(limits.headers, servers.headers),
    headerBytes: lower(limits.headerBytes, servers.headerBytes),
  };
}

/** Brings a bound down to the server's; 0: it does not tell. */
export function lower(bound: number, servers: bigint | number): number {
  const n = Number(servers);
  return n > 0 && n < bound ? n : bound;
}
