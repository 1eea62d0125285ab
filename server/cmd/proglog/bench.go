package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// What bench does unless told.
const (
	benchProducers  = 16
	benchInFlight   = 1
	benchValueBytes = 100
	benchDuration   = 5 * time.Second
	benchRecords    = 10_000_000
	benchGiveUp     = 10 * time.Second
)

// benchConfig is what the flags of bench say.
type benchConfig struct {
	clientFlags
	producers int
	inFlight  int
	valueSize int
	duration  time.Duration
	records   uint64
	giveUp    time.Duration
}

// benchHeader is what every value begins with, for the audit: the run, the
// producer, and the number of the record within it.
const benchHeader = 24

// acked is one acknowledged record.
type acked struct {
	offset, number uint64
	took           time.Duration
}

// bench puts load on a server, and then holds the log against every ack.
func bench(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	var config benchConfig
	fs := newFlags("bench", "bench [flags]\n\n"+
		"Appends records for a while, prints how fast that was, and then reads back\n"+
		"every record that was acknowledged, also after a failure or an interrupt. The\n"+
		"records stay in the log: give it one of its own.", stderr)
	config.register(fs)
	fs.IntVar(&config.producers, "producers", benchProducers, "callers at the same time, a `count`")
	fs.IntVar(&config.inFlight, "in-flight", benchInFlight, "records that each of them has unacknowledged, a `count`: 1 waits for each ack")
	fs.IntVar(&config.valueSize, "value-bytes", benchValueBytes, "size of a value, in `bytes`, at least 24")
	fs.DurationVar(&config.duration, "duration", benchDuration, "how long to append, a `duration`")
	fs.Uint64Var(&config.records, "records", benchRecords, "the most records to append, a `count`")
	fs.DurationVar(&config.giveUp, "give-up-after", benchGiveUp, "how long to try to go on without success, and to wait for the server before what it acknowledged is read back, a `duration`")
	others, code, ok := parseMixed(fs, args)
	if !ok {
		return code
	}
	if len(others) > 0 || config.producers < 1 || config.inFlight < 1 || config.valueSize < benchHeader ||
		config.duration <= 0 || config.records < 1 {
		fmt.Fprintf(stderr, "proglog bench: --producers, --in-flight, --records and --duration have to be above 0, --value-bytes at least %d, and there are no other arguments\n", benchHeader)
		return exitUsage
	}
	client, err := config.connect()
	if err != nil {
		fmt.Fprintf(stderr, "proglog bench: --addr: %v\n", err)
		return exitUsage
	}
	defer client.Close()
	run := &benchRun{config: config, client: client, id: rand.Uint64()}
	failures := run.all(ctx, stdout)
	for _, err := range failures {
		printBenchFailure(stderr, config.addr, err)
	}
	if len(failures) > 0 {
		return exitFailed
	}
	return exitOK
}

// printBenchFailure is printFailure with hints that name what bench can be told.
func printBenchFailure(w io.Writer, addr string, err error) {
	hint := ""
	switch proglog.ReasonOf(err) {
	case proglog.ReasonOffsetTrimmed:
		hint = "--log names a log that keeps its records, `proglog logs create NAME` makes one; fewer --records and a shorter --duration leave less to remove"
	case proglog.ReasonDataDamaged:
		hint = "`proglog verify` tells of all damage; --log names another log"
	case proglog.ReasonTooLarge:
		hint = "--value-bytes sets the size of the values; `proglog serve` sets the limits"
	default:
		printFailure(w, "bench", addr, err)
		return
	}
	fmt.Fprintf(w, "proglog bench: %v\n  %s\n", err, hint)
}

// benchRun is one run of bench.
type benchRun struct {
	config benchConfig
	client *proglog.Client
	id     uint64
	first  uint64    // the log's next offset before the run
	acks   [][]acked // of each producer: its records 0, 1, 2, …

	broken  bool   // the load failed: a record may be in the log without an ack
	unacked uint64 // such records
}

// all loads, reports and audits. A failure of the load takes nothing from the
// other two: what was acknowledged has to be in the log whatever came after.
func (b *benchRun) all(ctx context.Context, out io.Writer) (failures []error) {
	info, err := b.client.DescribeLog(ctx, b.config.log)
	if err != nil {
		return []error{err}
	}
	b.first = info.NextOffset
	began := time.Now()
	if err := b.load(ctx); err != nil {
		b.broken = true
		failures = append(failures, err)
	}
	b.report(out, time.Since(began), info.Durability)
	began = time.Now()
	ctx = context.WithoutCancel(ctx) // an interrupt ends the load; a second one ends the process
	if b.broken {
		b.awaitServer(ctx)
	}
	n, err := b.audit(ctx)
	if err != nil {
		return append(failures, fmt.Errorf("audit: %w", err))
	}
	if _, err = fmt.Fprintf(out, "audit      %d acknowledged records read back in %.2f s, each at its offset with its bytes\n", n, time.Since(began).Seconds()); err != nil {
		failures = append(failures, err)
	}
	if b.unacked > 0 {
		fmt.Fprintf(out, "           %d more are in the log without an ack: the failure came between\n", b.unacked)
	}
	return failures
}

// awaitServer waits until the server answers again, but not for ever: the audit
// then says that it does not.
func (b *benchRun) awaitServer(ctx context.Context) {
	for until := time.Now().Add(b.config.giveUp); time.Now().Before(until); {
		_, err := b.client.DescribeLog(ctx, b.config.log) // it pauses between its tries
		if proglog.CodeOf(err) != proglog.CodeUnavailable {
			return
		}
	}
}

// load appends until the time is over or there are enough.
func (b *benchRun) load(ctx context.Context) error {
	loading, cancel := context.WithTimeout(ctx, b.config.duration)
	defer cancel()
	b.acks = make([][]acked, b.config.producers)
	failures := make([]error, b.config.producers)
	var wg sync.WaitGroup
	for i := range b.config.producers {
		wg.Go(func() {
			share := b.config.records / uint64(b.config.producers)
			if uint64(i) < b.config.records%uint64(b.config.producers) {
				share++
			}
			// What was sent is waited for, also after an interrupt.
			if failures[i] = b.append(context.WithoutCancel(ctx), loading, i, share); failures[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	for _, err := range failures {
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return nil
}

// append is one caller: it stops when loading ends, but waits for what it sent.
func (b *benchRun) append(ctx, loading context.Context, producer int, share uint64) error {
	if b.config.inFlight == 1 {
		for n := uint64(0); n < share && loading.Err() == nil; n++ {
			began := time.Now()
			ack, err := b.client.Produce(ctx, proglog.Record{Value: b.value(producer, n)}, proglog.InLog(b.config.log))
			if err != nil {
				return err
			}
			b.acks[producer] = append(b.acks[producer], acked{ack.Offset, n, time.Since(began)})
		}
		return nil
	}
	return b.pipeline(ctx, loading, producer, share)
}

// pipeline is append with several records unacknowledged.
func (b *benchRun) pipeline(ctx, loading context.Context, producer int, share uint64) error {
	p, err := b.client.NewProducer(ctx, proglog.InLog(b.config.log), proglog.GiveUpAfter(b.config.giveUp))
	if err != nil {
		return err
	}
	type sent struct {
		future proglog.Future
		at     time.Time
	}
	window := make(chan sent, b.config.inFlight-1)
	waited := make(chan error, 1)
	go func() {
		var failure error
		n := uint64(0)
		for s := range window {
			ack, err := s.future.Wait(ctx)
			if err != nil && failure == nil {
				failure = err
			}
			if err == nil {
				b.acks[producer] = append(b.acks[producer], acked{ack.Offset, n, time.Since(s.at)})
			}
			n++
		}
		waited <- failure
	}()
	var failure error
	for n := uint64(0); n < share && loading.Err() == nil && failure == nil; n++ {
		at := time.Now()
		var future proglog.Future
		if future, failure = p.Send(ctx, proglog.Record{Value: b.value(producer, n)}); failure == nil {
			window <- sent{future, at}
		}
	}
	close(window)
	if err := <-waited; err != nil {
		failure = err
	}
	if err := p.Close(ctx); failure == nil {
		failure = err
	}
	return failure
}

// value makes the value of a record, which nothing else can have made.
func (b *benchRun) value(producer int, n uint64) []byte {
	v := make([]byte, b.config.valueSize)
	binary.LittleEndian.PutUint64(v, b.id)
	binary.LittleEndian.PutUint64(v[8:], uint64(producer))
	binary.LittleEndian.PutUint64(v[16:], n)
	for i := benchHeader; i < len(v); i++ {
		v[i] = byte(uint64(i)*31 + n)
	}
	return v
}

// report prints what the load was like.
func (b *benchRun) report(out io.Writer, took time.Duration, durability proglog.Durability) {
	var latencies []time.Duration
	for _, acks := range b.acks {
		for _, a := range acks {
			latencies = append(latencies, a.took)
		}
	}
	slices.Sort(latencies)
	n := len(latencies)
	fmt.Fprintf(out, "load       %d producers, %d in flight each, values of %d bytes; an ack means: %v\n",
		b.config.producers, b.config.inFlight, b.config.valueSize, durability)
	perSecond := float64(n) / took.Seconds()
	fmt.Fprintf(out, "throughput %d records in %.2f s: %.0f a second, %.1f MB a second\n",
		n, took.Seconds(), perSecond, perSecond*float64(b.config.valueSize)/1e6)
	if n == 0 {
		return
	}
	at := func(part float64) time.Duration {
		return latencies[min(n-1, int(part*float64(n)))].Round(time.Microsecond)
	}
	fmt.Fprintf(out, "latency    p50 %v, p90 %v, p99 %v, p99.9 %v, max %v\n", at(0.5), at(0.9), at(0.99), at(0.999), at(1))
}
