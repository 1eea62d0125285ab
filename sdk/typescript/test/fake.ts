// A server in this process that keeps one log in memory, and does what a test tells it
// to at any call: lose an answer, cut the connection, say something else.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { setMaxListeners } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import type { TestContext } from "node:test";
import { ErrorDetailSchema, type Reason } from "../src/gen/log/v1/errors_pb.js";
import {
  type ConsumeRequest,
  type ConsumeResponseSchema,
  type GetLogResponseSchema,
  Log,
  type ProduceRequest,
  type Record as WireRecord,
  type ProduceResponseSchema,
  RecordSchema,
} from "../src/gen/log/v1/log_pb.js";

type Init<S extends Parameters<typeof create>[0]> = MessageInitShape<S>;

/** An error as the server raises it. */
export function serverError(
  code: Code,
  reason: Reason,
  detail: Omit<MessageInitShape<typeof ErrorDetailSchema>, "reason" | "$typeName"> = {},
): ConnectError {
  return new ConnectError("the fake says so", code, undefined, [
    { desc: ErrorDetailSchema, value: { ...detail, reason } },
  ]);
}

/** What a test can put in the place of a method; undefined goes on as usual. */
export interface Hooks {
  getLog?(): Init<typeof GetLogResponseSchema> | undefined;
  produce?(
    request: ProduceRequest,
    context: HandlerContext,
  ): Promise<Init<typeof ProduceResponseSchema> | undefined>;
  consume?(request: ConsumeRequest, context: HandlerContext): Init<typeof ConsumeResponseSchema>;
  consumeStream?(
    request: ConsumeRequest,
    context: HandlerContext,
  ): AsyncIterable<Init<typeof ConsumeResponseSchema>> | undefined;
}

/** The server. */
export class Fake {
  readonly records: WireRecord[] = [];
  readonly hooks: Hooks = {};
  first = 0n;
  logId = "first-life";
  sealed = false;
  limits: Init<typeof GetLogResponseSchema>["limits"] = {
    minHeartbeat: { nanos: 10_000_000 },
    maxHeartbeat: { seconds: 60n },
  };
  /** The requests that came, in order. */
  readonly produces: ProduceRequest[] = [];
  readonly reads: ConsumeRequest[] = [];
  readonly headers: Headers[] = [];
  /** Heartbeats that were sent. */
  beats = 0;
  /** Streams that are open. */
  open = 0;
  address = "";
  readonly #acks = new Map<string, bigint>();
  readonly #epochs = new Map<string, bigint>();
  readonly #sockets = new Set<Socket>();
  #changed: (() => void)[] = [];

  get next(): bigint {
    return this.first + BigInt(this.records.length);
  }

  /** Puts records into the log. */
  add(...values: (string | Uint8Array)[]): void {
    for (const v of values) {
      const value = typeof v === "string" ? new TextEncoder().encode(v) : v;
      const timestamp = timestampFromMs(1_700_000_000_000);
      this.records.push(create(RecordSchema, { value, offset: this.next, timestamp }));
    }
    this.changed();
  }

  /** Wakes the streams, and whoever waits for a condition. */
  changed(): void {
    for (const wake of this.#changed.splice(0)) wake();
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  track(server: Server): void {
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  /** Waits until something holds. */
  async until(holds: () => boolean, what: string): Promise<void> {
    const late = AbortSignal.timeout(10_000);
    while (!holds()) {
      if (late.aborted) throw new Error(`it did not come to this: ${what}`);
      await this.#wait(late);
    }
  }

  #wait(signal: AbortSignal, ms?: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(wake, ms);
      this.#changed.push(wake);
      signal.addEventListener("abort", wake);
    });
  }

  /** Appends as the server does, and knows a request that comes twice. */
  append(request: ProduceRequest): Init<typeof ProduceResponseSchema> {
    const records = request.record ? [request.record] : request.records;
    const n = BigInt(records.length);
    const p = request.producer;
    if (p !== undefined) {
      const key = `${p.id} ${p.epoch} ${p.sequence}`;
      const known = this.#acks.get(key);
      if (known !== undefined) return { offset: known, nextOffset: known + n, duplicate: true };
      const epoch = this.#epochs.get(p.id) ?? 0n;
      if (p.epoch < epoch) {
        throw serverError(Code.FailedPrecondition, 13, { nothingAppended: true, epoch });
      }
      this.#epochs.set(p.id, p.epoch);
      this.#acks.set(key, this.next);
    }
    const offset = this.next;
    this.add(...records.map((r) => r.value));
    return { offset, nextOffset: offset + n, timestamp: timestampFromMs(1_700_000_000_000) };
  }

  async produce(
    request: ProduceRequest,
    context: HandlerContext,
  ): Promise<Init<typeof ProduceResponseSchema>> {
    this.produces.push(request);
    this.changed();
    return (await this.hooks.produce?.(request, context)) ?? this.append(request);
  }

  async *produceStream(
    requests: AsyncIterable<ProduceRequest>,
    context: HandlerContext,
  ): AsyncGenerator<Init<typeof ProduceResponseSchema>> {
    this.headers.push(context.requestHeader);
    for await (const request of requests) yield await this.produce(request, context);
  }

  async *consumeStream(
    request: ConsumeRequest,
    context: HandlerContext,
  ): AsyncGenerator<Init<typeof ConsumeResponseSchema>> {
    this.reads.push(request);
    this.headers.push(context.requestHeader);
    this.open++;
    this.changed();
    try {
      const other = this.hooks.consumeStream?.(request, context);
      if (other !== undefined) return yield* other;
      yield* this.follow(request, context.signal);
    } finally {
      this.open--;
      this.changed();
    }
  }

  /** Streams as the server does. */
  async *follow(
    request: ConsumeRequest,
    signal: AbortSignal,
  ): AsyncGenerator<Init<typeof ConsumeResponseSchema>> {
    const beat = request.heartbeat;
    const ms = beat && Number(beat.seconds) * 1000 + beat.nanos / 1e6;
    let at = request.offset;
    let quiet = beat !== undefined;
    while (!signal.aborted) {
      if (request.logId !== "" && request.logId !== this.logId) {
        throw serverError(Code.FailedPrecondition, 7);
      }
      if (at < this.first) {
        const bounds = { firstOffset: this.first, nextOffset: this.next };
        throw serverError(Code.OutOfRange, 10, bounds);
      }
      const end = request.untilOffset ?? this.next;
      const last = end < this.next ? end : this.next;
      if (at < last) {
        const from = Number(at - this.first);
        const records = this.records
          .slice(from, from + request.maxRecords)
          .filter((r) => r.offset < last);
        at += BigInt(records.length);
        quiet = false;
        yield at === this.next ? { records, nextOffset: this.next } : { records };
        continue;
      }
      if (at === request.untilOffset || this.sealed) return;
      if (quiet) {
        this.beats++;
        this.changed();
        yield { nextOffset: this.next };
      }
      const before = this.next;
      await this.#wait(signal, ms);
      quiet = ms !== undefined && this.next === before;
    }
  }

  readonly routes = (router: ConnectRouter): void => {
    router.service(Log, {
      produce: async (request, context) => {
        this.headers.push(context.requestHeader);
        return this.produce(request, context);
      },
      produceStream: (requests, context) => this.produceStream(requests, context),
      consume: (request, context) => {
        this.headers.push(context.requestHeader);
        this.reads.push(request);
        if (this.hooks.consume) return this.hooks.consume(request, context);
        const record = this.records[Number(request.offset - this.first)];
        if (record === undefined) {
          const bounds = { firstOffset: this.first, nextOffset: this.next };
          throw serverError(Code.OutOfRange, 11, bounds);
        }
        return { record };
      },
      consumeStream: (request, context) => this.consumeStream(request, context),
      getLog: () =>
        this.hooks.getLog?.() ?? {
          info: {
            logId: this.logId,
            firstOffset: this.first,
            nextOffset: this.next,
            sealed: this.sealed,
            dedupWindow: { acks: 256 },
          },
          ...(this.limits === undefined ? {} : { limits: this.limits }),
          capabilities: { producers: true, namedLogs: true, expectedOffset: true },
        },
    });
  };
}

/** Starts a fake that speaks HTTP/2, or HTTP/1.1, without TLS. The end of the test stops it. */
export async function startFake(t: TestContext, version: "2" | "1.1" = "2"): Promise<Fake> {
  const fake = new Fake();
  const handler = connectNodeAdapter({ routes: fake.routes, shutdownSignal: stopping(t) });
  const server = version === "2" ? http2.createServer(handler) : http.createServer(handler);
  await listen(t, server, fake);
  return fake;
}

/** A signal that is given when the test ends. */
export function stopping(t: TestContext): AbortSignal {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // the library has one for each call
  t.after(() => controller.abort());
  return controller.signal;
}

/** Lets a server listen on a free port until the test ends. */
export async function listen(
  t: TestContext,
  server: Server,
  fake: Fake,
  scheme: "http" | "https" = "http",
): Promise<void> {
  fake.track(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  fake.address = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  t.after(async () => {
    fake.cut();
    await new Promise((resolve) => server.close(resolve));
  });
}

/** An address at which nobody listens. */
export async function nobody(): Promise<string> {
  const server = http.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}
