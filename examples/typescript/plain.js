// Plain is the shortest program in JavaScript. It needs no compiler: Node 20 has no
// `await using`, so that the client is closed by hand.
//
// Start a server with make run, then, in this folder:
//
//	npm run setup && node plain.js

// snippet: whole
import { parseArgs } from "node:util";
import { Client } from "@proglog/sdk";

const { values } = parseArgs({
  options: { addr: { type: "string", default: "http://127.0.0.1:8400" } },
});
const client = new Client(values.addr);
try {
  const { offset } = await client.produce("hello");
  const record = await client.consume(offset);
  console.log(`${record.offset}: ${new TextDecoder().decode(record.value)}`);
} finally {
  await client.close();
}
// end snippet
