package sdks

import (
	"context"
	"errors"
	"fmt"

	proglog "github.com/proglog/proglog/sdk/go"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/talk"
	"github.com/proglog/proglog/server/bench/internal/wire"
)

// A ring is where the clients of a contest meet: a server, a program, and a client of
// the bench's own that makes the logs.
type ring struct {
	contest Contest
	dir     string
	server  *wire.Server
	program *Program
	admin   *proglog.Client
	logs    int // made so far
}

// filled is the log that is read.
const filled = "filled"

func (c Contest) open(ctx context.Context, dir string) (_ *ring, err error) {
	r := &ring{contest: c, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.server, err = wire.StartServer(c.Bin, dir); err != nil {
		return nil, err
	}
	if r.program, err = c.Language.Start(ctx); err != nil {
		return nil, err
	}
	if r.admin, err = proglog.New(r.server.Address()); err != nil {
		return nil, err
	}
	if c.reads() {
		err = r.fill(ctx)
	}
	return r, err
}

// close ends all that was started.
func (r *ring) close() (err error) {
	if r.program != nil {
		err = errors.Join(err, r.program.Close())
	}
	if r.admin != nil {
		err = errors.Join(err, r.admin.Close())
	}
	if r.server != nil {
		err = errors.Join(err, r.server.Stop())
	}
	return err
}

// fill makes the log that is read.
func (r *ring) fill(ctx context.Context) error {
	if _, err := r.admin.CreateLog(ctx, filled); err != nil {
		return err
	}
	producer, err := r.admin.NewProducer(ctx, proglog.InLog(filled))
	if err != nil {
		return err
	}
	value := peer.NewBatch(0, 1, r.contest.ValueBytes).Raw
	for range r.contest.most() {
		if _, err := producer.Send(ctx, proglog.Record{Value: value}); err != nil {
			return errors.Join(err, producer.Close(ctx))
		}
	}
	return producer.Close(ctx)
}

// ask lets a client do its job with so many records, and audits what it says. What is
// written goes to a log of its own.
func (r *ring) ask(ctx context.Context, client string, n int) (talk.Answer, error) {
	ask := talk.Ask{
		Client: client, Address: r.server.Address(), Log: filled, Path: r.contest.Path,
		Value: r.contest.ValueBytes, Count: n, Callers: r.contest.Callers,
	}
	if !r.contest.reads() {
		r.logs++
		ask.Log = fmt.Sprintf("run-%d", r.logs)
		if _, err := r.admin.CreateLog(ctx, ask.Log); err != nil {
			return talk.Answer{}, err
		}
	}
	answer, err := r.program.Ask(ask)
	if err == nil && !r.contest.reads() {
		err = r.audit(ctx, ask)
	}
	if err != nil {
		return answer, fmt.Errorf("%s %s: %w", r.contest.Language.Name, client, err)
	}
	return answer, nil
}

// audit looks whether what a client says was acked is there, and deletes the log.
func (r *ring) audit(ctx context.Context, ask talk.Ask) error {
	info, err := r.admin.DescribeLog(ctx, ask.Log)
	if err != nil {
		return err
	}
	if info.NextOffset < uint64(ask.Count) {
		return fmt.Errorf("%w: the log has %d records, %d were acked", measure.ErrLost, info.NextOffset, ask.Count)
	}
	for _, offset := range []uint64{0, uint64(ask.Count) - 1} {
		record, err := r.admin.Consume(ctx, offset, proglog.InLog(ask.Log))
		if err != nil {
			return err
		}
		if len(record.Value) != ask.Value {
			return fmt.Errorf("%w: record %d has %d bytes, not %d", measure.ErrLost, offset, len(record.Value), ask.Value)
		}
	}
	return r.admin.DeleteLog(ctx, ask.Log)
}
