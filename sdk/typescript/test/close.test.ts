// The end of a client, of a wait and of a deadline, while the network is silent: what runs
// ends at once, with an error that says so.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import * as net from "node:net";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import {
  ClosedError,
  NothingAppendedError,
  OutcomeUnknownError,
  ProglogError,
} from "../src/index.js";
import { type Platform, platforms, rejection } from "./platforms.js";

/** How long, in ms, what is promised at once may take on a busy machine. */
const soonMs = 5_000;

/** Fails if a promise is not done soon. */
async function soon<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it hangs: ${what}`)), soonMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Starts a server that takes connections and never says a word. */
async function silence(t: TestContext): Promise<{ address: string; contacted: Promise<void> }> {
  const sockets = new Set<net.Socket>();
  let heard = (): void => {};
  const contacted = new Promise<void>((resolve) => (heard = resolve));
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", heard);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { address: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, contacted };
}

/** The errors beneath an error. */
function causes(e: unknown): unknown[] {
  return e instanceof Error ? [e, ...causes(e.cause)] : [e];
}

for (const platform of platforms) describe(`close: ${platform.name}`, () => cases(platform));

function cases(platform: Platform): void {
  // Goal: a call that nobody answers does not hold up the end of its client.
  test("closing the client ends what waits for a silent server", async (t) => {
    const { address, contacted } = await silence(t);
    const client = platform.client(t, address);
    const producer = client.producer();
    const waiting: { [what: string]: Promise<ProglogError> } = {
      follow: rejection(client.follow().next(), ProglogError),
      records: rejection(client.records().next(), ProglogError),
      batches: rejection(client.batches().next(), ProglogError),
      consume: rejection(client.consume(0), ProglogError),
      list: rejection(client.listLogs().next(), ProglogError),
      cursor: rejection(client.cursor("", "c").get(), ProglogError),
      produce: rejection(client.produce("a"), ProglogError),
      alone: rejection(client.produce("a", { alone: true }), OutcomeUnknownError),
      send: rejection(producer.send("a"), NothingAppendedError),
      "close of the producer": rejection(producer.close(), ProglogError),
    };
    await contacted;
    await soon("close", client.close());
    for (const [what, end] of Object.entries(waiting)) {
      const e = await soon(what, end);
      // What a producer did not take came behind its end.
      assert.equal(e.code, what === "send" ? "aborted" : "canceled", what);
      assert.match(e.message, /the client is closed/, what);
      assert.ok(
        causes(e).some((cause) => cause instanceof ClosedError),
        what,
      );
    }
    await soon("done", producer.done);
  });

  // Goal: a pause between two tries does not hold it up either.
  test("closing the client ends a follower that waits for its next try", async (t) => {
    const fake = await platform.fake(t);
    fake.add("a");
    let lost = 0;
    const client = platform.client(t, fake.address, {
      trace: () => (end) => {
        if (end.error !== undefined) lost++;
        fake.changed();
      },
      retry: { attempts: 5, minDelayMs: 60_000, maxDelayMs: 60_000 },
    });
    const reader = client.follow();
    await reader.next();
    const end = rejection(reader.next(), ProglogError);
    fake.cut();
    await fake.until(() => lost >= 1, "it is lost, and waits for the next try");
    await client.close();
    const e = await soon("the follower", end);
    assert.equal(e.code, "canceled");
    assert.match(e.message, /the client is closed/);
  });

  // Goal: a deadline given to `close` of a producer holds while GetLog is unanswered.
  test("a deadline ends the close of a producer on a silent server", async (t) => {
    const { address } = await silence(t);
    const producer = platform.client(t, address).producer();
    const sent = rejection(producer.send("a"), NothingAppendedError);
    const closed = rejection(producer.close({ signal: AbortSignal.timeout(50) }), ProglogError);
    assert.equal((await soon("close", closed)).code, "deadline_exceeded");
    await soon("send", sent);
    assert.equal(producer.outcome().pending, 0);
  });

  // Goal: a signal that is a deadline is told as one, and its reason is kept.
  test("AbortSignal.timeout is a deadline, another signal a cancel", async (t) => {
    const { address } = await silence(t);
    const client = platform.client(t, address);
    const calls: { [what: string]: (signal: AbortSignal) => Promise<unknown> } = {
      follow: (signal) => client.follow({ signal }).next(),
      consume: (signal) => client.consume(0, { signal }),
      produce: (signal) => client.produce("a", { signal }),
      alone: (signal) => client.produce("a", { signal, alone: true }),
    };
    for (const [what, call] of Object.entries(calls)) {
      const late = AbortSignal.timeout(30);
      const e = await soon(what, rejection(call(late), ProglogError));
      assert.equal(e.code, "deadline_exceeded", what);
      assert.ok(causes(e).includes(late.reason), what);

      const own = new AbortController();
      const canceled = rejection(call(own.signal), ProglogError);
      const reason = new Error("enough");
      own.abort(reason);
      const other = await soon(what, canceled);
      assert.equal(other.code, "canceled", what);
      assert.ok(causes(other).includes(reason), what);
    }
  });
}

// Goal: closing a client is no crash of a program that did not wait for its sends, and a
// record that is refused for itself is not lost in silence.
test("sends that nobody waits for do not end the program when the client is closed", async (t) => {
  const { address } = await silence(t);
  const root = fileURLToPath(new URL("../../", import.meta.url));
  const folder = await mkdtemp(join(root, "build", "sends-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const run = async (lines: string): Promise<{ code: unknown; stderr: string }> => {
    const file = join(folder, "program.mjs");
    await writeFile(
      file,
      `import { Client } from "@proglog/sdk";
       const client = new Client(${JSON.stringify(address)});
       const producer = client.producer();
       ${lines}
       await client.close();
       await producer.done;
       await new Promise(setImmediate);
       console.error("code: " + producer.error.code);`,
    );
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [file],
        { timeout: 30_000, killSignal: "SIGKILL" },
        (e, _, stderr) => resolve({ code: e?.code ?? 0, stderr }),
      );
    });
  };
  assert.deepEqual(await run(`for (let i = 0; i < 20; i++) producer.send("a");`), {
    code: 0,
    stderr: "code: canceled\n",
  });
  const refused = await run(`producer.send(5);`);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /neither|a record is/);
});
