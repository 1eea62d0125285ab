package suite

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wrongEnv makes the Go adapter misbehave; its wrong.go says how.
const wrongEnv = "PROGLOG_ADAPTER_WRONG"

// Goal: the suite finds what it is there to find. Method: the Go adapter behaves
// like an SDK that is broken in one way, and the cases that are about it fail for
// that reason. Without that they pass, as TestConformance shows.
func TestBrokenSDKsFail(t *testing.T) {
	server := bin(t)
	cases, specs := load(t)
	require.Equal(t, "go", specs[0].Name)
	if err := specs[0].Prepare(t.Context(), t.TempDir()); err != nil {
		skip(t, err)
	}
	for _, row := range []struct{ way, id, want string }{
		{"skips-record", "reading/up to the tail", "the record at offset 2 came where that at 1 was due"},
		{"skips-record", "languages/records", "the record at offset 2 came where that at 1 was due"},
		{"repeats-record", "reading/a follower gets what comes", "the record at offset 1 came where that at 2 was due"},
		{"repeats-record", "reading/until an offset", "the record at offset 4 came where that at 5 was due"},
		{"repeats-record", "resume/a follower survives: a reset", "the record at offset 1 came where that at 2 was due"},
		{"forgets-log-id", "resume/other data under the same address is told", "records too many"},
		{"forgets-log-id", "resume/a log that was deleted and made again is told", "records too many"},
		{"jumps-gap", "resume/a gap is told", "records too many"},
		{"takes-loss-for-end", "resume/a follower survives: a reset", "did not come: read was answered"},
		{"takes-loss-for-end", "resume/a follower survives that the server: drains", "did not come: read was answered"},
		{"retries-without-identity", "writes/a write whose answer is lost is in the log once: an expected offset", "it failed"},
		{"retries-without-identity", "writes/a write whose answer is lost is in the log once: one record", "the answer.duplicate is false, not true"},
		{"swaps-acks", "producer/every record has its acknowledgement, in order", "where offset 0 was due"},
		{"loses-reason", "produce/an expected offset that does not fit", "the error.reason is , not OFFSET_MISMATCH"},
		{"loses-outcome", "writes/a deadline leaves the outcome unknown", "the error.outcome is nothing_appended, not unknown"},
		{"loses-outcome", "writes/a refusal of the second try says nothing about the first", "the error.outcome is nothing_appended, not unknown"},
		{"ignores-silence", "resume/what a silent connection held back comes once", "did not come: the time is over"},
		{"ignores-cancel", "cancel/a follower that is cancelled ends", "read was not answered in time"},
		{"ignores-cancel", "cancel/what waits for its first answer and is cancelled ends: a read", "read was not answered in time"},
		{"ignores-deadline", "errors/a call that ends at its deadline", "consume was not answered in time"},
		{"hangs-at-close", "clients/a closed client takes no calls", "close_client was not answered in time"},
		{"leaks-at-close", "clients/a close ends what the client runs, while the network: works", "read was not answered in time"},
		{"forgets-cursor", "cursor/a place is kept", "the answer.log_id is , not"},
		{"ignores-limits", "limits/over the limit: a value", "the error.from_server is true, not false"},
		{"ignores-bounds", "producer/no more is in flight than was said: batches", "more than 4"},
		{"ignores-bounds", "producer/no more is in flight than was said: bytes", "more than 5"},
		{"ignores-bounds", "producer/who sends more than may be in flight waits", "send was answered"},
		{"ignores-linger", "producer/a flush does not wait for the linger", "502"},
		{"forgets-token", "clients/headers and tokens go with every call", "authorization"},
		{"loses-at-resume", "resume/a read of history survives cuts in the middle of messages", "was due"},
		{"no-backoff", "clients/the pauses between tries grow, and are drawn", "every last pause is short"},
		{"no-jitter", "clients/the pauses between tries grow, and are drawn", "nothing is drawn"},
		{"never-traces", "clients/the hook sees each try", "calls"},
		{"ignores-ca", "tls/a server that is not trusted: another authority", "it succeeded"},
		{"ignores-ca", "tls/a server that is not trusted: another name", "it succeeded"},
		{"reuses-bytes", "producer/the caller's bytes are its own again", "not \"r0\""},
		{"never-gives-up", "producer/a server that falls silent", "send was not answered in time"},
		{"never-gives-up", "producer/a server that is silent from the first", "send was not answered in time"},
		{"names-log-late", "cursor/a first place belongs to the log that was there when it was asked for", "the answer.log_id is"},
		{"drops-headers", "produce/headers keep their order and duplicates: a batch", "has 0 headers, not 6"},
	} {
		t.Run(row.way+"/"+row.id, func(t *testing.T) {
			t.Parallel()
			c := named(cases, row.id)
			require.NotNil(t, c)
			run := Run{Case: c, Bin: server, A: specs[0], Dir: t.TempDir(), Env: []string{wrongEnv + "=" + row.way}}
			if c.Pair {
				run.B = specs[0]
			}
			err := run.Do(t.Context())
			require.Error(t, err)
			assert.Contains(t, err.Error(), row.want)
			assert.Contains(t, err.Error(), "--- what happened", "a failure comes with its transcript")
		})
	}
}

// Goal: an adapter that breaks the protocol fails, and does not stay behind.
func TestBrokenAdaptersFail(t *testing.T) {
	for _, row := range []struct{ name, script, want string }{
		{"says what is no JSON", "read line; echo hello; exec cat", "no JSON"},
		{"answers what nobody asked", `read line; echo '{"id":7,"ok":{}}'; exec cat`, "does not wait for an answer"},
		{"ends too soon", "read line", "unanswered"},
		{"ends badly", `read line; echo '{"id":1,"ok":{"sdk":"a","version":"1","runtime":"r"}}'; cat; exit 3`, "exit status 3"},
		{"does not end", `read line; echo '{"id":1,"ok":{"sdk":"a","version":"1","runtime":"r"}}'; exec sleep 60`, "did not end within"},
		{"has no version", `read line; echo '{"id":1,"ok":{"sdk":"a","runtime":"r"}}'; cat`, "version is absent"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			spec := AdapterSpec{Name: "broken", dir: t.TempDir(), Needs: []string{"sh"}, Command: []string{"sh", "-c", row.script}}
			err := spec.Prepare(t.Context(), t.TempDir())
			require.ErrorContains(t, err, row.want)
		})
	}
}

// Goal: an adapter whose tool-chain or build is not there is told from one that
// fails.
func TestMissingAdapters(t *testing.T) {
	for _, spec := range []AdapterSpec{
		{Name: "a", Needs: []string{"no-such-program"}},
		{Name: "b", Files: []string{"no-such-file"}},
	} {
		require.ErrorIs(t, spec.Prepare(t.Context(), t.TempDir()), errMissing)
	}
	broken := AdapterSpec{Name: "c", Build: []string{"false"}}
	err := broken.Prepare(t.Context(), t.TempDir())
	require.Error(t, err)
	require.NotErrorIs(t, err, errMissing)
}
