package commitlogtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/commitlog"
)

// patience is how long a call may take before its test calls it stuck. No test
// that passes waits for it.
const patience = time.Minute

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// namedLog returns the log of that name, made if need be.
func namedLog(t *testing.T, e commitlog.Engine, name string) commitlog.CommitLog {
	t.Helper()
	log, _, err := e.Put(patient(t), name, commitlog.Change{})
	require.NoError(t, err)
	return log
}

// batch returns a batch of records with these values.
func batch(values ...string) commitlog.Batch {
	var b commitlog.Batch
	for _, v := range values {
		b.Records = append(b.Records, commitlog.Record{Value: []byte(v)})
	}
	return b
}

// numbered returns a batch of n records with their numbers as values.
func numbered(n int) commitlog.Batch {
	values := make([]string, n)
	for i := range values {
		values[i] = strconv.Itoa(i)
	}
	return batch(values...)
}

func expecting(offset uint64, b commitlog.Batch) commitlog.Batch {
	b.ExpectedOffset = &offset
	return b
}

// mustAppend appends the batches and returns their acks, which it holds to
// what is true of all acks.
func mustAppend(t *testing.T, log commitlog.CommitLog, batches ...commitlog.Batch) []commitlog.Ack {
	t.Helper()
	acks, err := log.Append(patient(t), batches...)
	require.NoError(t, err)
	require.NoError(t, checkAcks(log, acks, batches))
	return acks
}

// checkAcks says what is wrong with the acks of batches.
func checkAcks(log commitlog.CommitLog, acks []commitlog.Ack, batches []commitlog.Batch) error {
	if len(acks) != len(batches) {
		return fmt.Errorf("%d acks for %d batches", len(acks), len(batches))
	}
	var last commitlog.Ack
	for i, ack := range acks {
		switch {
		case ack.Next != ack.First+uint64(len(batches[i].Records)):
			return fmt.Errorf("ack %+v for %d records", ack, len(batches[i].Records))
		case ack.First < last.Next || ack.Time.Before(last.Time):
			return fmt.Errorf("ack %+v after %+v", ack, last)
		case ack.Duplicate:
			return fmt.Errorf("ack %+v without a producer", ack)
		case ack.Time.IsZero():
			return fmt.Errorf("ack %+v has no time", ack)
		}
		last = ack
	}
	if next := log.Bounds().Next; next < last.Next {
		return fmt.Errorf("the log's next offset is %d after ack %+v", next, last)
	}
	return nil
}

// read returns the records of one run, which it holds to what is true of all
// runs.
func read(log commitlog.CommitLog, from uint64, limit commitlog.ReadLimit) ([]commitlog.Record, commitlog.Run, error) {
	run, err := log.Read(context.Background(), from, limit, nil)
	if err != nil {
		return nil, run, fmt.Errorf("read at %d: %w", from, err)
	}
	records, err := decode(run)
	switch {
	case err != nil:
	case run.First != from:
		err = fmt.Errorf("a read at %d begins at %d", from, run.First)
	case limit.Records > 0 && len(records) > limit.Records:
		err = fmt.Errorf("a read of %d records at %d has %d", limit.Records, from, len(records))
	case limit.Bytes > 0 && len(run.Envelopes) > limit.Bytes && len(records) > 1:
		err = fmt.Errorf("a read of %d bytes at %d has %d", limit.Bytes, from, len(run.Envelopes))
	case run.Next > log.Bounds().Next:
		err = fmt.Errorf("a read at %d reaches %d, beyond the log's next offset of %d", from, run.Next, log.Bounds().Next)
	}
	return records, run, err
}

// decode returns the records of a run, and an error unless they are what the
// run says, in the one encoding.
func decode(run commitlog.Run) ([]commitlog.Record, error) {
	var records []commitlog.Record
	var encoded []byte
	for r, err := range run.All() {
		if err != nil {
			return nil, err
		}
		if want := run.First + uint64(len(records)); r.Offset != want {
			return nil, fmt.Errorf("the record at offset %d says that it is at %d", want, r.Offset)
		}
		records = append(records, r)
		encoded = commitlog.AppendEnvelope(encoded, &r)
	}
	switch {
	case len(records) == 0:
		return nil, errors.New("a run without records")
	case run.Next != run.First+uint64(len(records)):
		return nil, fmt.Errorf("the run from %d to %d has %d records", run.First, run.Next, len(records))
	case !bytes.Equal(encoded, run.Envelopes):
		return nil, fmt.Errorf("the run from %d to %d is not in the one encoding", run.First, run.Next)
	}
	return records, nil
}

// readAll returns the records from the first offset to the next one.
func readAll(log commitlog.CommitLog) ([]commitlog.Record, error) {
	b := log.Bounds()
	var all []commitlog.Record
	for next := b.First; next < b.Next; {
		records, run, err := read(log, next, commitlog.ReadLimit{Records: int(b.Next - next)})
		if err != nil {
			return all, err
		}
		all, next = append(all, records...), run.Next
	}
	return all, nil
}

func mustReadAll(t *testing.T, log commitlog.CommitLog) []commitlog.Record {
	t.Helper()
	records, err := readAll(log)
	require.NoError(t, err)
	return records
}

// requireValues fails the test unless the log holds records with these values
// and nothing else.
func requireValues(t *testing.T, log commitlog.CommitLog, values ...string) {
	t.Helper()
	got := []string{}
	for _, r := range mustReadAll(t, log) {
		got = append(got, string(r.Value))
	}
	require.Equal(t, append([]string{}, values...), got)
}

// same says how two records differ. Nil and empty bytes are the same.
func same(want, got commitlog.Record) error {
	ok := want.Offset == got.Offset && want.Time.Equal(got.Time) &&
		bytes.Equal(want.Value, got.Value) && len(want.Headers) == len(got.Headers)
	for i := 0; ok && i < len(want.Headers); i++ {
		w, g := want.Headers[i], got.Headers[i]
		ok = w.Name == g.Name && bytes.Equal(w.Value, g.Value)
	}
	if !ok {
		return fmt.Errorf("record is %s, not %s", brief(got), brief(want))
	}
	return nil
}

func brief(r commitlog.Record) string {
	return fmt.Sprintf("{offset %d, time %v, %d value bytes %.20q, %d headers %.80q}",
		r.Offset, r.Time, len(r.Value), r.Value, len(r.Headers), fmt.Sprint(r.Headers))
}

// together runs n goroutines, waits for them and fails the test for what they
// return.
func together(t *testing.T, n int, run func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = run(i) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}
