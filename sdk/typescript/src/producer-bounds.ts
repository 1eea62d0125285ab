import type { Core } from "./core.js";
import { ProglogError } from "./errors.js";
import { fate } from "./fate.js";
import type { GetLogResponse } from "./gen/log/v1/log_pb.js";
import type { Limits } from "./limits.js";
import type { Scope } from "./scope.js";
import { type Call, methods } from "./wire.js";

/** What a server tells a producer before it writes. */
export interface ServerBounds {
  /** It need not be asked again: it has told its bounds, or that it does not. */
  readonly known: boolean;
  /** Whether it knows a request that comes twice; undefined: it does not tell. */
  readonly identities: boolean | undefined;
  /** How many acknowledgements of a producer it remembers; 0: it does not tell. */
  readonly acks: number;
  readonly limits: GetLogResponse["limits"];
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
    const { capabilities, info, limits } = await core.answered(
      { scope, log, attempt: 1 },
      patienceMs,
      (call) => ask(core, call),
    );
    const identities = capabilities?.producers;
    return { known: true, identities, acks: info?.dedupWindow?.acks ?? 0, limits };
  } catch (e) {
    // Something that is not the server answers, for good: nothing has to be sent to learn it.
    if (!(e instanceof ProglogError) || (e.status !== undefined && e.permanent)) throw e;
    return {
      known: e.fromServer && fate(e) === "final",
      identities: e.fromServer && e.code === "unimplemented" ? false : undefined,
      acks: 0,
      limits: undefined,
    };
  }
}

async function ask(core: Core, call: Call): Promise<GetLogResponse> {
  const { log } = call;
  try {
    return await core.wire.unary(methods.getLog, { log }, call);
  } catch (e) {
    // The first record may make the log, under the limits that hold for all.
    if (log === "" || !(e instanceof ProglogError) || e.reason !== "LOG_NOT_FOUND") throw e;
    return ask(core, { ...call, log: "" });
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
