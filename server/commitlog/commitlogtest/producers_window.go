package commitlogtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// Goal: the same id in two logs is two producers.
func testProducersOfLogs(t *testing.T, open Open) {
	e := open(t)
	if can := e.Capabilities(); !can.Producers || !can.NamedLogs {
		if !can.Producers {
			testProducersUnsupported(t, e)
		}
		return
	}
	a, b := namedLog(t, e, "a"), namedLog(t, e, "b")
	inA := mustAppend(t, a, by("p", 4, 0, "a0"), by("p", 4, 1, "a1"))
	refused[*commitlog.SequenceForgottenError](t, b, by("p", 4, 1, "a1"))
	mustAppend(t, b, batch("other"))
	inB := mustAppend(t, b, by("p", 2, 0, "b0"))
	requireReplay(t, a, inA[1], by("p", 4, 1, "a1"))
	requireReplay(t, b, inB[0], by("p", 2, 0, "b0"))
	requireValues(t, a, "a0", "a1")
	requireValues(t, b, "other", "b0")
}

// Goal: the log remembers as many producers as it says. For one more, the one
// that appended nothing for longest is forgotten, and no other: its sequence 0
// is new, any other is refused.
func testProducerWindow(t *testing.T, open Open) {
	e := open(t)
	if !e.Capabilities().Producers {
		testProducersUnsupported(t, e)
		return
	}
	log := namedLog(t, e, "")
	producers := e.Capabilities().Dedup.Producers
	require.GreaterOrEqual(t, producers, 4)
	id := func(i int) string { return fmt.Sprint("p", i) }
	acks := make([]commitlog.Ack, 0, producers)
	var batches []commitlog.Batch
	for i := range producers {
		batches = append(batches, by(id(i), 0, 0, id(i)))
		if len(batches) == 500 || i == producers-1 {
			acks = append(acks, mustAppend(t, log, batches...)...)
			batches = nil
		}
	}
	requireReplay(t, log, acks[0], by(id(0), 0, 0, id(0)))
	mustAppend(t, log, by(id(0), 0, 1, "active again"))

	mustAppend(t, log, by("one more", 0, 0, "one more"))
	require.Zero(t, refused[*commitlog.SequenceForgottenError](t, log, by(id(1), 0, 1, "never")).Expected)
	requireReplay(t, log, acks[0], by(id(0), 0, 0, id(0)))
	for i := 2; i < producers; i += producers/10 + 1 {
		requireReplay(t, log, acks[i], by(id(i), 0, 0, id(i)))
	}
	mustAppend(t, log, by(id(1), 0, 0, "as if new"))
	require.Zero(t, refused[*commitlog.SequenceForgottenError](t, log, by(id(2), 0, 1, "never")).Expected)
	requireReplay(t, log, acks[3], by(id(3), 0, 0, id(3)))
}

// Goal: what a log remembers of its producers does not depend on which of their
// records it still has.
func testProducersTrimmed(t *testing.T, e commitlog.Engine, log commitlog.CommitLog) {
	if !e.Capabilities().Trim {
		return
	}
	p := mustAppend(t, log, by("p", 1, 0, "a", "b"), by("p", 1, 1, "c"))
	for _, first := range []uint64{1, 3} {
		mustTrim(t, log, first)
		requireReplay(t, log, p[0], by("p", 1, 0, "a", "b"))
		requireReplay(t, log, p[1], by("p", 1, 1, "c"))
		refused[*commitlog.FencedError](t, log, by("p", 0, 0, "never"))
		refused[*commitlog.SequenceReusedError](t, log, by("p", 1, 1, "d"))
		refused[*commitlog.SequenceGapError](t, log, by("p", 1, 3, "never"))
	}
	mustAppend(t, log, by("p", 1, 2, "d"))
	requireValues(t, log, "d")
}

// Goal: what is wrong with a batch in several ways is told in the order that the
// contract gives.
func testJudgement(t *testing.T, open Open) {
	e := open(t)
	can := e.Capabilities()
	if !can.Producers {
		testProducersUnsupported(t, e)
		return
	}
	log := namedLog(t, e, "")
	known := by("p", 1, 0, "a")
	over := func(b commitlog.Batch) commitlog.Batch {
		b.Records = append([]commitlog.Record(nil), b.Records...)
		b.Records[0].Headers = make([]commitlog.Header, commitlog.DefaultLimits().Headers+1)
		return b
	}
	maybe := func(b commitlog.Batch) commitlog.Batch { return b }
	if can.ExpectedOffset {
		maybe = func(b commitlog.Batch) commitlog.Batch { return expecting(99, b) }
	}
	ack := mustAppend(t, log, known)[0]
	judge := func(sealed bool) {
		refused[*commitlog.TooLargeError](t, log, maybe(over(known)))
		refused[*commitlog.TooLargeError](t, log, maybe(over(by("p", 0, 0, "never"))))
		requireReplay(t, log, ack, maybe(known))
		refused[*commitlog.SequenceReusedError](t, log, maybe(by("p", 1, 0, "other")))
		refused[*commitlog.SequenceForgottenError](t, log, maybe(by("q", 0, 1, "never")))
		refused[*commitlog.FencedError](t, log, maybe(by("p", 0, 9, "never")))
		if !sealed {
			refused[*commitlog.SequenceGapError](t, log, maybe(by("p", 1, 2, "never")))
			refused[*commitlog.SequenceGapError](t, log, maybe(by("p", 2, 1, "never")))
			return
		}
		for _, b := range []commitlog.Batch{
			by("p", 1, 1, "next"), by("p", 1, 2, "gap"), by("p", 2, 0, "epoch"), by("p", 2, 1, "epoch"), by("q", 0, 0, "new"), batch("none"),
		} {
			require.Equal(t, log.Bounds().Next, refused[*commitlog.LogSealedError](t, log, maybe(b)).Next)
		}
	}
	judge(false)
	if can.Seal {
		mustPut(t, e, "", sealed(true))
		judge(true)
	}
}
