import { ClosedError, failure, ProglogError } from "./errors.js";

const hubs = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back when a signal is given, unless what it returns was called before. However
 * many wait for one signal, it has one listener: Node warns of more than a few.
 */
function onAbort(signal: AbortSignal, call: () => void): () => void {
  let hub = hubs.get(signal);
  if (hub === undefined) {
    const all = new Set<() => void>();
    const listener = (): void => {
      hubs.delete(signal);
      for (const each of [...all]) each();
    };
    signal.addEventListener("abort", listener, { once: true });
    hubs.set(signal, all);
    hub = all;
  }
  hub.add(call);
  return () => void hub.delete(call);
}

/**
 * What bounds a call: the signals of the caller and of the client, and a deadline.
 * It has to be ended, or the listeners stay on the signals.
 */
export class Scope {
  /** Made when somebody asks for the signal: it takes a tenth of the time of a single read. */
  #controller: AbortController | undefined;
  readonly #cleanup: (() => void)[] = [];
  readonly #waiting = new Set<() => void>();
  /** When the deadline is, by performance.now(); undefined: there is none. */
  readonly deadline: number | undefined;
  /** Nothing but the client's end ends it. */
  readonly #unbounded: boolean;
  #aborted = false;
  #reason: unknown;
  #late = false;

  /** `closing` is the client's signal. */
  constructor(
    parents: readonly (AbortSignal | undefined)[],
    timeoutMs?: number,
    closing?: AbortSignal,
  ) {
    this.#unbounded = timeoutMs === undefined && parents.every((p) => p === undefined);
    for (const parent of [...parents, closing]) {
      if (parent === undefined) continue;
      if (parent.aborted) {
        this.abort(parent.reason);
        return;
      }
      this.#cleanup.push(onAbort(parent, () => this.abort(parent.reason)));
    }
    if (timeoutMs !== undefined) {
      this.deadline = performance.now() + timeoutMs;
      const timer = setTimeout(
        () => {
          this.#late = true;
          this.abort(new DOMException(`no answer within ${timeoutMs} ms`, "TimeoutError"));
        },
        Math.min(timeoutMs, 2 ** 31 - 1),
      );
      this.#cleanup.push(() => clearTimeout(timer));
    }
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** The signal for a call that ends by itself when the client is closed. */
  get ownSignal(): AbortSignal | undefined {
    return this.#unbounded ? undefined : this.signal;
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  /** How long is left, in ms, at least 1; undefined: there is no deadline. */
  get leftMs(): number | undefined {
    return this.deadline === undefined
      ? undefined
      : Math.max(1, Math.ceil(this.deadline - performance.now()));
  }

  /** Ends what goes on under this scope. */
  abort(reason: unknown = new DOMException("This operation was aborted", "AbortError")): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
    for (const wake of [...this.#waiting]) wake();
    this.end();
  }

  /** Frees the signals and the timer. */
  end(): void {
    for (const free of this.#cleanup.splice(0)) free();
  }

  /**
   * The error of what this scope ended, with the signal's reason as its cause. The failure
   * that was to be followed by another try is in the message.
   */
  failure(cause?: unknown): ProglogError {
    const reason = this.#reason;
    if (reason instanceof ProglogError) return reason; // it was ended with an error of ours
    const closed = reason instanceof ClosedError;
    // AbortSignal.timeout is how a platform gives a deadline to what has a signal only.
    const late = this.#late || (reason instanceof Error && reason.name === "TimeoutError");
    // A try that the same end cut short says nothing new.
    const told = cause instanceof ProglogError && cause.cause !== reason;
    const before = told ? `; before that: ${cause.message}` : "";
    const why = late
      ? "the deadline passed"
      : closed
        ? reason.message
        : "the caller gave the call up";
    const e = failure({
      code: late ? "deadline_exceeded" : "canceled",
      message: why + before,
      cause: reason,
    });
    e.permanent = true;
    return e;
  }

  /** The same for what was never sent. */
  refusal(): ProglogError {
    const e = this.failure();
    const unsent = failure({
      ...e,
      message: e.detail,
      nothingAppended: true,
      cause: e.cause,
    });
    unsent.permanent = true;
    return unsent;
  }

  /** Throws if it was ended before anything was sent. */
  check(): void {
    if (this.aborted) throw this.refusal();
  }

  /** Waits, and returns false if the scope was ended first. */
  async sleep(ms: number): Promise<boolean> {
    if (this.aborted) return false;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#waiting.add(wake);
    });
    return !this.aborted;
  }

  /** Waits for a promise that never fails, and returns false if the scope was ended first. */
  async wait(done: Promise<unknown>): Promise<boolean> {
    if (this.aborted) return false;
    let wake = (): void => {};
    const aborted = new Promise<boolean>((resolve) => {
      wake = () => resolve(false);
    });
    this.#waiting.add(wake);
    const first = await Promise.race([done.then(() => true), aborted]);
    this.#waiting.delete(wake);
    return first;
  }
}
