package proglog

import (
	"context"
	"math/rand/v2"
	"time"
)

// Retry says how often and how fast failed calls are tried again, if their failure
// can pass: a write only if the server knows one that comes twice, or if it
// provably did not happen.
//
// The pause after the nth failure in a row, from 1 on, is random and evenly spread
// between 0 and a ceiling, both included: MinDelay·2ⁿ⁻¹, at most MaxDelay. So the
// ceilings are 50 ms, 100 ms, 200 ms and so on unless told, up to 5 s. Many clients
// of one server that restarts do not come back at once that way. An answer, a
// record or a heartbeat ends the row.
type Retry struct {
	// Attempts is how often a single call is tried in all; 1: only once. A
	// follower that lost its connection tries for ever, whatever this says. A
	// producer that lost it goes by [GiveUpAfter], and calls that share a stream
	// to a server that answered before try for 10 s, unless this is 1.
	Attempts int
	// MinDelay is the ceiling of the first pause, above 0; MaxDelay is that of all,
	// at least MinDelay and at most [MaxRetryDelay].
	MinDelay, MaxDelay time.Duration
}

// DefaultRetry returns the policy that holds unless [WithRetry] changes it.
func DefaultRetry() Retry {
	return Retry{Attempts: DefaultAttempts, MinDelay: DefaultMinDelay, MaxDelay: DefaultMaxDelay}
}

// backoff counts the failures in a row and paces the tries between them.
type backoff struct {
	policy Retry
	failed int
}

// reset forgets the failures: something worked.
func (b *backoff) reset() { b.failed = 0 }

// exhausted counts a failure and says whether it used up the attempts.
func (b *backoff) exhausted() bool {
	b.failed++
	return b.failed >= b.policy.Attempts
}

// pause draws the time to wait after the failures counted so far.
func (b *backoff) pause() time.Duration {
	ceiling := b.policy.MinDelay
	for n := 1; n < b.failed && ceiling < b.policy.MaxDelay; n++ {
		ceiling *= 2 // MaxRetryDelay keeps it far from an overflow
	}
	return rand.N(min(ceiling, b.policy.MaxDelay) + 1)
}

// sleep waits, and reports false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
