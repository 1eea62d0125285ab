import type { ProglogError } from "./errors.js";

/**
 * How many of a producer's acknowledgements every server remembers. More than that
 * in flight could not be sent again.
 */
export const DEDUP_ACKS = 256;
/** The most bytes of a producer's id. */
export const MAX_PRODUCER_ID = 64;

/** Numbers the requests of one writer in one log, so that the server knows one that comes twice. */
export interface Identity {
  /** Requests carry nothing, and are not sent again. */
  readonly none: boolean;
  /** By the caller, who wants this one and no other. */
  readonly chosen: boolean;
  readonly id: string;
  readonly epoch: bigint;
  /** Of the next request. */
  sequence: bigint;
}

/** An identity that nobody else has. */
export function newIdentity(): Identity {
  return {
    none: false,
    chosen: false,
    id: randomText(),
    epoch: 0n,
    sequence: 0n,
  };
}

/** The identity of requests that carry none. */
export function noIdentity(): Identity {
  return { none: true, chosen: false, id: "", epoch: 0n, sequence: 0n };
}

/** A text of 128 random bits. */
export function randomText(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** The length of an id in bytes. */
export function idBytes(id: string): number {
  return new TextEncoder().encode(id).length;
}

/** What of an identity goes into a request. */
export function producerOf(
  i: Identity,
  sequence: bigint,
): { id: string; epoch: bigint; sequence: bigint } | undefined {
  return i.none ? undefined : { id: i.id, epoch: i.epoch, sequence };
}

/**
 * Returns the identity to go on with after an error that says that the server does
 * not, or no longer, know this one; undefined: this one. Only requests that were
 * never sent, or provably never appended, may go on under another identity.
 */
export function renewed(i: Identity, e: ProglogError): Identity | undefined {
  if (i.none || i.chosen) return undefined;
  if (e.reason === "SEQUENCE_FORGOTTEN") return newIdentity();
  return e.reason === "UNSUPPORTED" ? noIdentity() : undefined;
}

/**
 * The identities under which requests go alone. One id has one order, so a request
 * takes an identity for itself, and gives it back when its outcome is known. There
 * are as many as there were such requests at once.
 */
export class Identities {
  readonly #free = new Map<string, Identity[]>();

  take(log: string): Identity {
    return this.#free.get(log)?.pop() ?? newIdentity();
  }

  give(log: string, identity: Identity): void {
    const free = this.#free.get(log);
    if (free === undefined) this.#free.set(log, [identity]);
    else free.push(identity);
  }
}
