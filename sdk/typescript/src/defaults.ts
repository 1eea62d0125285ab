// What holds unless an option says otherwise.

/** The most records of a producer's batch. Larger batches gain next to nothing. */
export const DEFAULT_BATCH_RECORDS = 500;
/** The most bytes of a producer's batch of two records or more. */
export const DEFAULT_BATCH_BYTES = 256 * 1024;
/** How many batches a producer sends before the first of them is acknowledged. */
export const DEFAULT_IN_FLIGHT_BATCHES = 8;
/** How many bytes a producer holds that are not acknowledged, sent or waiting. */
export const DEFAULT_IN_FLIGHT_BYTES = 8 * 1024 * 1024;
/** How long, in ms, a producer tries to go on without success. */
export const DEFAULT_GIVE_UP_AFTER_MS = 60_000;
/**
 * How long, in ms, a producer or a read that begins waits for one answer about the log. A
 * producer goes by the usual bounds then; a read asks again, over another connection.
 */
export const ASK_PATIENCE_MS = 10_000;
/** The most records of one response, and of one batch that is read. */
export const DEFAULT_READ_RECORDS = 1000;
/** How often, in ms, a follower at the tail wants to hear something. */
export const DEFAULT_HEARTBEAT_MS = 15_000;
/** How often a single call is tried in all. */
export const DEFAULT_ATTEMPTS = 5;
/** The ceiling, in ms, of the first pause between tries. */
export const DEFAULT_MIN_DELAY_MS = 50;
/** The ceiling, in ms, of every pause between tries. */
export const DEFAULT_MAX_DELAY_MS = 5_000;
/** The longest pause, in ms, that a client accepts: a day. */
export const MAX_RETRY_DELAY_MS = 24 * 60 * 60 * 1000;
