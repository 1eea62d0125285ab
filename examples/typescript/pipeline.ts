// Pipeline reads the log "orders" and writes an invoice into the log "invoices" for
// each order of 100 and more. However often it is killed and started again, each
// such order has exactly one invoice.
//
// A cursor keeps how far the orders were read; most orders have no invoice, so the
// invoices alone could not tell. The invoices are written first and the cursor is
// moved after them, so a crash in between makes the pipeline read some orders again.
// It knows those that have an invoice: each invoice names its order in a header. And
// every append names the offset that it has to get, so that one that was thought lost
// and arrives late is refused.
//
// Start a server with make run, then, in the top folder,
//
//	bin/proglog logs create orders
//	printf 'chair 4900\ntable 12000\n' | bin/proglog produce --log orders
//
// and in this one: npm run setup && npm run build && node build/pipeline.js

import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Client, type LogRecord, OutcomeUnknownError, ProglogError } from "@proglog/sdk";
import { main } from "./command.js";

const ORDERS = "orders";
const INVOICES = "invoices";
/** The header of an invoice that has its order's offset. */
const ORDER_HEADER = "order";
/** What an order has to cost for an invoice. */
const LEAST_CENTS = 100_00;
/** Bounds what is read at a time, so that the invoices of one batch of orders fit into one batch. */
const BATCH_RECORDS = 500;
/** How long, in ms, the pipeline waits before it starts over. */
const START_OVER_AFTER = 1000;

const text = new TextDecoder();
const { values: flags } = parseArgs({
  options: { addr: { type: "string", default: "http://127.0.0.1:8400" } },
});
const addr = flags.addr;

await main("pipeline", async (signal) => {
  await using client = new Client(addr);
  await client.putLog(INVOICES);
  for (;;) {
    try {
      return await pipe(client, signal);
    } catch (error) {
      if (!canStartOver(error)) {
        throw error;
      }
      // The invoices are in the log, or they are not: the log itself tells.
      console.error("pipeline: starting over:", error.message);
      await pause(START_OVER_AFTER, undefined, { signal });
    }
  }
});

function canStartOver(error: unknown): error is ProglogError {
  return (
    error instanceof OutcomeUnknownError ||
    (error instanceof ProglogError && error.reason === "OFFSET_MISMATCH")
  );
}

/** Reads orders from the cursor on and writes their invoices, until an error. */
async function pipe(client: Client, signal: AbortSignal): Promise<void> {
  // snippet: cursor
  const cursor = client.cursor(ORDERS, "invoices");
  const place = await cursor.get();
  let { done, offset } = await lastInvoice(client);
  const orders = client.batches({ log: ORDERS, ...place.start, batchRecords: BATCH_RECORDS, signal });
  for await (const { records } of orders) {
    offset = await writeInvoices(client, records, done, offset);
    cursor.set(records.at(-1)!.offset + 1n);
    await cursor.commit();
  }
  // end snippet
}

/**
 * The offset behind the last order that has an invoice, and the offset that the next
 * invoice gets. It needs one invoice to be kept: a retention that may remove the last one
 * does not go with a pipeline.
 */
async function lastInvoice(client: Client): Promise<{ done: bigint; offset: bigint }> {
  const info = await client.describeLog(INVOICES);
  if (info.nextOffset === 0n) {
    return { done: 0n, offset: 0n };
  }
  const record = (await client.consumeBatch({ log: INVOICES, fromEnd: 1 })).records.at(-1);
  if (record === undefined) {
    throw new Error(`all records of "${INVOICES}" were trimmed: nothing tells which orders have an invoice`);
  }
  const header = record.headers.find((one) => one.name === ORDER_HEADER);
  if (header === undefined) {
    throw new Error(`record ${record.offset} of "${INVOICES}" is none of this program's`);
  }
  return { done: BigInt(text.decode(header.value)) + 1n, offset: record.offset + 1n };
}

/**
 * Writes the invoices of orders, all or none, and returns the offset that the next one
 * gets. Orders below done have theirs.
 */
async function writeInvoices(
  client: Client,
  orders: readonly LogRecord[],
  done: bigint,
  offset: bigint,
): Promise<bigint> {
  const invoices = orders.flatMap((order) => {
    const { value, due } = invoice(order);
    const missing = due && order.offset >= done;
    return missing ? [{ value, headers: [{ name: ORDER_HEADER, value: String(order.offset) }] }] : [];
  });
  if (invoices.length === 0) {
    return offset;
  }
  const ack = await client.produceBatch(invoices, { log: INVOICES, expectedOffset: offset });
  for (const [i, { value, headers }] of invoices.entries()) {
    console.log(`order ${headers[0]!.value} -> invoice ${ack.offset + BigInt(i)}: ${value}`);
  }
  return ack.nextOffset;
}

/** Makes "table 120.00" of the order "table 12000"; due says if it is large enough for one. */
function invoice(order: LogRecord): { value: string; due: boolean } {
  const [, item, price] = /^(\S+) (\d{1,9})$/.exec(text.decode(order.value)) ?? [];
  if (price === undefined) {
    throw new Error(`order ${order.offset} is not an item and its price in cents`);
  }
  const cents = Number(price);
  return { value: `${item} ${(cents / 100).toFixed(2)}`, due: cents >= LEAST_CENTS };
}
