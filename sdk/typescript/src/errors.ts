/** A status code, as Connect and gRPC have it. */
export type Code =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/**
 * Why the server refused or failed; empty if it gave no reason. A newer server
 * may know reasons that are not listed here: their number comes then.
 */
export type Reason =
  | ""
  | "INTERNAL"
  | "INVALID_REQUEST"
  | "NO_RECORD"
  | "TOO_LARGE"
  | "INVALID_LOG_NAME"
  | "LOG_NOT_FOUND"
  | "LOG_CHANGED"
  | "LOG_SEALED"
  | "NOT_ALLOWED_ON_LOG"
  | "OFFSET_TRIMMED"
  | "OFFSET_UNWRITTEN"
  | "OFFSET_MISMATCH"
  | "PRODUCER_FENCED"
  | "SEQUENCE_GAP"
  | "SEQUENCE_FORGOTTEN"
  | "SEQUENCE_REUSED"
  | "OVERLOADED"
  | "STORAGE_FULL"
  | "DRAINING"
  | "STORAGE_FAILED"
  | "NO_QUORUM"
  | "DATA_DAMAGED"
  | "UNSUPPORTED"
  | "UNAUTHENTICATED"
  | "PERMISSION_DENIED"
  | "DEADLINE"
  | "CANCELED"
  | (string & {});

/** What a {@link ProglogError} is made of. */
export interface ErrorFields {
  code: Code;
  message: string;
  reason?: Reason;
  fromServer?: boolean;
  nothingAppended?: boolean;
  firstOffset?: bigint | undefined;
  nextOffset?: bigint | undefined;
  epoch?: bigint | undefined;
  sequence?: bigint | undefined;
  limit?: bigint | undefined;
  incident?: string | undefined;
  cause?: unknown;
}

/** Why a call failed. Decide by `reason`, then by `code`. */
export class ProglogError extends Error {
  override readonly name: string = "ProglogError";
  /** The status code. */
  readonly code: Code;
  /** The server's reason; empty for an error that it did not raise itself. */
  readonly reason: Reason;
  /**
   * The server said this. Otherwise the connection failed, HTTP answered in its
   * place, or the error arose in this process.
   */
  readonly fromServer: boolean;
  /** This call appended nothing, for certain. */
  readonly nothingAppended: boolean;
  /**
   * The log's first offset with OFFSET_TRIMMED and OFFSET_UNWRITTEN; the first
   * damaged one with DATA_DAMAGED.
   */
  readonly firstOffset: bigint | undefined;
  /**
   * The log's next offset with OFFSET_TRIMMED, OFFSET_UNWRITTEN, OFFSET_MISMATCH
   * and LOG_SEALED; one past the last damaged one with DATA_DAMAGED.
   */
  readonly nextOffset: bigint | undefined;
  /** The epoch in force, with PRODUCER_FENCED and SEQUENCE_GAP. */
  readonly epoch: bigint | undefined;
  /** The sequence expected, with SEQUENCE_GAP. */
  readonly sequence: bigint | undefined;
  /** What was exceeded, with TOO_LARGE. */
  readonly limit: bigint | undefined;
  /** Names the line in the server's log that holds the cause, with INTERNAL. */
  readonly incident: string | undefined;
  /** The message without code and reason. It is for people, and not stable. */
  readonly detail: string;
  /** @internal Trying again cannot help, whatever the code says. */
  permanent = false;
  /** @internal The status of HTTP that came in the place of the server's answer. */
  status: number | undefined;
  /** @internal It was not looked at because of this failure before it. */
  behind: ProglogError | undefined;

  constructor(fields: ErrorFields) {
    super(describe(fields), fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = fields.code;
    this.reason = fields.reason ?? "";
    this.detail = fields.message;
    this.fromServer = fields.fromServer ?? false;
    this.nothingAppended = fields.nothingAppended ?? false;
    this.firstOffset = fields.firstOffset;
    this.nextOffset = fields.nextOffset;
    this.epoch = fields.epoch;
    this.sequence = fields.sequence;
    this.limit = fields.limit;
    this.incident = fields.incident;
  }
}

/**
 * A write failed, and the records are certainly not in the log. Sending them
 * again cannot double them. `cause` is the error beneath.
 */
export class NothingAppendedError extends ProglogError {
  override readonly name = "NothingAppendedError";
  readonly outcome = "nothing_appended";
}

/**
 * A write failed, and nobody told whether the records are in the log. They may be
 * there already, or appear; reading the log is the way to know. `cause` is the
 * error beneath.
 */
export class OutcomeUnknownError extends ProglogError {
  override readonly name = "OutcomeUnknownError";
  readonly outcome = "unknown";
}

/**
 * The records that are due were trimmed, or removed by retention. What is left
 * begins at `firstOffset` and goes up to `nextOffset`, exclusive.
 */
export class GapError extends ProglogError {
  override readonly name = "GapError";
  declare readonly firstOffset: bigint;
  declare readonly nextOffset: bigint;
}

/**
 * Another log has the name now, or the log went back: its data were restored from
 * a backup. What was read before need not be in it.
 */
export class LogChangedError extends ProglogError {
  override readonly name = "LogChangedError";
}

/** The cause of an error of a call on a client or producer that was closed. */
export class ClosedError extends Error {
  override readonly name = "ClosedError";
}

function describe(f: ErrorFields): string {
  const reason = f.reason ? ` (${f.reason})` : "";
  const incident = f.incident ? ` (incident ${f.incident})` : "";
  return `${f.code}${reason}${f.message ? ": " + f.message : ""}${incident}`;
}

/** Makes the error of a failed call, of the class that fits its reason. */
export function failure(fields: ErrorFields): ProglogError {
  if (fields.reason === "LOG_CHANGED") return new LogChangedError(fields);
  if (
    fields.reason === "OFFSET_TRIMMED" &&
    fields.firstOffset !== undefined &&
    fields.nextOffset !== undefined
  ) {
    return new GapError(fields);
  }
  return new ProglogError(fields);
}

/** The error of something that is refused before anything is sent. */
export function refused(
  code: Code,
  reason: Reason,
  message: string,
  more?: Partial<ErrorFields>,
): ProglogError {
  const e = failure({ ...more, code, reason, message, nothingAppended: true });
  e.permanent = true;
  return e;
}

/** The error of an answer that the contract rules out. */
export function brokenPromise(message: string): ProglogError {
  const e = new ProglogError({
    code: "internal",
    message: "the server broke the contract: " + message,
  });
  e.permanent = true;
  return e;
}

/** The same error with another word on whether something was appended. */
export function vouching(e: ProglogError, nothingAppended: boolean): ProglogError {
  if (e.nothingAppended === nothingAppended) return e;
  const copy = failure({ ...fieldsOf(e), nothingAppended });
  copy.permanent = e.permanent;
  copy.behind = e.behind;
  return copy;
}

/** Turns the error of a write into the one of its two kinds that is true. */
export function outcome(e: ProglogError): NothingAppendedError | OutcomeUnknownError {
  if (e instanceof NothingAppendedError || e instanceof OutcomeUnknownError) return e;
  const fields = { ...fieldsOf(e), cause: e };
  return e.nothingAppended ? new NothingAppendedError(fields) : new OutcomeUnknownError(fields);
}

/** The error beneath one of the two kinds. */
export function beneath(e: ProglogError): ProglogError {
  const kind = e instanceof NothingAppendedError || e instanceof OutcomeUnknownError;
  return kind && e.cause instanceof ProglogError ? e.cause : e;
}

function fieldsOf(e: ProglogError): ErrorFields {
  const { code, reason, fromServer, nothingAppended, firstOffset, nextOffset } = e;
  const { epoch, sequence, limit, incident, cause } = e;
  return {
    ...{ code, reason, fromServer, nothingAppended, firstOffset, nextOffset },
    ...{ epoch, sequence, limit, incident, cause, message: e.detail },
  };
}
