/** The longest delay of a timer, in ms; a longer one would be over at once. */
const longestTimer = 2 ** 31 - 1;

/**
 * Another try needs so many ms, or a tenth of the bound if that is less: one that is cut off
 * leaves its records unknown, where the failure before it knew.
 */
const lastTryMs = 100;

/**
 * How long a producer goes on without success: since the last one, or since the oldest
 * record that waits for an answer was first sent. While nothing waits, no time passes.
 */
export class Patience {
  readonly #boundMs: number;
  readonly #onOver: (() => void) | undefined;
  /** Since when something waits, by performance.now(). */
  #since: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `onOver` is called when it is over in the midst of a try; without it, no try is cut. */
  constructor(boundMs: number, onOver?: () => void) {
    this.#boundMs = boundMs;
    this.#onOver = onOver;
  }

  /** Something was sent, or failed. */
  begin(): void {
    if (this.#since !== undefined) return;
    this.#since = performance.now();
    this.#arm();
  }

  /** Something was sent. Where no try is cut, time passes from the first failure only. */
  beginTry(): void {
    if (this.#onOver !== undefined) this.begin();
  }

  /** Something succeeded; does more wait? */
  progress(more: boolean): void {
    if (more && this.#since !== undefined && this.#onOver !== undefined) {
      this.#since = performance.now(); // the timer looks again when it is due
    } else this.end();
  }

  /** How long a try that begins now may take, in ms. */
  get leftMs(): number {
    if (this.#onOver === undefined) return Infinity;
    return this.#since === undefined ? this.#boundMs : Math.max(0, this.#untilOver());
  }

  /** There is time for another try. */
  get allowsTry(): boolean {
    return this.leftMs >= Math.min(lastTryMs, this.#boundMs / 10);
  }

  /** Something waits, and the time is over. */
  get over(): boolean {
    return this.#untilOver() <= 0;
  }

  #untilOver(): number {
    if (this.#since === undefined) return Infinity;
    return this.#since + this.#boundMs - performance.now();
  }

  /** Nothing waits any more. */
  end(): void {
    this.#since = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    if (this.#onOver === undefined) return;
    const look = (): void => {
      if (this.over) this.#onOver?.();
      else this.#arm();
    };
    this.#timer = setTimeout(look, Math.min(Math.ceil(this.leftMs) + 1, longestTimer));
  }
}
