// A small client of proglog for browsers: Connect with JSON, over fetch.

/** The server sends a sign of life so often; two that fail to come mean a dead connection. */
const HEARTBEAT_SECONDS = 15;
/** A pause before another try is random, up to a ceiling that doubles from the first to the last. */
const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 5000;

/** What another try does not change. */
const TERMINAL = new Set([
  "invalid_argument", "not_found", "out_of_range", "permission_denied", "unauthenticated",
  "unimplemented", "failed_precondition", "data_loss",
]);

/** An error that the server told; code is Connect's, reason the server's own. */
export class LogError extends Error {
  constructor({ code = "unknown", message = code, details = [] }) {
    super(message);
    this.code = code;
    this.reason = details.find((detail) => detail.type === "log.v1.ErrorDetail")?.debug?.reason;
  }
}

/** Appends a text to the default log and returns its offset, when it is durable. */
export async function produce(text) {
  const ack = await call("Produce", { record: { value: toBase64(new TextEncoder().encode(text)) } });
  return BigInt(ack.offset);
}

/**
 * Yields the last records of the default log and then whatever comes, each once and in
 * order: after a lost connection it goes on behind the last one. It ends when the log
 * does, and throws when another try is of no use.
 */
export async function* follow({ last, signal, onState }) {
  let next; // the offset to go on at, once it is known
  let logId; // a log that takes the place of this one is noticed
  for (let failures = 0; ; failures++) {
    try {
      logId ??= (await call("GetLog", {}, signal)).info.logId;
      const start = next === undefined ? { fromTail: String(last) } : { offset: String(next) };
      const request = { ...start, logId, heartbeat: `${HEARTBEAT_SECONDS}s` };
      for await (const { record, nextOffset } of stream("ConsumeStream", request, signal)) {
        failures = 0;
        onState("live");
        if (record) {
          next = BigInt(record.offset) + 1n;
          yield { offset: BigInt(record.offset), value: fromBase64(record.value) };
        } else if (next === undefined) {
          next = BigInt(nextOffset); // the tail, if no record came yet
        } else if (BigInt(nextOffset) < next) {
          throw new LogError({ code: "data_loss", message: "the log has fewer records than were read of it" });
        }
      }
      return;
    } catch (error) {
      if (signal.aborted || TERMINAL.has(error.code)) {
        throw error;
      }
      onState(`connecting again: ${error.message}`);
      const ceiling = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures);
      await pause(Math.random() * ceiling, signal);
    }
  }
}

/** One request, one answer. */
async function call(method, request, signal) {
  const response = await fetch(`/log.v1.Log/${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
    signal,
  });
  if (!response.ok) {
    throw await refusal(response);
  }
  return response.json();
}

/** One request, many answers. Ends only if the server says so; all else throws. */
async function* stream(method, request, signal) {
  const dead = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => dead.abort(new Error("the server is silent")), 2 * HEARTBEAT_SECONDS * 1000);
  };
  alive();
  try {
    const response = await fetch(`/log.v1.Log/${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/connect+json" },
      body: envelope(JSON.stringify(request)),
      signal: AbortSignal.any([signal, dead.signal]),
    });
    if (!response.ok) {
      throw await refusal(response);
    }
    for await (const { last, message } of messages(response.body)) {
      alive();
      if (!last) {
        yield message;
      } else if (message.error) {
        throw new LogError(message.error);
      } else {
        return;
      }
    }
    throw new Error("the connection was lost");
  } finally {
    clearTimeout(timer);
    dead.abort(); // a reader that left early lets go of the connection
  }
}

/** An answer that is none of Connect's, such as a proxy's, may pass. */
async function refusal(response) {
  const fromServer = response.headers.get("Content-Type")?.startsWith("application/json");
  return fromServer ? new LogError(await response.json()) : new Error(`the server answers ${response.status}`);
}

/** Puts a message into its envelope: a byte of flags, the length in four bytes. */
function envelope(text) {
  const message = new TextEncoder().encode(text);
  const bytes = new Uint8Array(5 + message.length);
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, 5);
  return bytes;
}

/** Takes messages out of their envelopes, however the network has cut them. */
async function* messages(body) {
  const reader = body.getReader();
  const text = new TextDecoder();
  let bytes = new Uint8Array(0);
  for (;;) {
    while (bytes.length >= 5) {
      const end = 5 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
      if (bytes.length < end) {
        break;
      }
      yield { last: (bytes[0] & 2) !== 0, message: JSON.parse(text.decode(bytes.subarray(5, end))) };
      bytes = bytes.subarray(end);
    }
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    const joined = new Uint8Array(bytes.length + value.length);
    joined.set(bytes);
    joined.set(value, bytes.length);
    bytes = joined;
  }
}

function toBase64(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
