import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { tokenFault, unusable } from "./checks.js";
import { RawSchema } from "./codec.js";
import { failure, type ProglogError, refused } from "./errors.js";
import { Admin } from "./gen/log/v1/admin_pb.js";
import { Log } from "./gen/log/v1/log_pb.js";
import type { Scope } from "./scope.js";
import type { AttemptEnd, HeaderSource, Trace } from "./trace.js";
import { translate } from "./translate.js";

/** A connection to a server, made by the entry for the platform. */
export interface Connection {
  readonly transport: Transport;
  /** Whether requests can be streamed. */
  readonly streams: boolean;
  /** The headers that tell who calls. */
  readonly userAgent: string | undefined;
  /** What a call goes over now, where calls share a connection that can be replaced. */
  readonly life?: () => unknown;
  /** Has calls go over another connection, unless they do since that life. */
  readonly renew?: (life: unknown) => void;
  /** Tells people of something that no caller learns of. */
  warn(text: string): void;
  close(): void;
  /** Whether close ends the calls that run, so that they need no signal for it. */
  readonly endsCalls: boolean;
}

/** What a single try is about. */
export interface Call {
  readonly scope: Scope;
  readonly log: string;
  readonly attempt: number;
}

/** A method with its types, some of which are handled by hand; see codec.ts. */
interface Method<I extends DescMessage, O extends DescMessage> {
  readonly desc: DescMethod;
  readonly input: I;
  readonly output: O;
}

function method<I extends DescMessage, O extends DescMessage>(
  desc: DescMethod,
  input: I,
  output: O,
): Method<I, O> {
  return { desc: { ...desc, input, output } as DescMethod, input, output };
}

const { produce, produceStream, consume, consumeStream, getLog } = Log.method;
const { listLogs, putLog, trimLog, deleteLog } = Admin.method;

/** The methods of the contract. */
export const methods = {
  produce: method(produce, RawSchema, produce.output),
  produceStream: method(produceStream, RawSchema, produceStream.output),
  consume: method(consume, consume.input, RawSchema),
  consumeStream: method(consumeStream, consumeStream.input, RawSchema),
  getLog: method(getLog, getLog.input, getLog.output),
  listLogs: method(listLogs, listLogs.input, listLogs.output),
  putLog: method(putLog, putLog.input, putLog.output),
  trimLog: method(trimLog, trimLog.input, trimLog.output),
  deleteLog: method(deleteLog, deleteLog.input, deleteLog.output),
};

/** Makes single tries of calls, with their headers, their trace and our errors. */
export class Wire {
  readonly #connection: Connection;
  readonly #headers: HeaderSource;
  readonly #trace: Trace | undefined;
  /** The trace has failed, and it was told. */
  #warned = false;
  /** Whether requests can be streamed; a proxy in between may take it away. */
  streams: boolean;

  constructor(connection: Connection, headers: HeaderSource, trace: Trace | undefined) {
    this.#connection = connection;
    this.#headers = headers;
    this.#trace = trace;
    this.streams = connection.streams;
  }

  close(): void {
    this.#connection.close();
  }

  /** Returns what replaces the connection as it is now, for when it has gone silent. */
  replacement(): () => void {
    const life = this.#connection.life?.();
    return () => this.#connection.renew?.(life);
  }

  /** Calls a method that has one request and one response. */
  async unary<I extends DescMessage, O extends DescMessage>(
    m: Method<I, O>,
    request: MessageInitShape<I>,
    call: Call,
  ): Promise<MessageShape<O>> {
    const { scope } = call;
    scope.check();
    const headers = await this.#makeHeaders(scope);
    scope.check();
    const done = this.#begin(m.desc, call, headers);
    try {
      const desc = m.desc as DescMethod & { methodKind: "unary" };
      const { transport } = this.#connection;
      const response = await transport.unary(
        desc,
        this.#connection.endsCalls ? scope.ownSignal : scope.signal,
        scope.leftMs,
        headers,
        request as MessageInitShape<DescMessage>,
      );
      done(undefined);
      return response.message as MessageShape<O>;
    } catch (reason) {
      const e = translate(scope, reason);
      done(e);
      throw e;
    }
  }

  /**
   * Calls a method that streams. The caller ends the scope when it stops reading:
   * that alone frees the stream.
   */
  async *stream<I extends DescMessage, O extends DescMessage>(
    m: Method<I, O>,
    requests: AsyncIterable<MessageInitShape<I>>,
    call: Call,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const { scope } = call;
    scope.check();
    const headers = await this.#makeHeaders(scope);
    scope.check();
    const done = this.#begin(m.desc, call, headers);
    let end: ProglogError | undefined = failure({
      code: "canceled",
      message: "the reader left",
    });
    try {
      const desc = m.desc as DescMethod & { methodKind: "server_streaming" };
      const { transport } = this.#connection;
      const response = await transport.stream(
        desc,
        scope.signal,
        undefined,
        headers,
        requests as AsyncIterable<MessageInitShape<DescMessage>>,
      );
      for await (const message of response.message) yield message as MessageShape<O>;
      end = undefined;
    } catch (reason) {
      end = translate(scope, reason);
      throw end;
    } finally {
      done(end);
    }
  }

  async #makeHeaders(scope: Scope): Promise<Headers> {
    const headers = new Headers(this.#headers.fixed);
    const { userAgent } = this.#connection;
    if (userAgent !== undefined) headers.set("User-Agent", userAgent);
    const { token } = this.#headers;
    if (token !== undefined) {
      let value = "";
      let wrong: ProglogError | undefined;
      const got = Promise.resolve()
        .then(token)
        .then(
          (t) => {
            value = t;
            const fault = tokenFault(t);
            if (fault !== undefined) wrong = unusable(fault);
          },
          (cause: unknown) => {
            const why = cause instanceof Error ? cause.message : String(cause);
            wrong = refused("unauthenticated", "", `get a token: ${why}`, {
              cause,
            });
          },
        );
      if (!(await scope.wait(got))) throw scope.refusal();
      if (wrong !== undefined) throw wrong;
      headers.set("Authorization", `Bearer ${value}`);
    }
    return headers;
  }

  /** Tells the trace of a try, and returns what tells it of the end. */
  #begin(
    desc: DescMethod,
    call: Call,
    headers: Headers,
  ): (error: ProglogError | undefined) => void {
    const trace = this.#trace;
    if (trace === undefined) return () => {};
    const started = performance.now();
    const method = `${desc.parent.typeName}/${desc.name}`;
    const { log, attempt } = call;
    const end = this.#guarded(() => trace({ method, log, attempt, headers }));
    return (error) => {
      if (typeof end !== "function") return;
      this.#guarded(() =>
        (end as (end: AttemptEnd) => unknown)({ durationMs: performance.now() - started, error }),
      );
    };
  }

  /** Calls the trace. What fails in it must not fail the call, and is warned of once. */
  #guarded(call: () => unknown): unknown {
    try {
      const result = call();
      if (result instanceof Promise) result.catch((e: unknown) => this.#warn(e));
      return result;
    } catch (e) {
      this.#warn(e);
      return undefined;
    }
  }

  #warn(e: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    const why = e instanceof Error ? e.message : String(e);
    this.#connection.warn(`a trace failed, and its next failures are not told: ${why}`);
  }
}
