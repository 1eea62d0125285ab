package commitlogtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// Goal: of many callers that send the same sequence at once, one appends, and
// all get its ack.
func testConcurrentRetries(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	const callers, rounds = 12, 20
	ctx := patient(t)
	for seq := range uint64(rounds) {
		acks := make([]commitlog.Ack, callers)
		together(t, callers, func(i int) error {
			got, err := log.Append(ctx, by("p", 0, seq, fmt.Sprint(seq), "second"))
			if err == nil {
				acks[i] = got[0]
			}
			return err
		})
		firsts := 0
		for _, ack := range acks {
			require.Equal(t, 2*seq, ack.First)
			require.Equal(t, 2*seq+2, ack.Next)
			require.True(t, ack.Time.Equal(acks[0].Time))
			if !ack.Duplicate {
				firsts++
			}
		}
		require.Equal(t, 1, firsts)
	}
	require.EqualValues(t, 2*rounds, log.Bounds().Next)
}

// Goal: producers whose calls are cancelled at any moment, and who send the same
// again until they have an ack, lose nothing, repeat nothing and keep their order.
func testCancelledRetries(t *testing.T, _ commitlog.Engine, log commitlog.CommitLog) {
	const producers, each = 6, 25
	together(t, producers, func(p int) error {
		id := fmt.Sprint("p", p)
		for seq := range uint64(each) {
			for try := 0; ; try++ {
				ctx, cancel := context.WithCancel(patient(t))
				if try < 3 {
					go cancel()
				}
				_, err := log.Append(ctx, by(id, 0, seq, fmt.Sprint(id, " ", seq)))
				cancel()
				if err == nil {
					break
				}
				if !errors.Is(err, context.Canceled) {
					return err
				}
			}
		}
		return nil
	})
	next := map[string]int{}
	for _, r := range mustReadAll(t, log) {
		id, seq, _ := strings.Cut(string(r.Value), " ")
		require.Equal(t, fmt.Sprint(next[id]), seq, "of %s at offset %d", id, r.Offset)
		next[id]++
	}
	for p := range producers {
		require.Equal(t, each, next[fmt.Sprint("p", p)])
	}
}
