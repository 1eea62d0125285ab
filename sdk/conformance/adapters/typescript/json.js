// What goes over the lines of the protocol, from and to the values of the SDK.

const base64 = (bytes) =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");

/** A record to produce. */
export function bytesOf({ value = "", headers = [] }) {
  return {
    value: Buffer.from(value, "base64"),
    headers: headers.map((h) => ({
      name: h.name ?? "",
      value: Buffer.from(h.value ?? "", "base64"),
    })),
  };
}

/** A time with all its nanoseconds. */
function timeOf(ns) {
  const nanos = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = new Date(Number((ns - nanos) / 1_000_000n))
    .toISOString()
    .slice(0, 19);
  return `${seconds}.${String(nanos).padStart(9, "0")}Z`;
}

/** The nanoseconds since 1970 of a time. */
function nanosOf(time) {
  const [, whole, fraction = "", zone] =
    /^(.*?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(time);
  return (
    BigInt(Date.parse(whole + zone)) * 1_000_000n +
    BigInt(fraction.padEnd(9, "0"))
  );
}

/** Where a read starts. */
export function startOf({ offset, from_time, from_tail }) {
  if (offset !== undefined) return { from: BigInt(offset) };
  if (from_time !== undefined) return { fromTime: nanosOf(from_time) };
  return from_tail === undefined ? {} : { fromEnd: BigInt(from_tail) };
}

/** A record that was read. */
export function recordOf(record) {
  return {
    value: base64(record.value),
    headers: record.headers.map((h) => ({
      name: h.name,
      value: base64(h.value),
    })),
    offset: String(record.offset),
    time: timeOf(record.timeNs),
  };
}

/** An acknowledgement. */
export function ackOf(ack) {
  return {
    offset: String(ack.offset),
    next_offset: String(ack.nextOffset),
    time: ack.timeNs === undefined ? "" : timeOf(ack.timeNs),
    duplicate: ack.duplicate,
  };
}

/** A description of a log. */
export function infoOf(info) {
  return {
    name: info.name,
    id: info.id,
    first_offset: String(info.firstOffset),
    next_offset: String(info.nextOffset),
    bytes: String(info.bytes),
    sealed: info.sealed,
    max_age_ms: info.retention.maxAgeMs,
    max_bytes: String(info.retention.maxBytes),
  };
}

/** An error, of the SDK or of an argument that it refuses. */
export function errorOf(e) {
  if (!(e instanceof Error) || typeof e.fromServer !== "boolean") {
    const refused = e instanceof TypeError || e instanceof RangeError;
    const code = refused ? "invalid_argument" : "unknown";
    return { code, reason: "", message: String(e), from_server: false };
  }
  const told = {
    code: e.code,
    reason: e.reason,
    message: e.message,
    from_server: e.fromServer,
  };
  if (e.outcome !== undefined) told.outcome = e.outcome;
  const numbers = {
    first_offset: e.firstOffset,
    next_offset: e.nextOffset,
    epoch: e.epoch,
    sequence: e.sequence,
    limit: e.limit,
  };
  for (const [name, n] of Object.entries(numbers))
    if (n !== undefined) told[name] = String(n);
  return told;
}
