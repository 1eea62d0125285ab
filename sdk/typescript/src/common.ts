// What both entries of the package show.
export type { Durability, DedupWindow, LogInfo, LogSettings, Retention } from "./admin.js";
export type { Retry } from "./backoff.js";
export { type Cursor, cursorLog, type Place } from "./cursor.js";
export * from "./defaults.js";
export {
  ClosedError,
  type Code,
  GapError,
  LogChangedError,
  NothingAppendedError,
  OutcomeUnknownError,
  ProglogError,
  type Reason,
} from "./errors.js";
export type { Future } from "./future.js";
export { DEFAULT_LIMITS, type Limits } from "./limits.js";
export type {
  CallOptions,
  CommonOptions,
  ConsumeBatchOptions,
  ConsumeOptions,
  Offset,
  ProduceOptions,
  ProducerOptions,
  ProducerSequence,
  ReadOptions,
  Start,
} from "./options.js";
export type { Outcome, Producer, WaitOptions } from "./producer.js";
export type { Reader } from "./reader.js";
export type { Ack, Batch, Header, HeaderInput, LogRecord, RecordInput } from "./record.js";
export type { Attempt, AttemptEnd, Trace } from "./trace.js";
export { VERSION } from "./version.js";
