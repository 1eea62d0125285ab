// The clients that are measured: the SDK, and what its users would take without it, a
// client that connect-node makes of the contract, as its pages show it.
import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { Log } from "../src/gen/log/v1/log_pb.js";
import { Client } from "../src/index.js";

/** Does what can be asked for, with one log, over one connection. */
export interface Contestant {
  /** Makes the connection. */
  warm(): Promise<unknown>;
  /** Appends one record. */
  produce(value: Uint8Array): Promise<unknown>;
  /** Appends n records, waits for their acknowledgements, and returns their number. */
  pipeline(value: Uint8Array, n: number): Promise<number>;
  /** Reads one record, and returns the length of its value. */
  consume(offset: number): Promise<number>;
  /** Reads n records from offset 0 on, and returns the sum of their lengths. */
  follow(n: number): Promise<number>;
  close(): Promise<void>;
}

type Maker = (address: string, log: string) => Contestant;

/** The clients by their names. */
export const clients: ReadonlyMap<string, Maker> = new Map<string, Maker>([
  ["sdk", sdk],
  ["stock-grpc", (address, log) => stock("grpc", address, log, 0)],
  ["stock-connect", (address, log) => stock("connect", address, log, 0)],
  ["stock-grpc-batch", (address, log) => stock("grpc", address, log, 1000)],
]);

function sdk(address: string, log: string): Contestant {
  const client = new Client(address);
  return {
    warm: () => client.describeLog(log),
    produce: (value) => client.produce(value, { log }),
    async pipeline(value, n) {
      const producer = client.producer({ log });
      for (let i = 0; i < n; i++) await producer.send(value);
      await producer.close();
      return producer.outcome().acked;
    },
    consume: async (offset) => (await client.consume(offset, { log })).value.length,
    async follow(n) {
      let bytes = 0;
      let left = n;
      for await (const record of client.follow({ log, from: 0 })) {
        bytes += record.value.length;
        if (--left === 0) break;
      }
      return bytes;
    },
    close: () => client.close(),
  };
}

/** What a stock client's message lacks, which no answer of the server does. */
class Missing extends Error {}

function stock(
  protocol: "grpc" | "connect",
  baseUrl: string,
  log: string,
  maxRecords: number,
): Contestant {
  const sessionManager = new Http2SessionManager(baseUrl);
  // Answers that are not compressed are what costs it least.
  const common = { baseUrl, sessionManager, acceptCompression: [] };
  const transport: Transport =
    protocol === "grpc"
      ? createGrpcTransport(common)
      : createConnectTransport({ ...common, httpVersion: "2" });
  const client = createClient(Log, transport);
  return {
    warm: () => client.getLog({ log }),
    produce: (value) => client.produce({ log, record: { value } }),
    async pipeline(value, n) {
      async function* requests() {
        for (let i = 0; i < n; i++) yield { log, record: { value } };
      }
      let acks = 0;
      for await (const _ of client.produceStream(requests())) acks++;
      return acks;
    },
    async consume(offset) {
      const { record } = await client.consume({ log, offset: BigInt(offset) });
      if (record === undefined) throw new Missing("an answer has no record");
      return record.value.length;
    },
    async follow(n) {
      const stop = new AbortController();
      let bytes = 0;
      let left = n;
      reading: for await (const r of client.consumeStream(
        { log, maxRecords },
        { signal: stop.signal },
      )) {
        if (r.record !== undefined) {
          bytes += r.record.value.length;
          if (--left === 0) break;
        }
        for (const record of r.records) {
          bytes += record.value.length;
          if (--left === 0) break reading;
        }
      }
      stop.abort();
      return bytes;
    },
    async close() {
      sessionManager.abort();
    },
  };
}
