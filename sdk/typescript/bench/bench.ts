// The TypeScript program of the bench, which measures each SDK beside the stock clients
// of its language. It is told on its input what to do; `npm run bench` starts the bench.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { clients, type Contestant } from "./clients.js";
import { type Answer, type Ask, serve } from "./talk.js";

/** Does what is asked, with a client of its own. */
async function run(ask: Ask): Promise<Answer> {
  const { client, address, log, count } = ask;
  const make = clients.get(client);
  if (make === undefined) throw new Error(`there is no client ${client}`);
  const contestant = make(address, log);
  try {
    const job = prepare(contestant, ask);
    await contestant.warm();
    globalThis.gc?.(); // nobody pays for what another left behind
    const cpu = process.cpuUsage();
    const began = performance.now();
    await job();
    const seconds = (performance.now() - began) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    return { records: count, seconds, cpu: (user + system) / 1e6 };
  } finally {
    await contestant.close();
  }
}

/** Makes what is measured: it counts and checks what comes. */
function prepare(contestant: Contestant, ask: Ask): () => Promise<void> {
  const value = new Uint8Array(ask.value).fill(120);
  switch (ask.path) {
    case "unary":
      return () => callers(ask, () => contestant.produce(value));
    case "pipelined":
      return async () => {
        const acks = await contestant.pipeline(value, ask.count);
        if (acks !== ask.count) throw new Error(`${acks} acks came, not ${ask.count}`);
      };
    case "consume":
      return () =>
        callers(ask, async (i) => {
          const size = await contestant.consume(i);
          if (size !== ask.value) throw new Error(`record ${i} has ${size} bytes`);
        });
    case "follow":
      return async () => {
        const size = await contestant.follow(ask.count);
        if (size !== ask.count * ask.value) throw new Error(`${size} bytes came`);
      };
    default:
      throw new Error(`there is no path ${String(ask.path)}`);
  }
}

/** Does a job as often as is asked, so many at a time. */
async function callers(ask: Ask, job: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < ask.count) await job(next++);
  };
  await Promise.all(Array.from({ length: ask.callers }, caller));
}

/** The version of a package that is installed, by the nearest package.json above its entry. */
function version(name: string): string {
  for (let dir = dirname(createRequire(import.meta.url).resolve(name)); ; dir = dirname(dir)) {
    try {
      const about = JSON.parse(readFileSync(join(dir, "package.json"), "utf8")) as {
        name?: string;
        version?: string;
      };
      if (about.name === name) return about.version ?? "unknown";
    } catch {
      // Not every folder has one.
    }
    if (dir === dirname(dir)) return "unknown";
  }
}

const packages = ["@connectrpc/connect-node", "@bufbuild/protobuf"];
await serve(
  {
    ready: true,
    versions: Object.fromEntries([
      ["node", process.version],
      ...packages.map((name) => [name, version(name)] as const),
    ]),
    clients: [...clients.keys()],
  },
  run,
);
