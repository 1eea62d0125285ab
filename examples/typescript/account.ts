// Account is optimistic concurrency: a bank account is a log of deposits and
// withdrawals, and two writers withdraw from it at the same time. A writer reads the
// log, decides by the balance, and appends with the offset that the log had when it
// decided. If the other writer was faster, the append is refused, and the writer reads
// on and decides anew. So the balance never falls below 0, without any lock.
//
// Start a server with make run, then, in this folder:
//
//	npm run setup && npm run build && node build/account.js

import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { Client, OutcomeUnknownError, ProglogError } from "@proglog/sdk";
import { main } from "./command.js";

const DEPOSIT = 100;
const WITHDRAWAL = 10;
/** How many each writer wants: 160 in all. */
const PER_WRITER = 8;

const text = new TextDecoder();
const { values: flags } = parseArgs({
  options: {
    addr: { type: "string", default: "http://127.0.0.1:8400" },
    log: { type: "string", default: "account" },
  },
});
const { addr, log } = flags;

/** A record of the account. By the id a writer knows its own. */
interface Change {
  id: string;
  amount: number;
}

/** What one reader knows of the account. Each writer has its own, as if it were a program of its own. */
class Account {
  balance = 0;
  /** The offset to read next. */
  #next = 0n;
  /** The ids that were read since change was called. */
  #seen = new Set<string>();
  readonly #client: Client;
  readonly #signal: AbortSignal;

  constructor(client: Client, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
  }

  /** Adds an amount to the balance unless that made it negative; says whether it did. */
  async change(amount: number): Promise<boolean> {
    const change: Change = { id: randomUUID(), amount };
    const value = JSON.stringify(change);
    this.#seen.clear();
    // snippet: decide
    for (;;) {
      await this.readOn();
      if (this.#seen.has(change.id)) {
        return true; // an append whose answer was lost had come through
      }
      if (this.balance + amount < 0) {
        return false;
      }
      try {
        await this.#client.produce(value, { log, expectedOffset: this.#next, signal: this.#signal });
        return true;
      } catch (error) {
        // Somebody was faster: read what they wrote, and decide anew.
        const faster = error instanceof ProglogError && error.reason === "OFFSET_MISMATCH";
        // It is in the log or it is not: reading on tells.
        const unknown = error instanceof OutcomeUnknownError && !this.#signal.aborted;
        if (!faster && !unknown) {
          throw error;
        }
      }
    }
    // end snippet
  }

  /** Reads the changes that are new since the last time. */
  async readOn(): Promise<void> {
    for await (const record of this.#client.records({ log, from: this.#next, signal: this.#signal })) {
      const change = JSON.parse(text.decode(record.value)) as Change;
      this.balance += change.amount;
      this.#next = record.offset + 1n;
      this.#seen.add(change.id);
    }
  }
}

/** One writer. Returns how many of its withdrawals were done. */
async function withdraw(account: Account): Promise<number> {
  let done = 0;
  for (let i = 0; i < PER_WRITER; i++) {
    done += (await account.change(-WITHDRAWAL)) ? 1 : 0;
  }
  return done;
}

await main("account", async (signal) => {
  await using client = new Client(addr);
  await client.putLog(log);
  const opening = new Account(client, signal);
  await opening.change(DEPOSIT);
  console.log(`deposited ${DEPOSIT}`);

  const writers = [new Account(client, signal), new Account(client, signal)];
  const done = (await Promise.all(writers.map(withdraw))).reduce((sum, one) => sum + one);
  if (done !== DEPOSIT / WITHDRAWAL) {
    throw new Error(`withdrew ${done} times ${WITHDRAWAL} of ${DEPOSIT}`);
  }
  console.log(`withdrew ${WITHDRAWAL} ten times, was refused ${writers.length * PER_WRITER - done} times`);
  await opening.readOn();
  console.log(`balance ${opening.balance}`);
});
