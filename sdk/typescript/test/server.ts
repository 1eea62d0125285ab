// The real server, for tests: the binary that PROGLOG_BIN names, on a free port of the
// loopback interface.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext } from "node:test";

const startLimitMs = 30_000;
const stopLimitMs = 20_000;

/** A running server. */
export class Server {
  readonly #args: readonly string[];
  readonly #bin: string;
  readonly dataDir: string;
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> = Promise.resolve(0);
  #log = "";
  /** Its address, such as "http://127.0.0.1:4711". It stays the same over a restart. */
  address = "";

  constructor(bin: string, dataDir: string, args: readonly string[]) {
    this.#bin = bin;
    this.dataDir = dataDir;
    this.#args = args;
  }

  /** What it wrote so far. */
  get log(): string {
    return this.#log;
  }

  async start(): Promise<void> {
    const listen = this.address === "" ? "127.0.0.1:0" : new URL(this.address).host;
    const args = ["serve", "--listen", listen, "--data-dir", this.dataDir, "--log-format", "json"];
    const child = spawn(this.#bin, [...args, ...this.#args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#child = child;
    const kill = (): void => void child.kill("SIGKILL");
    process.once("exit", kill);
    this.#exited = new Promise((resolve) => {
      child.once("error", (e) => {
        this.#log += String(e);
        resolve(-1);
      });
      child.once("close", (code) => {
        process.off("exit", kill);
        resolve(code);
      });
    });
    const listening = new Promise<string>((resolve) => {
      createInterface({ input: child.stderr! }).on("line", (line) => {
        this.#log += line + "\n";
        try {
          const { msg, addr } = JSON.parse(line) as { msg?: string; addr?: string };
          if (msg === "listening" && addr !== undefined) resolve(`http://${addr}`);
        } catch {
          // Not every line has to be JSON.
        }
      });
    });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, startLimitMs, undefined);
    });
    const ended = this.#exited.then(() => undefined);
    const address = await Promise.race([listening, ended, late]);
    clearTimeout(timer);
    if (address === undefined) {
      await this.kill();
      throw new Error(`the server did not listen:\n${this.#log}`);
    }
    this.address = address;
  }

  /** Kills it without a warning, and returns when it is gone. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#exited;
  }

  /** Ends it for good. */
  stop(): Promise<void> {
    return this.drain();
  }

  /** Asks it to drain, and fails unless it ends well. */
  async drain(): Promise<void> {
    this.#child?.kill("SIGTERM");
    const timer = setTimeout(() => this.#child?.kill("SIGKILL"), stopLimitMs);
    const code = await this.#exited;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`the server ended with ${code}:\n${this.#log}`);
  }
}

/** Starts a server with an empty data directory, which goes away with it. */
export async function startServer(
  bin: string,
  ...args: string[]
): Promise<Server & { stop(): Promise<void> }> {
  if (bin === "") throw new Error("PROGLOG_BIN does not name the binary");
  const server = new Server(bin, await mkdtemp(join(tmpdir(), "proglog-ts-")), args);
  const stop = server.stop.bind(server);
  const removing = Object.assign(server, {
    stop: async () => {
      try {
        await stop();
      } finally {
        await rm(server.dataDir, { recursive: true, force: true });
      }
    },
  });
  try {
    await server.start();
  } catch (e) {
    await rm(server.dataDir, { recursive: true, force: true });
    throw e;
  }
  return removing;
}

/** Why a test of the real server is skipped; false if it is not. */
export const skipped: string | false = process.env["PROGLOG_BIN"]
  ? false
  : "PROGLOG_BIN is not set: run make test, which builds the binary and sets it";

/** Starts the real server for a test, which stops it. */
export async function realServer(t: TestContext, ...args: string[]): Promise<Server> {
  const server = await startServer(process.env["PROGLOG_BIN"] ?? "", ...args);
  t.after(() => server.stop());
  return server;
}
