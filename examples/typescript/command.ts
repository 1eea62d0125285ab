// What the longer examples share: Ctrl-C, errors, pauses.

/** Runs a program until it ends, fails, or is interrupted. */
export async function main(name: string, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  try {
    await run(interrupted.signal);
  } catch (error) {
    if (!interrupted.signal.aborted) {
      console.error(`${name}:`, error instanceof Error ? error.message : error);
      process.exitCode = 1;
    }
  }
}
