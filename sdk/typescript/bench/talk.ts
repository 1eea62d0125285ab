// What the bench and this program say to each other, a line of JSON each. The types are
// those of server/bench/internal/talk.
import { createInterface } from "node:readline";

/** What a client can be asked to do. */
export type Path = "unary" | "pipelined" | "consume" | "follow";

/** One run of one client. */
export interface Ask {
  readonly client: string;
  readonly address: string;
  readonly log: string;
  readonly path: Path;
  /** Bytes of a value. */
  readonly value: number;
  /** Records. */
  readonly count: number;
  readonly callers: number;
}

/** How a run went. */
export type Answer = { records: number; seconds: number; cpu: number } | { error: string };

/** The first line of the program. */
export interface Ready {
  readonly ready: true;
  readonly versions: Record<string, string>;
  readonly clients: readonly string[];
}

/** Says what the program is, and answers until its input ends. */
export async function serve(ready: Ready, run: (ask: Ask) => Promise<Answer>): Promise<void> {
  const say = (line: unknown): void => void process.stdout.write(JSON.stringify(line) + "\n");
  say(ready);
  for await (const line of createInterface({ input: process.stdin })) {
    let answer: Answer;
    try {
      answer = await run(JSON.parse(line) as Ask);
    } catch (e) {
      answer = { error: e instanceof Error ? (e.stack ?? e.message) : String(e) };
    }
    say(answer);
  }
}
