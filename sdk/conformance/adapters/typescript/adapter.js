// The adapter of the TypeScript SDK; the protocol is ../../PROTOCOL.md.
//
//     node adapter.js
//
// It runs what `npm run build` made in sdk/typescript. With PROGLOG_TRANSPORT=fetch it
// runs the entry for browsers, over the fetch of Node.
import { createInterface } from "node:readline";
import { ackOf, bytesOf, errorOf, infoOf, recordOf, startOf } from "./json.js";

const overFetch = process.env.PROGLOG_TRANSPORT === "fetch";
const sdk = overFetch
  ? await import("../../../typescript/dist/browser.js")
  : await import("../../../typescript/dist/index.js");

const lacks = overFetch
  ? {
      ca: "the platform decides whom its fetch trusts",
      http1: "the platform decides whom its fetch trusts",
    }
  : {};
const clients = new Map();
const producers = new Map();
const cursors = new Map();
/** The tries of clients that have a trace. */
const traces = new Map();
/** What ends each command that runs, by its id. */
const running = new Map();

/** Writes one line, and waits while nobody reads. */
async function say(line) {
  if (process.stdout.write(JSON.stringify(line) + "\n")) return;
  await new Promise((resolve) => process.stdout.once("drain", resolve));
}

function named(things, name, kind) {
  const thing = things.get(name);
  if (thing === undefined) throw new TypeError(`there is no ${kind} "${name}"`);
  return thing;
}

const clientOf = (command) => named(clients, command.client, "client");
const big = (given) => (given === undefined ? undefined : BigInt(given));
const number = (given) => (given === undefined ? undefined : Number(given));

/** The cursor that cursor_get made. */
const cursorKey = ({ client, log = "", cursor }) =>
  JSON.stringify([client, log, cursor]);

/** The values of records, one after another in the same bytes. */
function* reused(records) {
  const bytes = Buffer.alloc(records[0].value.length);
  for (const { value } of records) {
    value.copy(bytes);
    yield bytes;
  }
}

const ops = {
  hello: async () => ({
    sdk: "typescript",
    version: sdk.VERSION,
    runtime: `node ${process.version}${overFetch ? ", fetch" : ""}`,
    lacks,
  }),

  async client(c) {
    const retry = {
      attempts: number(c.attempts),
      minDelayMs: c.min_delay_ms,
      maxDelayMs: c.max_delay_ms,
    };
    const options = {
      retry,
      timeoutMs: c.timeout_ms,
      headers: c.headers,
      token: c.token,
      userAgent: c.user_agent,
    };
    if (c.tokens !== undefined) {
      let next = 0;
      options.token = () => c.tokens[Math.min(next++, c.tokens.length - 1)];
    }
    if (c.trace) {
      const trace = { calls: [], open: 0 };
      traces.set(c.client, trace);
      options.trace = ({ method }) => {
        trace.open++;
        return ({ error }) => {
          trace.open--;
          const [name] = method.split("/").slice(-1);
          trace.calls.push({ method: name, code: error?.code ?? "" });
        };
      };
    }
    if (c.http1) options.httpVersion = "1.1";
    if (c.ca !== undefined) options.tls = { ca: c.ca };
    clients.set(c.client, new sdk.Client(c.addr, options));
    return {};
  },

  async close_client(c) {
    await clientOf(c).close();
    return {};
  },

  async produce(c, signal) {
    const options = { signal, log: c.log, timeoutMs: c.timeout_ms };
    if (c.expected_offset !== undefined)
      options.expectedOffset = BigInt(c.expected_offset);
    if (c.producer !== undefined) {
      const { id, epoch = 0, sequence = 0 } = c.producer;
      options.producer = {
        id,
        epoch: BigInt(epoch),
        sequence: BigInt(sequence),
      };
    }
    const records = c.records.map(bytesOf);
    const client = clientOf(c);
    if (c.reuse) {
      const acks = [];
      for (const bytes of reused(records))
        acks.push(client.produce(bytes, options));
      return { acks: (await Promise.all(acks)).map(ackOf) };
    }
    return ackOf(
      c.single
        ? await client.produce(records[0], options)
        : await client.produceBatch(records, options),
    );
  },

  async consume(c, signal) {
    const options = {
      signal,
      log: c.log,
      logId: c.log_id,
      waitMs: c.wait_ms,
      timeoutMs: c.timeout_ms,
    };
    return {
      record: recordOf(
        await clientOf(c).consume(BigInt(c.offset ?? 0), options),
      ),
    };
  },

  async consume_batch(c, signal) {
    const batch = await clientOf(c).consumeBatch({
      ...startOf(c),
      ...{
        signal,
        log: c.log,
        logId: c.log_id,
        waitMs: c.wait_ms,
        until: big(c.until),
        batchRecords: number(c.max_records),
      },
    });
    const answer = { records: batch.records.map(recordOf), tail: batch.tail };
    if (batch.nextOffset !== undefined)
      answer.next_offset = String(batch.nextOffset);
    return answer;
  },

  async read(c, signal) {
    const client = clientOf(c);
    const options = {
      ...startOf(c),
      ...{ signal, log: c.log, logId: c.log_id, until: big(c.until) },
      ...{ heartbeatMs: c.heartbeat_ms, batchRecords: number(c.batch_records) },
    };
    const reader = c.follow ? client.follow(options) : client.records(options);
    for await (const record of reader)
      await say({ id: c.id, event: { record: recordOf(record) } });
    return {};
  },

  async cancel(c) {
    running.get(c.target)?.abort(new Error("the runner cancelled the command"));
    return {};
  },

  async producer(c) {
    const options = {
      log: c.log,
      lingerMs: c.linger_ms,
      maxBatchRecords: number(c.max_batch_records),
      maxBatchBytes: number(c.max_batch_bytes),
      maxInFlightBatches: number(c.max_in_flight_batches),
      maxInFlightBytes: number(c.max_in_flight_bytes),
      giveUpAfterMs: c.give_up_after_ms,
    };
    if (c.identity !== undefined)
      options.identity = { id: c.identity, epoch: big(c.epoch) };
    producers.set(c.producer, clientOf(c).producer(options));
    return {};
  },

  async send(c, signal) {
    const producer = named(producers, c.producer, "producer");
    const acks = [];
    const given = c.records.map(bytesOf);
    for (const record of c.reuse ? reused(given) : given) {
      try {
        const future = await producer.send(record, { signal });
        acks.push(
          future.wait({ signal }).then(ackOf, (e) => ({ error: errorOf(e) })),
        );
      } catch (e) {
        if (c.no_wait) throw e;
        acks.push({ error: errorOf(e) });
      }
    }
    if (c.no_wait) return {};
    return { acks: await Promise.all(acks) };
  },

  async flush(c, signal) {
    await named(producers, c.producer, "producer").flush({ signal });
    return {};
  },

  async close_producer(c, signal) {
    if (c.timeout_ms !== undefined)
      signal = AbortSignal.any([signal, AbortSignal.timeout(c.timeout_ms)]);
    await named(producers, c.producer, "producer").close({ signal });
    return {};
  },

  /** Ends a producer as this SDK does: nobody waits for its close. */
  async abort_producer(c) {
    const signal = AbortSignal.abort();
    await named(producers, c.producer, "producer")
      .close({ signal })
      .catch(() => {});
    return {};
  },

  async traced(c) {
    return named(traces, c.client, "trace of client");
  },

  async put_log(c, signal) {
    const settings = { sealed: c.sealed };
    if (c.max_age_ms !== undefined || c.max_bytes !== undefined) {
      settings.retention = {
        maxAgeMs: c.max_age_ms,
        maxBytes: big(c.max_bytes),
      };
    }
    const { info, created } = await clientOf(c).putLog(c.log ?? "", settings, {
      signal,
    });
    return { info: infoOf(info), created };
  },

  async create_log(c, signal) {
    return {
      info: infoOf(
        await clientOf(c).createLog(
          c.log ?? "",
          {},
          { signal, timeoutMs: c.timeout_ms },
        ),
      ),
    };
  },

  async describe_log(c, signal) {
    return {
      info: infoOf(
        await clientOf(c).describeLog(c.log ?? "", {
          signal,
          timeoutMs: c.timeout_ms,
        }),
      ),
    };
  },

  async seal_log(c, signal) {
    return {
      info: infoOf(
        await clientOf(c).sealLog(c.log ?? "", {
          signal,
          timeoutMs: c.timeout_ms,
        }),
      ),
    };
  },

  async list_logs(c, signal) {
    const logs = [];
    for await (const info of clientOf(c).listLogs(c.prefix ?? "", {
      signal,
      timeoutMs: c.timeout_ms,
    }))
      logs.push(infoOf(info));
    return { logs };
  },

  async trim_log(c, signal) {
    const first = await clientOf(c).trimLog(c.log ?? "", BigInt(c.first), {
      signal,
    });
    return { first_offset: String(first) };
  },

  async delete_log(c, signal) {
    await clientOf(c).deleteLog(c.log ?? "", {
      signal,
      timeoutMs: c.timeout_ms,
    });
    return {};
  },

  async cursor_get(c, signal) {
    const key = cursorKey(c);
    const cursor =
      cursors.get(key) ?? clientOf(c).cursor(c.log ?? "", c.cursor);
    cursors.set(key, cursor);
    const { offset, logId } = await cursor.get({
      signal,
      timeoutMs: c.timeout_ms,
    });
    return { offset: String(offset), log_id: logId };
  },

  async cursor_commit(c, signal) {
    const cursor = named(cursors, cursorKey(c), "cursor");
    cursor.set(BigInt(c.offset));
    await cursor.commit({ signal, timeoutMs: c.timeout_ms });
    return {};
  },
};

/** Runs one command, and answers it. */
async function run(command) {
  const controller = new AbortController();
  running.set(command.id, controller);
  const { id } = command;
  try {
    const op = Object.hasOwn(ops, command.op) ? ops[command.op] : undefined;
    if (op === undefined) throw new TypeError(`there is no op "${command.op}"`);
    await say({ id, ok: await op(command, controller.signal) });
  } catch (e) {
    await say({ id, error: errorOf(e) });
  } finally {
    running.delete(id);
  }
}

const commands = new Set();
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "") continue;
  const command = run(JSON.parse(line));
  commands.add(command);
  void command.finally(() => commands.delete(command));
}
for (const controller of running.values())
  controller.abort(new Error("the input ended"));
await Promise.all(commands);
const ended = AbortSignal.abort();
await Promise.allSettled(
  [...producers.values()].map((p) => p.close({ signal: ended })),
);
await Promise.all([...clients.values()].map((c) => c.close()));
