// Quickstart appends a few records and follows the log to see them come back.
//
// Start a server with make run, then, in this folder:
//
//	npm run setup && npm run build && node build/quickstart.js

// snippet: import
import { parseArgs } from "node:util";
import { Client } from "@proglog/sdk";
// end snippet

async function run(): Promise<void> {
  // snippet: connect
  const { values } = parseArgs({
    options: { addr: { type: "string", default: "http://127.0.0.1:8400" } },
  });
  const text = new TextDecoder();
  await using client = new Client(values.addr);
  // end snippet

  // snippet: produce
  // When produce resolves, the record is on the server's disk.
  const ack = await client.produce("hello");
  console.log(`produced ${ack.offset}`);
  // end snippet

  // snippet: batch
  // A batch is appended as a whole or not at all. Headers travel with a record.
  const batch = await client.produceBatch([
    "how are you?",
    { value: "goodbye", headers: [{ name: "mood", value: "sad" }] },
  ]);
  console.log(`produced ${batch.offset} to ${batch.nextOffset - 1n}`);
  // end snippet

  // snippet: follow
  // follow reads from an offset on. At the end of the log it waits for the next record,
  // and it goes on by itself when the connection or the server comes back.
  for await (const record of client.follow({ from: ack.offset })) {
    console.log(`${record.offset}: ${text.decode(record.value)}`);
    if (record.offset === batch.nextOffset - 1n) {
      break; // the last one of our own
    }
  }
  // end snippet
}

try {
  await run();
} catch (error) {
  console.error("quickstart:", error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
