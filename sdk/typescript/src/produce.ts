import { Backoff } from "./backoff.js";
import { checkText, shown, unusable } from "./checks.js";
import { batchRequest, type Raw, type RequestParts, singleRequest, Writer } from "./codec.js";
import type { Core } from "./core.js";
import { brokenPromise, outcome, ProglogError, vouching } from "./errors.js";
import { fate, mayRetryWrite, tooLong } from "./fate.js";
import type { ProduceResponse } from "./gen/log/v1/log_pb.js";
import { idBytes, type Identity, MAX_PRODUCER_ID, producerOf, renewed } from "./identity.js";
import { kept, type Prepared, prepare, prepareBatch } from "./limits.js";
import { checkCall, type ProduceOptions, type ProducerSequence, toOffset } from "./options.js";
import type { Ack, RecordInput } from "./record.js";
import type { Scope } from "./scope.js";
import type { Sharing } from "./sharing.js";
import { methods } from "./wire.js";

/** A request to append, checked. */
export interface Request {
  readonly log: string;
  readonly records: readonly Prepared[];
  /** It goes as `record`. */
  readonly single: boolean;
  readonly size: number;
  readonly expected: bigint | undefined;
  readonly identity: Identity | undefined;
  readonly alone: boolean;
}

/** Appends one record, or a batch. What it throws is one of the two kinds of a failed write. */
export async function produce(
  core: Core,
  sharing: Sharing,
  input: { record: RecordInput } | { records: readonly RecordInput[] },
  options: ProduceOptions,
): Promise<Ack> {
  try {
    const request = parse(core, input, options);
    return await core.within(options, async (scope) => {
      scope.check();
      const { expected, identity, alone } = request;
      if (!alone && expected === undefined && identity === undefined && core.wire.streams) {
        const ack = await sharing.produce(scope, request);
        if (ack !== undefined) return ack;
      }
      return produceAlone(core, scope, request);
    });
  } catch (e) {
    throw e instanceof ProglogError ? outcome(e) : e;
  }
}

/** Checks a request, and takes what it needs of it: the caller may change his bytes from now on. */
function parse(
  core: Core,
  input: { record: RecordInput } | { records: readonly RecordInput[] },
  options: ProduceOptions,
): Request {
  checkCall(options);
  const { log = "", expectedOffset, producer, alone = false } = options;
  if (typeof alone !== "boolean") throw unusable(`alone is true or false, not ${shown(alone)}`);
  const common = {
    log,
    expected: expectedOffset === undefined ? undefined : toOffset(expectedOffset, "expectedOffset"),
    identity: producer === undefined ? undefined : chosenIdentity(producer),
    alone,
  };
  if ("record" in input) {
    const record = kept(prepare(input.record, core.limits));
    return { ...common, records: [record], single: true, size: record.size };
  }
  const { records, size } = prepareBatch(input.records, core.limits);
  return { ...common, records: records.map(kept), size, single: false };
}

/** Checks the identity that a caller chose. */
export function chosenIdentity(
  p: Omit<ProducerSequence, "sequence"> & {
    sequence?: ProducerSequence["sequence"];
  },
): Identity {
  if (typeof p !== "object" || p === null) throw unusable(`a producer is not ${shown(p)}`);
  checkText(p.id, "a producer's id");
  const length = idBytes(p.id);
  if (length < 1 || length > MAX_PRODUCER_ID) {
    const why = `a producer's id has 1 to ${MAX_PRODUCER_ID} bytes, not ${length}`;
    throw unusable(why);
  }
  const epoch = toOffset(p.epoch ?? 0n, "epoch");
  const sequence = toOffset(p.sequence ?? 0n, "sequence");
  return { none: false, chosen: true, id: p.id, epoch, sequence };
}

/**
 * Sends a request of its own until it succeeds, or fails in a way that does not
 * allow another try.
 */
async function produceAlone(core: Core, scope: Scope, request: Request): Promise<Ack> {
  const { log, records } = request;
  const message = encoding(request);
  const give = (i: Identity): void => {
    if (request.identity === undefined) core.identities.give(log, i);
  };
  let id = request.identity ?? core.identities.take(log);
  let tried = false; // a try is unanswered
  const backoff = new Backoff(core.retry);
  for (let attempt = 1; ; attempt++) {
    try {
      const raw = message(producerOf(id, id.sequence));
      const res = await core.wire.unary(methods.produce, raw, {
        scope,
        log,
        attempt,
      });
      const ack = readAck(res, records.length);
      id.sequence++;
      give(id);
      return ack;
    } catch (e) {
      if (!(e instanceof ProglogError)) throw e;
      const next = renewed(id, e);
      if (next !== undefined && !tried && (next.none || id.sequence > 0n)) {
        id = next;
        continue;
      }
      tried ||= !e.nothingAppended;
      // First: after the last try nobody needs to know whether another would be safe.
      const more = !backoff.exhausted();
      const allowed = id.none ? mayRetryWrite(e) : fate(e) !== "final" && !tooLong(e);
      const again = more && allowed && (id.none || !tried || (await core.recognises(scope, log)));
      if (again && (await scope.sleep(backoff.pause()))) continue;
      if (!tried) give(id); // the sequence is still to be used
      // What ended the call is the deadline or the caller, unless it was to end anyway.
      const end = again ? scope.failure(e) : e;
      // If this try appended nothing, one before it may have.
      throw vouching(end, tried ? false : e.nothingAppended);
    }
  }
}

/** Returns what makes the message for one try. */
function encoding(request: Request): (producer: RequestParts["producer"]) => Raw {
  const { log, records, single, size, expected } = request;
  if (single) return (producer) => singleRequest(records[0]!, { log, expected, producer });
  const w = new Writer(size + 16 * records.length);
  for (const record of records) w.record(record);
  return (producer) => batchRequest(w.bytes, { log, expected, producer });
}

/**
 * Reads the server's acknowledgement of so many records. One that does not fit them
 * leaves the outcome unknown.
 */
export function readAck(res: ProduceResponse, records: number): Ack {
  const next = res.offset + BigInt(records);
  // A server that knows the first offset only leaves the other at 0.
  if (res.nextOffset !== 0n && res.nextOffset !== next) {
    throw brokenPromise(
      `the acknowledgement of ${records} records names the offsets from ${res.offset} up to ${res.nextOffset}`,
    );
  }
  const t = res.timestamp;
  const timeNs = t === undefined ? undefined : t.seconds * 1_000_000_000n + BigInt(t.nanos);
  return makeAck(res.offset, records, timeNs, res.duplicate);
}

/** Makes an acknowledgement of so many records. */
export function makeAck(
  offset: bigint,
  records: number,
  timeNs: bigint | undefined,
  duplicate: boolean,
): Ack {
  return {
    offset,
    nextOffset: offset + BigInt(records),
    time: timeNs === undefined ? undefined : new Date(Number(timeNs / 1_000_000n)),
    timeNs,
    duplicate,
  };
}
