package wire

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/process"
)

// Following is what many followers cost a server that has nothing to send them.
type Following struct {
	Name      string
	Followers int
	// Bytes is what a follower takes of the server's memory, from outside: what
	// resident memory of its own it has more than without followers. Rested is the
	// same after a rest in which the runtime has collected what attaching them left
	// behind, and given it back; 0: not measured.
	Bytes, Rested float64
	// Idle is the share of one processor that the server uses while it rests.
	Idle float64
	// Reach is the time from the beginning of a produce until the last follower
	// has its record.
	Reach []time.Duration
	// Unavailable is why there are no figures.
	Unavailable string
}

// streamsPerConnection is how many followers share a connection.
const streamsPerConnection = 500

// Servers that can be followed.
const (
	FollowProglog = NameProglog
	FollowGRPC    = NameGRPCMemory
)

// MeasureFollowing attaches followers to a server in a fresh directory, watches it
// for a while, lets it rest, and appends a record in each round.
func MeasureFollowing(ctx context.Context, dir, server, bin string, followers, rounds int, watch, rest time.Duration) (f Following, err error) {
	f = Following{Name: server, Followers: followers}
	load := peer.Load{Logs: 1, Writers: 1, Batch: 1, ValueBytes: 100}
	var subject peer.Subject
	if server == FollowProglog {
		subject, err = Proglog{Bin: bin}.Open(dir, load)
	} else {
		subject, err = Front{Store: child.Memory}.Open(filepath.Join(dir, "front"), load)
	}
	if err != nil {
		return f, err
	}
	defer func() {
		if closeErr := subject.Close(); err == nil {
			err = closeErr
		}
	}()
	// No deadline: followers have none, and it would travel.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(watch+rest+time.Duration(rounds+4)*callLimit, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	return f, f.measure(ctx, subject.(*grpcSubject), rounds, watch, rest)
}

func (f *Following) measure(ctx context.Context, s *grpcSubject, rounds int, watch, rest time.Duration) error {
	batch := peer.NewBatch(0, 1, 100)
	w := s.Writer(0, batch)
	if _, err := w.Append(0); err != nil { // the first costs more
		return err
	}
	before, _, err := s.process.Memory()
	if err != nil {
		return err
	}
	arrived := make(chan error, f.Followers)
	for at := 0; at < f.Followers; at += streamsPerConnection {
		conn, err := dial(s.process.Ready)
		if err != nil {
			return err
		}
		defer conn.Close()
		for range min(streamsPerConnection, f.Followers-at) {
			if err := follow(ctx, conn, arrived); err != nil {
				return err
			}
		}
	}
	// The record that is there already tells that a follower is attached.
	if err := f.await(ctx, arrived); err != nil {
		return err
	}
	if f.Idle, f.Bytes, err = f.watch(ctx, s.process, before, watch); err != nil {
		return err
	}
	if rest > 0 {
		if f.Idle, f.Rested, err = f.watch(ctx, s.process, before, rest); err != nil {
			return err
		}
	}
	for range rounds {
		began := time.Now()
		if _, err := w.Append(0); err != nil {
			return err
		}
		if err := f.await(ctx, arrived); err != nil {
			return err
		}
		f.Reach = append(f.Reach, time.Since(began))
	}
	return nil
}

// follow attaches a follower, which tells of each record that arrives.
func follow(ctx context.Context, conn *grpc.ClientConn, arrived chan<- error) error {
	raw, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, methodConsumeStream)
	if err != nil {
		return err
	}
	stream := &grpc.GenericClientStream[logv1.ConsumeRequest, logv1.ConsumeResponse]{ClientStream: raw}
	if err := stream.SendMsg(&logv1.ConsumeRequest{}); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	go func() {
		for next := uint64(0); ; next++ {
			m, err := stream.Recv()
			if err == nil && m.GetRecord().GetOffset() != next {
				err = fmt.Errorf("a follower got offset %d instead of %d", m.GetRecord().GetOffset(), next)
			}
			select {
			case arrived <- err:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return nil
}

// await waits until each follower has got a record.
func (f *Following) await(ctx context.Context, arrived <-chan error) error {
	for n := range f.Followers {
		select {
		case err := <-arrived:
			if err != nil {
				return fmt.Errorf("a follower failed: %w", err)
			}
		case <-ctx.Done():
			return fmt.Errorf("%d of %d followers got their record: %w", n, f.Followers, ctx.Err())
		}
	}
	return nil
}

// watch measures the server while nothing happens: the share of a processor that it
// uses, and the bytes that it has for each follower then. The time to watch is part
// of the measurement: there is nothing to wait for.
func (f *Following) watch(ctx context.Context, p *process.Process, before int64, watch time.Duration) (idle, bytes float64, err error) {
	began := time.Now()
	first, err := p.CPU()
	if err != nil {
		return 0, 0, err
	}
	timer := time.NewTimer(watch)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	last, err := p.CPU()
	if err != nil {
		return 0, 0, err
	}
	idle = float64(last-first) / float64(time.Since(began))
	after, _, err := p.Memory()
	return idle, float64(after-before) / float64(f.Followers), err
}
