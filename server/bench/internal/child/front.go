package child

import (
	"context"
	"errors"
	"io"
	"sync"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// front is log.v1 as a plain server has it, whatever carries its messages.
type front struct{ store store }

func (f front) produce(ctx context.Context, r *logv1.ProduceRequest) (*logv1.ProduceResponse, error) {
	answers, err := f.store.append(ctx, []*logv1.ProduceRequest{r})
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// errNotThere reports an offset without a record.
var errNotThere = errors.New("there is no such record")

func (f front) consume(ctx context.Context, r *logv1.ConsumeRequest) (*logv1.ConsumeResponse, error) {
	if r.GetOffset() >= f.store.next() {
		return nil, errNotThere
	}
	messages, err := f.store.read(ctx, r.GetOffset())
	if err != nil {
		return nil, err
	}
	return messages[0], nil
}

func (f front) getLog() *logv1.GetLogResponse {
	return &logv1.GetLogResponse{Info: &logv1.LogInfo{NextOffset: f.store.next()}}
}

// consumeStream sends one record to a message, and follows the log.
func (f front) consumeStream(ctx context.Context, r *logv1.ConsumeRequest, send func(*logv1.ConsumeResponse) error) error {
	for at := r.GetOffset(); ; {
		if at >= f.store.next() {
			if err := f.store.wait(ctx, at); err != nil {
				return err
			}
		}
		messages, err := f.store.read(ctx, at)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if err := send(m); err != nil {
				return err
			}
		}
		at += uint64(len(messages))
	}
}

// queueLength is how many requests of a stream wait for those before them to be
// durable: more than any client of the bench has in flight.
const queueLength = 8192

// produceStream appends all that has come while the append before it ran, so that
// requests share syncs.
func (f front) produceStream(ctx context.Context, receive func() (*logv1.ProduceRequest, error), send func(*logv1.ProduceResponse) error) error {
	queue := make(chan *logv1.ProduceRequest, queueLength)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	var received error
	wg.Go(func() {
		defer close(queue)
		for {
			r, err := receive()
			if err != nil {
				received = err
				return
			}
			select {
			case queue <- r:
			case <-ctx.Done():
				received = ctx.Err()
				return
			}
		}
	})
	for first := range queue {
		group := []*logv1.ProduceRequest{first}
		for n := len(queue); n > 0; n-- {
			group = append(group, <-queue)
		}
		answers, err := f.store.append(ctx, group)
		if err != nil {
			cancel()
			return err
		}
		for _, a := range answers {
			if err := send(a); err != nil {
				cancel()
				return err
			}
		}
	}
	if errors.Is(received, io.EOF) {
		return nil
	}
	return received
}
