import type { Duration } from "@bufbuild/protobuf/wkt";
import { Backoff } from "./backoff.js";
import { brokenPromise, failure, ProglogError } from "./errors.js";
import { type ConsumeResponse, decodeResponse, type Raw } from "./codec.js";
import { ASK_PATIENCE_MS } from "./defaults.js";
import { fate } from "./fate.js";
import type { GetLogResponse } from "./gen/log/v1/log_pb.js";
import { Identities } from "./identity.js";
import type { Limits } from "./limits.js";
import { type CallOptions, checkCall, type Settings } from "./options.js";
import type { Retry } from "./backoff.js";
import { Scope } from "./scope.js";
import { type Call, type Connection, methods, Wire } from "./wire.js";

/** What a read needs to know of a log before it starts. */
export interface Bounds {
  /** Empty if the server does not tell. */
  logId: string;
  first: bigint;
  next: bigint;
  /** The shortest and the longest heartbeat, in ms; 0: there are none. */
  heartbeatMs: [number, number];
}

/** What all parts of a client share. */
export class Core {
  readonly wire: Wire;
  readonly limits: Limits;
  readonly retry: Retry;
  readonly identities = new Identities();
  /** Is aborted when the client is closed. */
  readonly closing = new AbortController();
  /** The server knows a request that comes twice. */
  dedups = false;
  readonly #timeoutMs: number | undefined;

  constructor(connection: Connection, settings: Settings) {
    this.wire = new Wire(connection, settings.headers, settings.trace);
    this.limits = settings.limits;
    this.retry = settings.retry;
    this.#timeoutMs = settings.timeoutMs;
  }

  /** Makes what bounds a single call, and frees it after the call. */
  async within<T>(options: CallOptions, call: (scope: Scope) => Promise<T>): Promise<T> {
    checkCall(options);
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs;
    const scope = new Scope([options.signal], timeoutMs, this.closing.signal);
    try {
      return await call(scope);
    } finally {
      scope.end();
    }
  }

  /** Calls once until it succeeds, fails for good, or the attempts are used up. */
  async retryRead<T>(scope: Scope, log: string, once: (call: Call) => Promise<T>): Promise<T> {
    const backoff = new Backoff(this.retry);
    for (let attempt = 1; ; attempt++) {
      try {
        return await once({ scope, log, attempt });
      } catch (e) {
        if (!(e instanceof ProglogError) || fate(e) === "final" || backoff.exhausted()) throw e;
        if (!(await scope.sleep(backoff.pause()))) throw scope.failure(e);
      }
    }
  }

  /**
   * Calls once, and waits no longer than so many ms for the answer. What comes after that
   * goes over another connection: this one may have gone silent.
   */
  async answered<T>(call: Call, patienceMs: number, once: (call: Call) => Promise<T>): Promise<T> {
    const replace = this.wire.replacement();
    const scope = new Scope([call.scope.signal], patienceMs);
    try {
      return await once({ ...call, scope });
    } catch (e) {
      if (!scope.aborted || call.scope.aborted) throw e;
      replace();
      const message = `no answer from the server within ${patienceMs / 1000} s`;
      throw failure({ code: "unavailable", message, cause: e });
    } finally {
      scope.end();
    }
  }

  /** Describes a log. */
  getLog(scope: Scope, log: string): Promise<GetLogResponse> {
    return this.retryRead(scope, log, (call) => this.wire.unary(methods.getLog, { log }, call));
  }

  /** Asks for the identity and the bounds of a log. */
  bounds(scope: Scope, log: string): Promise<Bounds> {
    return this.retryRead(scope, log, (call) =>
      this.answered(call, ASK_PATIENCE_MS, (bounded) => this.#askBounds(bounded)),
    );
  }

  async #askBounds(call: Call): Promise<Bounds> {
    try {
      const { info, limits } = await this.wire.unary(methods.getLog, { log: call.log }, call);
      return {
        logId: info?.logId ?? "",
        first: info?.firstOffset ?? 0n,
        next: info?.nextOffset ?? 0n,
        heartbeatMs: [inMs(limits?.minHeartbeat), inMs(limits?.maxHeartbeat)],
      };
    } catch (e) {
      if (!(e instanceof ProglogError) || e.code !== "unimplemented" || !e.fromServer) throw e;
      return this.#probe(call);
    }
  }

  /**
   * Asks for a record that cannot be there: a server without GetLog tells the bounds
   * then.
   */
  async #probe(call: Call): Promise<Bounds> {
    try {
      const request = {
        log: call.log,
        offset: (1n << 64n) - 1n,
        maxRecords: 1,
      };
      await this.wire.unary(methods.consume, request, call);
    } catch (e) {
      if (!(e instanceof ProglogError) || e.reason !== "OFFSET_UNWRITTEN") throw e;
      return {
        logId: "",
        first: e.firstOffset ?? 0n,
        next: e.nextOffset ?? 0n,
        heartbeatMs: [0, 0],
      };
    }
    throw brokenPromise("a record came at an offset that no log reaches");
  }

  /**
   * Says whether the server knows a request that comes twice. One that does not know
   * the field would append it twice, without a word.
   */
  async recognises(scope: Scope, log: string): Promise<boolean> {
    if (this.dedups) return true;
    try {
      const { capabilities } = await this.getLog(scope, log);
      this.dedups = capabilities?.producers ?? false;
    } catch (e) {
      // A server that judges the question understands it.
      this.dedups =
        e instanceof ProglogError && e.fromServer && e.reason !== "" && e.code !== "unimplemented";
    }
    return this.dedups;
  }
}

/** Decodes a response with records. */
export function decode(raw: Raw): ConsumeResponse {
  try {
    return decodeResponse(raw);
  } catch (e) {
    throw brokenPromise(`a response cannot be read: ${e instanceof Error ? e.message : String(e)}`);
  }
}

/** A duration in ms; 0 for one that is absent. */
export function inMs(d: Duration | undefined): number {
  return d === undefined ? 0 : Number(d.seconds) * 1000 + d.nanos / 1e6;
}

/** A duration of a request; undefined for 0 and for one that is not given. */
export function toDuration(ms: number | undefined): { seconds: bigint; nanos: number } | undefined {
  if (ms === undefined || !(ms > 0)) return undefined;
  const whole = Math.floor(ms / 1000);
  return {
    seconds: BigInt(whole),
    nanos: Math.floor((ms - whole * 1000) * 1e6),
  };
}
