import { Code as ConnectCode, ConnectError } from "@connectrpc/connect";
import { type Code, failure, ProglogError, type Reason } from "./errors.js";
import {
  type ErrorDetail,
  ErrorDetailSchema,
  Reason as WireReason,
} from "./gen/log/v1/errors_pb.js";
import type { Scope } from "./scope.js";

/** The name of a number of log.v1.Reason. */
function reasonName(reason: WireReason): Reason {
  if (reason === WireReason.UNSPECIFIED) return "";
  return (WireReason[reason] as string | undefined) ?? String(reason);
}

/** The name of a status code, as Connect writes it. */
function codeName(code: ConnectCode): Code {
  const name = (ConnectCode[code] as string | undefined) ?? "Unknown";
  return name.replace(/(?!^)([A-Z])/g, "_$1").toLowerCase() as Code;
}

/**
 * Makes the library's error ours: what the server said, what HTTP answered in its
 * place, or how the connection failed. The scope is that of the call.
 */
export function translate(scope: Scope, reason: unknown): ProglogError {
  if (reason instanceof ProglogError) return reason;
  const ce = ConnectError.from(reason);
  if (ce.cause instanceof ProglogError) return ce.cause;
  if (ce.isWireError) return fromServer(ce);
  if (scope.aborted) return scope.failure(reason);
  if (ce.code === ConnectCode.DeadlineExceeded && scope.deadline !== undefined) {
    // The library's timer for the same deadline was a little faster.
    const e = failure({
      code: "deadline_exceeded",
      message: "the deadline passed",
      cause: ce,
    });
    e.permanent = true;
    return e;
  }
  const status = /^HTTP (\d{3})$/.exec(ce.rawMessage);
  return status === null ? fromTransport(ce) : fromStatus(Number(status[1]), ce);
}

// Codes that the protocol library of the server raises before a request reaches the
// log: a message it could not read or found too large, a method it does not know.
const judgedBefore = new Set<Code>([
  ...(["invalid_argument", "unimplemented", "resource_exhausted"] as const),
  ...(["unauthenticated", "permission_denied", "not_found"] as const),
]);

/** Reads an error that the server raised, with its detail. */
function fromServer(ce: ConnectError): ProglogError {
  const code = codeName(ce.code);
  const base = { code, message: ce.rawMessage, fromServer: true, cause: ce };
  const detail: ErrorDetail | undefined = ce.findDetails(ErrorDetailSchema)[0];
  if (detail === undefined) return failure({ ...base, nothingAppended: judgedBefore.has(code) });
  const { nothingAppended, firstOffset, nextOffset, epoch, sequence, limit, incident } = detail;
  return failure({
    ...base,
    reason: reasonName(detail.reason),
    ...{ nothingAppended, firstOffset, nextOffset, epoch, sequence, limit },
    incident: incident === "" ? undefined : incident,
  });
}

// These answer a single call in the place of passing it on, as do redirects: they refuse a
// caller, a path, a method, a protocol or a size before anything looks at the request. The
// other SDKs have the same list. Of a stream they prove nothing: what was sent before the
// status came may have been passed on.
const refusingStatus = new Set([
  ...[401, 403, 404, 405, 407, 411, 413, 414, 415, 421, 426, 428, 429, 431],
]);
const passingStatus = new Set([408, 425, 429, 500, 502, 503, 504]);

/**
 * Handles an answer of HTTP itself: of the server before it came to the call, of a
 * proxy, or of something else that listens at that address.
 */
function fromStatus(status: number, cause: ConnectError): ProglogError {
  const message = `the server answered HTTP ${status}`;
  if (status === 505) return noStreams(cause);
  const passing = passingStatus.has(status);
  const e = failure({
    code: passing ? "unavailable" : codeName(cause.code),
    message,
    nothingAppended: refusingStatus.has(status) || (status >= 300 && status < 400),
    cause,
  });
  e.permanent = !passing;
  e.status = status;
  return e;
}

/** The error of a redirect, of which the platform does not tell the status. */
export function redirected(): ProglogError {
  const e = failure({
    code: "unknown",
    message: "the server answered with a redirect, which is not followed",
    nothingAppended: true,
  });
  e.permanent = true;
  return e;
}

/** The error of a stream of requests where there can be none. */
export function noStreams(cause?: unknown): ProglogError {
  const e = failure({
    code: "unimplemented",
    message: "streams of requests need HTTP/2 from end to end, which this connection is not",
    nothingAppended: true,
    cause,
  });
  e.permanent = true;
  return e;
}

/** The code of an error by which a connection was never made. */
export const DIAL_TIMEOUT = "ERR_PROGLOG_DIAL_TIMEOUT";

const neverMade = new Set<string>([
  ...["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"],
]);

/**
 * Says whether a connection was never made. An unreachable host shows under the same code
 * where a connection that was made breaks off, after a request may have left: by `read`.
 */
function neverSent({ code, syscall }: NodeError): boolean {
  if (code === DIAL_TIMEOUT) return true;
  return neverMade.has(code) && (syscall === "connect" || syscall === "getaddrinfo");
}

// How OpenSSL and Node call a certificate that is not to be trusted.
const untrusted =
  /^(ERR_TLS_CERT_|CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)_|ERR_SSL_WRONG_VERSION)/;

// By these alerts a server ends a handshake: it wants a certificate, or another one, or a
// protocol that is not offered. Nothing that was sent before they came is looked at.
const handshakeAlerts = new Set([
  ...[40, 42, 43, 44, 45, 46, 47, 48, 49, 70, 71, 109, 112, 113, 115, 116, 120],
]);
// Those that come where a certificate of the client is missing.
const certificateAlerts = new Set([40, 42, 116]);

/** The number of the alert by which the server ended the handshake, if it did. */
function handshakeAlert(message: string): number | undefined {
  const alert = Number(/SSL alert number (\d+)/.exec(message)?.[1]);
  return handshakeAlerts.has(alert) ? alert : undefined;
}

/** What an alert says, without OpenSSL's own places in its code. */
function refusedHandshake(alert: number, cause: ConnectError): ProglogError {
  const said = /:((?:\w+ )*alert [\w ]+):/.exec(cause.rawMessage)?.[1] ?? `alert ${alert}`;
  const hint = certificateAlerts.has(alert)
    ? "; it may want a certificate of the client, which is given by `tls: { cert, key }`"
    : "";
  const message = `the server refused the TLS handshake: ${said}${hint}`;
  const e = failure({ code: "unavailable", message, nothingAppended: true, cause });
  e.permanent = true;
  return e;
}

/**
 * Judges a failure of the connection: did the request leave, and can another try
 * help? The library reports a connection that broke under many codes, among them
 * those that elsewhere say something of the request.
 */
function fromTransport(ce: ConnectError): ProglogError {
  const errors = nodeErrors(ce);
  const message = ce.rawMessage;
  const alert = handshakeAlert(message);
  if (alert !== undefined) return refusedHandshake(alert, ce);
  const reset = /stream closed with error code/i.test(message); // of the library, of Node
  if (errors.some(({ code }) => untrusted.test(code))) {
    const e = failure({
      code: "unavailable",
      message,
      nothingAppended: true,
      cause: ce,
    });
    e.permanent = true;
    return e;
  }
  if (errors.some(neverSent) || (reset && message.includes("REFUSED_STREAM"))) {
    return failure({
      code: "unavailable",
      message,
      nothingAppended: true,
      cause: ce,
    });
  }
  const unreadable =
    (ce.code === ConnectCode.ResourceExhausted && !reset) ||
    (ce.code === ConnectCode.Internal && message.startsWith("parse binary")) ||
    message.startsWith("unsupported content type");
  if (unreadable) {
    const e = failure({ code: codeName(ce.code), message, cause: ce });
    e.permanent = true; // a response that cannot be read, and would come again
    return e;
  }
  return failure({ code: "unavailable", message, cause: ce });
}

/** What an error of Node says of itself. */
interface NodeError {
  readonly code: string;
  /** What the system was asked for. */
  readonly syscall: string | undefined;
}

/** Node's errors in a chain of causes. */
function nodeErrors(reason: unknown): NodeError[] {
  const errors: NodeError[] = [];
  const seen = new Set<unknown>();
  const visit = (e: unknown): void => {
    if (!(e instanceof Error) || seen.has(e)) return;
    seen.add(e);
    const { code, syscall } = e as { code?: unknown; syscall?: unknown };
    if (typeof code === "string") {
      errors.push({ code, syscall: typeof syscall === "string" ? syscall : undefined });
    }
    if (e instanceof AggregateError) e.errors.forEach(visit);
    visit(e.cause);
  };
  visit(reason);
  return errors;
}
