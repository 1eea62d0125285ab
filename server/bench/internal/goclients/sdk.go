package goclients

import (
	"context"
	"errors"
	"fmt"

	proglog "github.com/proglog/proglog/sdk/go"

	"github.com/proglog/proglog/server/bench/internal/talk"
)

// sdk is our client with its defaults.
type sdk struct {
	c   *proglog.Client
	log proglog.LogOption
	ask talk.Ask
}

func newSDK(ask talk.Ask) (client, error) {
	c, err := proglog.New(ask.Address)
	if err != nil {
		return nil, err
	}
	return &sdk{c: c, log: proglog.InLog(ask.Log), ask: ask}, nil
}

func (s *sdk) warm(ctx context.Context) error {
	_, err := s.c.DescribeLog(ctx, s.ask.Log)
	return err
}

func (s *sdk) produce(ctx context.Context, value []byte) error {
	_, err := s.c.Produce(ctx, proglog.Record{Value: value}, s.log)
	return err
}

func (s *sdk) pipeline(ctx context.Context, value []byte, n int) error {
	p, err := s.c.NewProducer(ctx, s.log)
	if err != nil {
		return err
	}
	for range n {
		if _, err := p.Send(ctx, proglog.Record{Value: value}); err != nil {
			return errors.Join(err, p.Close(ctx))
		}
	}
	if err := p.Close(ctx); err != nil {
		return err
	}
	if acked := p.Outcome().Acked; acked != uint64(n) {
		return fmt.Errorf("%d acks came, not %d", acked, n)
	}
	return nil
}

func (s *sdk) consume(ctx context.Context, offset uint64) ([]byte, error) {
	r, err := s.c.Consume(ctx, offset, s.log)
	return r.Value, err
}

func (s *sdk) follow(ctx context.Context, each func([]byte) bool) error {
	for r, err := range s.c.Follow(ctx, s.log, proglog.From(0)) {
		if err != nil {
			return err
		}
		if !each(r.Value) {
			return nil
		}
	}
	return nil
}

func (s *sdk) close() error { return s.c.Close() }
