package proglog

import "time"

// What holds unless an option says otherwise.
const (
	// DefaultBatchRecords is the most records of a producer's batch; see
	// [MaxBatch]. Larger batches gain next to nothing.
	DefaultBatchRecords = 500
	// DefaultBatchBytes is the most bytes of a producer's batch of two records
	// or more; see [MaxBatch].
	DefaultBatchBytes = 256 << 10
	// DefaultInFlightBatches is how many batches a producer sends before the
	// first of them is acknowledged; see [MaxInFlight].
	DefaultInFlightBatches = 8
	// DefaultInFlightBytes is how much a producer holds that is not
	// acknowledged, sent or waiting; see [MaxInFlight].
	DefaultInFlightBytes = 8 << 20
	// DefaultGiveUpAfter is how long a producer tries to go on without success;
	// see [GiveUpAfter].
	DefaultGiveUpAfter = time.Minute
	// DefaultReadRecords is the most records of one response, and of one
	// [Batch]; see [BatchRecords].
	DefaultReadRecords = 1000
	// DefaultHeartbeat is how often a follower at the tail wants to hear
	// something; see [Heartbeat].
	DefaultHeartbeat = 15 * time.Second
	// DefaultAttempts is how often a single call is tried in all; see [Retry].
	DefaultAttempts = 5
	// DefaultMinDelay bounds the first pause between tries; see [Retry].
	DefaultMinDelay = 50 * time.Millisecond
	// DefaultMaxDelay bounds every pause between tries; see [Retry].
	DefaultMaxDelay = 5 * time.Second
)

// MaxRetryDelay is the longest pause that [WithRetry] takes.
const MaxRetryDelay = 24 * time.Hour
