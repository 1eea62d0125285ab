// Quickstart appends a few records and follows the log to see them come back, with
// grpc-js alone: the proto files are loaded as they are.
//
// Start a server with make run, then:
//
//	npm --prefix examples/grpc-node ci
//	node examples/grpc-node/quickstart.js

import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

// Offsets are 64-bit numbers, and larger ones do not fit into a number of
// JavaScript: they come as strings. What is not set comes as undefined.
const definition = loadSync("log/v1/log.proto", {
  includeDirs: [fileURLToPath(new URL("../../proto", import.meta.url))],
  longs: String,
});
const { Log } = grpc.loadPackageDefinition(definition).log.v1;

async function run(addr) {
  const client = new Log(addr, grpc.credentials.createInsecure());
  try {
    const produce = promisify(client.produce).bind(client);

    // When produce resolves, the record is on the server's disk.
    const ack = await produce({ record: { value: Buffer.from("hello") } });
    console.log("produced", offset(ack.offset).toString());

    // A batch is appended as a whole or not at all. Headers travel with a record.
    const batch = await produce({
      records: [
        { value: Buffer.from("how are you?") },
        { value: Buffer.from("goodbye"), headers: [{ name: "mood", value: Buffer.from("sad") }] },
      ],
    });
    const last = offset(batch.nextOffset) - 1n;
    console.log(`produced ${offset(batch.offset)} to ${last}`);

    // consumeStream waits for the next record at the end of the log, until the client
    // leaves. A lost connection ends it: to resume, call it again, one behind the last
    // offset that came, with the logId of getLog.
    const stream = client.consumeStream({ offset: ack.offset });
    try {
      for await (const { record } of stream) {
        console.log(`${offset(record.offset)}: ${record.value}`);
        if (offset(record.offset) === last) {
          break; // the last one of our own
        }
      }
    } finally {
      stream.cancel(); // leaving the loop does not
    }
  } finally {
    client.close();
  }
}

// offset reads one; 0 is not sent.
function offset(field) {
  return BigInt(field ?? 0);
}

const { values } = parseArgs({ options: { addr: { type: "string", default: "http://127.0.0.1:8400" } } });
try {
  await run(values.addr.replace("http://", ""));
} catch (error) {
  console.error("quickstart:", error.message);
  process.exitCode = 1;
}
