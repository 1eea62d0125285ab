package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/proglog/proglog/server/torture/internal/audit"
	"github.com/proglog/proglog/server/torture/internal/load"
	"github.com/proglog/proglog/server/torture/internal/process"
	"github.com/proglog/proglog/server/torture/internal/wire"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// probeRecords is how many records a probe appends at a time: few enough that the
// largest do not come to more than the batch that servers of the battery take.
const probeRecords = 3

// probe appends one batch after the other to a log, to see what a server answers.
type probe struct {
	log    load.Log
	told   *audit.Writer
	client *wire.Client
}

func newProbe(url string, log load.Log) *probe {
	return &probe{log: log, told: log.History.Writer(false), client: wire.New(url, wire.Connect)}
}

func (p *probe) close() { p.client.Close() }

// append sends a batch, and returns nil or the server's answer to it.
func (p *probe) append(ctx context.Context) (*wire.Failure, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	number, batch := p.told.Begin(probeRecords)
	res, err := p.client.Produce(ctx, wire.Request(p.log.Name, batch))
	if err == nil {
		p.told.Acked(number, res.GetOffset())
		return nil, nil
	}
	f := wire.Judge(err)
	if f.NothingAppended {
		p.told.Refused(number)
	}
	return &f, err
}

// awaitRefusal appends until the server refuses for one of the reasons, which it
// returns. Any other refusal fails, but for being overloaded.
func (p *probe) awaitRefusal(ctx context.Context, reasons ...logv1.Reason) (logv1.Reason, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for n := 0; ; n++ {
		f, err := p.append(ctx)
		switch {
		case ctx.Err() != nil:
			return 0, fmt.Errorf("after %d more batches the server does not refuse with one of %v: %w", n, reasons, errors.Join(ctx.Err(), err))
		case f == nil || !f.NothingAppended || f.Reason == logv1.Reason_REASON_OVERLOADED: // or in flight
		case slices.Contains(reasons, f.Reason):
			return f.Reason, nil
		default:
			return 0, fmt.Errorf("the server refuses with %v and not with one of %v: %w", f.Reason, reasons, err)
		}
	}
}

// awaitAck appends until it is acknowledged, and returns how long that took. Until
// then only a refusal for a reason will do.
func (p *probe) awaitAck(ctx context.Context, limit time.Duration, until logv1.Reason) (time.Duration, error) {
	began := time.Now()
	for {
		f, err := p.append(ctx)
		switch took := time.Since(began); {
		case f == nil && took > limit:
			return took, fmt.Errorf("appends go on after %v only: at most %v are allowed", took, limit)
		case f == nil:
			return took, nil
		case f.Reason != until:
			return took, fmt.Errorf("the server refuses with %v: %w", f.Reason, err)
		case took > 10*limit:
			return took, fmt.Errorf("after %v appends are still refused: %w", took, err)
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// readable reads all that is in the logs, with one call after the other: a follower
// would try again until the server is back. Where the disk fails, a log may end early,
// with what only a restart brings back; nothing may be told to be damaged.
func readable(ctx context.Context, server *process.Server, logs []load.Log, failing bool) error {
	client, err := proglog.New(server.URL(), proglog.WithRetry(proglog.Retry{Attempts: 1, MinDelay: time.Millisecond, MaxDelay: time.Millisecond}))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, log := range logs {
		err := readAll(ctx, client, log.Name)
		if err != nil && !(failing && proglog.ReasonOf(err) == proglog.ReasonStorageFailed) {
			return fmt.Errorf("read log %q: %w", log.Name, err)
		}
	}
	return nil
}

// readAll reads a log up to its tail.
func readAll(ctx context.Context, client *proglog.Client, log string) error {
	start := proglog.FromEarliest()
	for {
		batch, err := client.ConsumeBatch(ctx, proglog.InLog(log), start)
		if e, ok := errors.AsType[*proglog.Error](err); ok && e.Reason == proglog.ReasonOffsetTrimmed {
			start = proglog.From(e.FirstOffset) // retention was faster
			continue
		}
		if err != nil || batch.Tail {
			return err
		}
		start = proglog.From(batch.Records[len(batch.Records)-1].Offset + 1)
	}
}
