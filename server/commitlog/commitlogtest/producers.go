package commitlogtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

func producerTests() []subtest {
	return []subtest{
		{"SequencesCountUp", onProducers(testSequences)},
		{"ReplayIsTheFirstAck", onProducers(testReplay)},
		{"ReplayWithinACall", onProducers(testReplayWithinCall)},
		{"GapIsRefused", onProducers(testGap)},
		{"UnknownIsForgotten", onProducers(testUnknownProducer)},
		{"ReusedWithOtherRecords", onProducers(testReused)},
		{"EpochsFence", onProducers(testEpochs)},
		{"RefusedUsesUpNothing", onProducers(testRefusedSequences)},
		{"IDs", onProducers(testProducerIDs)},
		{"RetriedAtOnceAppendsOnce", onProducers(testConcurrentRetries)},
		{"CancelledAndRetried", onProducers(testCancelledRetries)},
		{"LogsAreIsolated", testProducersOfLogs},
		{"WindowOfProducers", testProducerWindow},
		{"SurviveATrim", onProducers(testProducersTrimmed)},
		{"OrderOfJudgement", testJudgement},
	}
}

// onProducers makes a subtest of the default log of a new engine with producers;
// of an engine without, that it refuses them.
func onProducers(run func(*testing.T, commitlog.Engine, commitlog.CommitLog)) func(*testing.T, Open) {
	return func(t *testing.T, open Open) {
		e := open(t)
		if !e.Capabilities().Producers {
			testProducersUnsupported(t, e)
			return
		}
		run(t, e, namedLog(t, e, ""))
	}
}

// Goal: an engine without producers refuses them and appends nothing.
func testProducersUnsupported(t *testing.T, e commitlog.Engine) {
	log := namedLog(t, e, "")
	refused[*commitlog.UnsupportedError](t, log, by("p", 0, 0, "never"))
	mustAppend(t, log, batch("a"))
	requireValues(t, log, "a")
}

// by returns a batch of a producer.
func by(id string, epoch, sequence uint64, values ...string) commitlog.Batch {
	b := batch(values...)
	b.Producer = &commitlog.Producer{ID: id, Epoch: epoch, Sequence: sequence}
	return b
}

// refused returns what a batch is refused with, which leaves no trace.
func refused[E error](t *testing.T, log commitlog.CommitLog, b commitlog.Batch) E {
	t.Helper()
	before := log.Bounds()
	acks, err := log.Append(patient(t), b)
	var refusal E
	require.ErrorAs(t, err, &refusal)
	require.NotErrorIs(t, err, commitlog.ErrOutcomeUnknown)
	require.Empty(t, acks)
	require.Equal(t, before, log.Bounds())
	return refusal
}

// requireReplay fails the test unless the batch is answered with an ack that was
// given before, and nothing is appended.
func requireReplay(t *testing.T, log commitlog.CommitLog, original commitlog.Ack, b commitlog.Batch) {
	t.Helper()
	before := log.Bounds()
	acks, err := log.Append(patient(t), b)
	require.NoError(t, err)
	require.Len(t, acks, 1)
	require.NoError(t, checkReplay(original, acks[0]))
	require.Equal(t, before, log.Bounds())
}

// checkReplay says how a replayed ack differs from the first one.
func checkReplay(original, replay commitlog.Ack) error {
	if replay.First != original.First || replay.Next != original.Next || !replay.Time.Equal(original.Time) || !replay.Duplicate {
		return fmt.Errorf("the replay of ack %+v is %+v", original, replay)
	}
	return nil
}

// Goal: a producer's batches, of any size, are appended in the order of their
// sequences, with acks that are no duplicates.
func testSequences(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	var want []string
	for seq := range uint64(20) {
		values := []string{fmt.Sprint(seq), "x", "y"}[:seq%3+1]
		mustAppend(t, log, by("p", 0, seq, values...))
		want = append(want, values...)
	}
	acks := mustAppend(t, log, by("p", 0, 20, "a"), by("p", 0, 21, "b", "c"), batch("d"), by("p", 0, 22, ""))
	require.EqualValues(t, len(want)+5, acks[3].Next)
	requireValues(t, log, append(want, "a", "b", "c", "d", "")...)
}

// Goal: each of a producer's last acks is replayed as it was, time included, as
// often as it is asked for, whatever others appended; one more back, and it is
// forgotten. The producer goes on behind its last.
func testReplay(t *testing.T, e commitlog.Engine, log commitlog.CommitLog) {
	window := e.Capabilities().Dedup.Acks
	require.Positive(t, window)
	var batches []commitlog.Batch
	var acks []commitlog.Ack
	for seq := range uint64(window + 3) {
		batches = append(batches, by("p", 7, seq, []string{fmt.Sprint(seq), "x", "y"}[:seq%3+1]...))
		if seq%50 != 0 && seq+1 < uint64(window+3) {
			continue
		}
		acks = append(acks, mustAppend(t, log, batches[len(acks):]...)...)
		mustAppend(t, log, batch("other"), by(fmt.Sprint("q", seq), 0, 0, "other"))
	}
	for range 2 {
		for seq := range acks {
			if seq < len(acks)-window {
				forgotten := refused[*commitlog.SequenceForgottenError](t, log, batches[seq])
				require.EqualValues(t, len(acks), forgotten.Expected)
				continue
			}
			requireReplay(t, log, acks[seq], batches[seq])
		}
	}
	next := by("p", 7, uint64(len(acks)), "next")
	ack := mustAppend(t, log, next)[0]
	requireReplay(t, log, ack, next)
	refused[*commitlog.SequenceForgottenError](t, log, batches[len(acks)-window])
}

// Goal: in one call, replays and new batches are answered in order; a sequence
// that comes twice is appended once.
func testReplayWithinCall(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	first := mustAppend(t, log, by("p", 0, 0, "a", "b"))[0]
	acks, err := log.Append(patient(t), by("p", 0, 0, "a", "b"), by("p", 0, 1, "c"), by("p", 0, 1, "c"), batch("d"), by("p", 0, 0, "a", "b"))
	require.NoError(t, err)
	require.Len(t, acks, 5)
	require.NoError(t, checkReplay(first, acks[0]))
	require.NoError(t, checkReplay(acks[1], acks[2]))
	require.NoError(t, checkReplay(first, acks[4]))
	require.Equal(t, []bool{false, false}, []bool{acks[1].Duplicate, acks[3].Duplicate})
	requireValues(t, log, "a", "b", "c", "d")
}

// Goal: a sequence beyond the next is refused with the one expected, which is
// still free; in the middle of a call it ends the call.
func testGap(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	mustAppend(t, log, by("p", 3, 0, "a"))
	for _, seq := range []uint64{2, 3, 1 << 32, 1<<64 - 1} {
		gap := refused[*commitlog.SequenceGapError](t, log, by("p", 3, seq, "never"))
		require.Equal(t, commitlog.SequenceGapError{Epoch: 3, Expected: 1}, *gap)
	}
	good := []commitlog.Batch{by("p", 3, 1, "b")}
	acks, err := log.Append(patient(t), append(good, by("p", 3, 3, "never"), by("p", 3, 2, "never"))...)
	var gap *commitlog.SequenceGapError
	require.ErrorAs(t, err, &gap)
	require.Equal(t, commitlog.SequenceGapError{Epoch: 3, Expected: 2}, *gap)
	require.NoError(t, checkAcks(log, acks, good))
	mustAppend(t, log, by("p", 3, 2, "c"), by("p", 3, 3, "d"))
	requireValues(t, log, "a", "b", "c", "d")
}

// Goal: an id that the log does not know may begin with sequence 0 of any epoch;
// any other sequence may have been appended once and is forgotten.
func testUnknownProducer(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	for _, seq := range []uint64{1, 2, 1<<64 - 1} {
		require.Zero(t, refused[*commitlog.SequenceForgottenError](t, log, by("p", 0, seq, "never")).Expected)
		require.Zero(t, refused[*commitlog.SequenceForgottenError](t, log, by("p", 9, seq, "never")).Expected)
	}
	mustAppend(t, log, by("p", 9, 0, "a"), by("q", 1<<64-1, 0, "b"), by("r", 0, 0, "c"))
	requireValues(t, log, "a", "b", "c")
}

// Goal: a known sequence with other records is refused, whatever differs; with
// the same records it is still a replay.
func testReused(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	original := by("p", 0, 0, "ab", "c")
	original.Records[1].Headers = []commitlog.Header{{Name: "n", Value: []byte("v")}, {Name: "m"}}
	ack := mustAppend(t, log, original)[0]
	mustAppend(t, log, by("p", 0, 1, "next"))

	headers := func(h ...commitlog.Header) commitlog.Batch {
		b := by("p", 0, 0, "ab", "c")
		b.Records[1].Headers = h
		return b
	}
	for _, other := range []commitlog.Batch{
		by("p", 0, 0, "ab"), by("p", 0, 0, "ab", "c"), by("p", 0, 0, "c", "ab"), by("p", 0, 0, "ab", "c", ""), by("p", 0, 0, "a", "bc"),
		headers(commitlog.Header{Name: "n", Value: []byte("v")}),
		headers(commitlog.Header{Name: "m"}, commitlog.Header{Name: "n", Value: []byte("v")}),
		headers(commitlog.Header{Name: "nv"}, commitlog.Header{Name: "m"}),
		headers(commitlog.Header{Name: "n", Value: []byte("w")}, commitlog.Header{Name: "m"}),
	} {
		require.Zero(t, refused[*commitlog.SequenceReusedError](t, log, other).Sequence)
	}
	requireReplay(t, log, ack, original)
	require.EqualValues(t, 1, refused[*commitlog.SequenceReusedError](t, log, by("p", 0, 1, "other")).Sequence)
}

// Goal: a higher epoch begins at sequence 0 and from then on fences all lower
// ones, whichever sequence they try; one that is refused changes nothing.
func testEpochs(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	mustAppend(t, log, by("p", 2, 0, "a"), by("p", 2, 1, "b"))
	for _, seq := range []uint64{1, 2, 3} {
		require.Zero(t, refused[*commitlog.SequenceGapError](t, log, by("p", 3, seq, "never")).Expected)
	}
	mustAppend(t, log, by("p", 2, 2, "c"))
	zero := by("p", 5, 0, "d")
	ack := mustAppend(t, log, zero)[0]
	requireReplay(t, log, ack, zero)
	for epoch := range uint64(5) {
		for _, seq := range []uint64{0, 1, 3, 4} {
			require.EqualValues(t, 5, refused[*commitlog.FencedError](t, log, by("p", epoch, seq, "never")).Epoch)
		}
	}
	require.EqualValues(t, 1, refused[*commitlog.SequenceGapError](t, log, by("p", 5, 3, "never")).Expected,
		"sequences go on within the epoch")
	mustAppend(t, log, by("p", 5, 1, "e"), by("p", 1<<64-1, 0, "f"))
	require.EqualValues(t, uint64(1<<64-1), refused[*commitlog.FencedError](t, log, by("p", 5, 2, "never")).Epoch)
	requireValues(t, log, "a", "b", "c", "d", "e", "f")
}

// Goal: a batch that is refused for whatever reason leaves its sequence free,
// for these records or others.
func testRefusedSequences(t *testing.T, e commitlog.Engine, log commitlog.CommitLog) {
	for seq := range uint64(3) {
		over := by("p", 0, seq, "never")
		over.Records[0].Headers = make([]commitlog.Header, commitlog.DefaultLimits().Headers+1)
		refused[*commitlog.TooLargeError](t, log, over)
		refused[*commitlog.InvalidBatchError](t, log, by("p", 0, seq))
		if e.Capabilities().ExpectedOffset {
			refused[*commitlog.OffsetMismatchError](t, log, expecting(99, by("p", 0, seq, "never")))
			mustAppend(t, log, expecting(seq, by("p", 0, seq, fmt.Sprint(seq))))
		} else {
			mustAppend(t, log, by("p", 0, seq, fmt.Sprint(seq)))
		}
	}
	requireValues(t, log, "0", "1", "2")
}

// Goal: an id is any bytes up to the limit, and each is a producer of its own;
// none at all, or one byte more, is refused.
func testProducerIDs(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	most := commitlog.DefaultLimits().ProducerID
	ids := []string{"a", "A", "a ", "a\x00", "\x00", "\xff\xfe", "é", "a/b", strings.Repeat("x", most-1), strings.Repeat("x", most)}
	acks := map[string]commitlog.Ack{}
	for _, id := range ids {
		acks[id] = mustAppend(t, log, by(id, 0, 0, "by "+id))[0]
	}
	for _, id := range ids {
		requireReplay(t, log, acks[id], by(id, 0, 0, "by "+id))
		mustAppend(t, log, by(id, 0, 1, "again"))
	}
	refused[*commitlog.InvalidBatchError](t, log, by("", 0, 0, "never"))
	over := refused[*commitlog.TooLargeError](t, log, by(strings.Repeat("x", most+1), 0, 0, "never"))
	require.EqualValues(t, []int{most + 1, most}, []int{int(over.Size), int(over.Limit)})
}
