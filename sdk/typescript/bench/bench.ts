// Measures the SDK against a client that connect-node makes of the same contract
// without further ado: a record to a message, through the generated types. Both speak
// to the server that PROGLOG_BIN names, which this starts.
//
//     npm run bench
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { Log } from "../src/gen/log/v1/log_pb.js";
import { Client } from "../src/index.js";
import { startServer } from "../test/server.js";

const records = Number(process.env["RECORDS"] ?? 300_000);
const rounds = Number(process.env["ROUNDS"] ?? 3);
const value = new Uint8Array(100).fill(120);

/** Runs one way of doing something, and tells how many records a second it did. */
async function rate(n: number, run: () => Promise<void>): Promise<{ wall: number; cpu: number }> {
  const started = performance.now();
  const cpu = process.cpuUsage();
  await run();
  const wall = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { wall: n / wall, cpu: n / ((user + system) / 1e6) };
}

async function sdkProduce(address: string): Promise<void> {
  const client = new Client(address);
  const producer = client.producer();
  for (let i = 0; i < records; i++) await producer.send(value);
  await producer.close();
  await client.close();
}

async function sdkFollow(address: string): Promise<void> {
  const client = new Client(address);
  let n = 0;
  let bytes = 0;
  for await (const record of client.follow({ from: 0n })) {
    bytes += record.value.length;
    if (++n === records) break;
  }
  if (bytes !== records * value.length) throw new Error(`${bytes} bytes came`);
  await client.close();
}

const stock = (address: string) =>
  createClient(Log, createConnectTransport({ baseUrl: address, httpVersion: "2" }));

async function stockProduce(address: string, n: number): Promise<void> {
  async function* requests() {
    for (let i = 0; i < n; i++) yield { record: { value } };
  }
  let acks = 0;
  for await (const _ of stock(address).produceStream(requests())) acks++;
  if (acks !== n) throw new Error(`${acks} acknowledgements came`);
}

async function stockFollow(address: string): Promise<void> {
  const signal = new AbortController();
  let n = 0;
  for await (const r of stock(address).consumeStream({}, { signal: signal.signal })) {
    if (r.record?.value.length !== value.length) throw new Error("no record came");
    if (++n === records) break;
  }
  signal.abort();
}

const few = Math.ceil(records / 10);
const ways: [string, number, (address: string) => Promise<void>][] = [
  ["produce, SDK producer", records, sdkProduce],
  ["produce, stock stream", few, (address) => stockProduce(address, few)],
  ["follow, SDK", records, sdkFollow],
  ["follow, stock stream", records, stockFollow],
];
const results = new Map<string, { wall: number; cpu: number }[]>();
for (let round = 0; round < rounds; round++) {
  const server = await startServer(process.env["PROGLOG_BIN"] ?? "");
  try {
    for (const [name, n, run] of ways) {
      const all = results.get(name) ?? [];
      all.push(await rate(n, () => run(server.address)));
      results.set(name, all);
    }
  } finally {
    await server.stop();
  }
}
console.log(
  `node ${process.version}, values of ${value.length} bytes, medians of ${rounds} rounds`,
);
for (const [name, all] of results) {
  const median = (by: "wall" | "cpu"): number =>
    all.map((r) => r[by]).sort((a, b) => a - b)[Math.floor(all.length / 2)]!;
  const k = (n: number): string => `${(n / 1000).toFixed(0)} k`;
  console.log(
    `${name.padEnd(24)} ${k(median("wall")).padStart(8)} records/s ${k(median("cpu")).padStart(8)} records per s of CPU`,
  );
}
