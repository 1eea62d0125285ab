// Tail-a-file appends the lines of a growing file to a log. However often it is
// stopped, killed or started again, each line is in the log once.
//
// It needs no place to keep its own: each record has a header with the position in
// the file behind its line, so the last record of the log tells where to go on.
// Every append names the offset that it has to get. An append that was thought lost
// and arrives late, or a second program on the same file, is refused by that.
//
// Start a server with make run, then, in this folder:
//
//	npm run setup && npm run build && node build/tail-a-file.js FILE

import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Client, OutcomeUnknownError, ProglogError, type RecordInput } from "@proglog/sdk";
import { main } from "./command.js";

/** The header that tells where the next line begins. */
const POSITION_HEADER = "next-position";
/** How often, in ms, the file is looked at when it does not grow. */
const POLL_INTERVAL = 200;
/** The longest line, in bytes: a server takes no larger value unless it is told to. */
const MAX_LINE = 1 << 20;
/** How many lines go into one batch; a server takes no more. */
const MAX_LINES = 1000;

const NEWLINE = 0x0a;
const text = new TextDecoder();

const { values: flags, positionals } = parseArgs({
  options: {
    addr: { type: "string", default: "http://127.0.0.1:8400" },
    log: { type: "string", default: "lines" },
  },
  allowPositionals: true,
});
const { addr, log } = flags;
const path = positionals[0];

await main("tail-a-file", async (signal) => {
  if (path === undefined || positionals.length !== 1) {
    throw new Error("usage: tail-a-file [--addr URL] [--log NAME] FILE");
  }
  await using client = new Client(addr);
  await client.putLog(log);
  const file = await open(path);
  try {
    for (;;) {
      try {
        await follow(client, file, path, signal);
      } catch (error) {
        if (!canLookAgain(error)) {
          throw error;
        }
        // The lines are in the log, or they are not: its last record tells.
        console.error("tail-a-file: looking at the log again:", error.message);
        await pause(POLL_INTERVAL, undefined, { signal });
      }
    }
  } finally {
    await file.close();
  }
});

function canLookAgain(error: unknown): error is ProglogError {
  return (
    error instanceof OutcomeUnknownError ||
    (error instanceof ProglogError && error.reason === "OFFSET_MISMATCH")
  );
}

/** Appends lines, from where the log's last record says, until an error. */
async function follow(client: Client, file: FileHandle, path: string, signal: AbortSignal): Promise<never> {
  let { position, offset } = await place(client);
  for (;;) {
    const lines = await nextLines(file, path, position);
    if (lines.length === 0) {
      await pause(POLL_INTERVAL, undefined, { signal });
      continue;
    }
    const records: RecordInput[] = lines.map((line) => {
      position += line.length + 1;
      return { value: line, headers: [{ name: POSITION_HEADER, value: String(position) }] };
    });
    const ack = await client.produceBatch(records, { log, expectedOffset: offset, signal });
    for (const [i, line] of lines.entries()) {
      console.log(`${ack.offset + BigInt(i)}: ${text.decode(line)}`);
    }
    offset = ack.nextOffset;
  }
}

/** Reads from the log how far the file has been read, and which offset the next line gets. */
async function place(client: Client): Promise<{ position: number; offset: bigint }> {
  const info = await client.describeLog(log);
  if (info.nextOffset === 0n) {
    return { position: 0, offset: 0n };
  }
  const record = (await client.consumeBatch({ log, fromEnd: 1 })).records.at(-1);
  if (record === undefined) {
    throw new Error(`all records of "${log}" were trimmed: nothing tells how far the file was read`);
  }
  const header = record.headers.find((one) => one.name === POSITION_HEADER);
  if (header === undefined) {
    throw new Error(`record ${record.offset} of "${log}" is none of this program's: choose another log`);
  }
  return { position: Number(text.decode(header.value)), offset: record.offset + 1n };
}

/**
 * The lines from a position on, without their newlines: some of those that are complete,
 * or none if there is none yet.
 */
async function nextLines(file: FileHandle, path: string, position: number): Promise<Uint8Array[]> {
  const { size } = await file.stat();
  if (size < position) {
    throw new Error(
      `${path} has ${size} bytes, but ${position} of it are in the log: it was replaced, choose another log`,
    );
  }
  const wanted = Math.min(size - position, MAX_LINE + 1);
  const { bytesRead, buffer } = await file.read(Buffer.alloc(wanted), 0, wanted, position);
  const lines: Uint8Array[] = [];
  let begin = 0;
  while (lines.length < MAX_LINES) {
    const end = buffer.subarray(0, bytesRead).indexOf(NEWLINE, begin);
    if (end < 0) {
      break; // somebody is still writing it
    }
    lines.push(buffer.subarray(begin, end));
    begin = end + 1;
  }
  if (lines.length === 0 && bytesRead > MAX_LINE) {
    throw new Error(`the line at position ${position} of ${path} is longer than ${MAX_LINE} bytes`);
  }
  return lines;
}
