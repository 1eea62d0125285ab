// Tour shows a part of the client at a time: outcomes of writes, a producer, a cursor, a
// trace. It wants an empty server.
//
// Start a server with make run, then, in this folder:
//
//	npm run setup && npm run build && node build/tour.js

import { parseArgs } from "node:util";
import { Client, NothingAppendedError, OutcomeUnknownError } from "@proglog/sdk";
import { main } from "./command.js";

const { values: flags } = parseArgs({
  options: { addr: { type: "string", default: "http://127.0.0.1:8400" } },
});
const addr = flags.addr;

async function outcomes(client: Client): Promise<void> {
  await client.produce("hello");
  // snippet: outcomes
  try {
    await client.produce("hello again", { expectedOffset: 0n });
  } catch (e) {
    if (e instanceof NothingAppendedError && e.reason === "OFFSET_MISMATCH") {
      console.log(`not appended: the log is at ${e.nextOffset} already`);
    } else if (e instanceof OutcomeUnknownError) {
      console.log("read the log to see");
    } else throw e;
  }
  // end snippet
}

async function produceMany(client: Client): Promise<void> {
  // snippet: producer
  const producer = client.producer();
  for (let i = 0; i < 1000; i++) await producer.send(`record ${i}`);
  await producer.close(); // all are durable now
  console.log(`produced up to ${producer.outcome().lastOffset}`);
  // end snippet
}

async function keepPlace(client: Client): Promise<void> {
  await client.putLog("orders");
  await client.produceBatch(["a chair", "a table"], { log: "orders" });
  for (let round = 0; round < 2; round++) {
    // snippet: cursor
    const cursor = client.cursor("orders", "billing");
    const place = await cursor.get();
    console.log(`billing goes on at ${place.offset}`);
    for await (const record of client.records({ log: "orders", ...place.start })) {
      // … handle it, then, now and then:
      cursor.set(record.offset + 1n);
      await cursor.commit();
    }
    // end snippet
  }
}

async function traceCalls(): Promise<void> {
  // snippet: trace
  await using client = new Client(addr, {
    trace:
      ({ method, attempt }) =>
      ({ durationMs, error }) => {
        const slow = durationMs > 10_000 ? ", slow" : "";
        console.log(`${method}, try ${attempt}: ${error?.code ?? "ok"}${slow}`);
      },
  });
  await client.describeLog("orders");
  // end snippet
}

await main("tour", async () => {
  await using client = new Client(addr);
  await outcomes(client);
  await produceMany(client);
  await keepPlace(client);
  await traceCalls();
});
