/**
 * How often and how fast failed calls are tried again, if their failure can pass:
 * a write only if the server knows one that comes twice, or if it provably did not
 * happen.
 *
 * The pause after the nth failure in a row is random and evenly spread between 0
 * and a ceiling: minDelayMs·2ⁿ⁻¹, at most maxDelayMs. An answer, a record or a
 * heartbeat ends the row.
 */
export interface Retry {
  /**
   * How often a single call is tried in all; 1: only once. A follower that lost its
   * connection tries for ever, whatever this says. A producer that lost it goes by
   * its `giveUpAfterMs`, and calls that share a stream to a server that answered
   * before try for 10 s, unless this is 1.
   */
  readonly attempts: number;
  /** The ceiling of the first pause, in ms, above 0. */
  readonly minDelayMs: number;
  /** The ceiling of all pauses, in ms, at least minDelayMs and at most a day. */
  readonly maxDelayMs: number;
}

/** Counts the failures in a row and paces the tries between them. */
export class Backoff {
  failed = 0;
  readonly #policy: Retry;

  constructor(policy: Retry) {
    this.#policy = policy;
  }

  /** Forgets the failures: something worked. */
  reset(): void {
    this.failed = 0;
  }

  /** Counts a failure and says whether it used up the attempts. */
  exhausted(): boolean {
    this.failed++;
    return this.failed >= this.#policy.attempts;
  }

  /** Draws the time to wait, in ms, after the failures counted so far. */
  pause(): number {
    const { minDelayMs, maxDelayMs } = this.#policy;
    const ceiling = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(this.failed - 1, 40));
    return Math.random() * ceiling;
  }
}
