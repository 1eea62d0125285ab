package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"

	proglog "github.com/proglog/proglog/sdk/go"
)

// newClient makes a client and keeps it under its name.
func (a *adapter) newClient(c *command) error {
	retry := proglog.DefaultRetry()
	if c.Attempts > 0 {
		retry.Attempts = c.Attempts
	}
	if c.MinDelayMS > 0 {
		retry.MinDelay = c.MinDelayMS.duration()
	}
	if c.MaxDelayMS > 0 {
		retry.MaxDelay = c.MaxDelayMS.duration()
	}
	retry.MinDelay = min(retry.MinDelay, retry.MaxDelay)
	opts := a.wrong.client(retry)
	if c.Trace {
		opts = append(opts, proglog.WithRoundTripper(a.trace(c.Client)))
	}
	if c.UserAgent != "" {
		opts = append(opts, proglog.WithUserAgent(c.UserAgent))
	}
	for name, value := range c.Headers {
		opts = append(opts, proglog.WithHeader(name, value))
	}
	if source := a.wrong.token(c); source != nil {
		opts = append(opts, proglog.WithToken(source))
	}
	if c.CA != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(c.CA)) {
			return &refusedOption{errors.New("ca holds no certificate")}
		}
		opts = append(opts, proglog.WithTLSConfig(&tls.Config{RootCAs: roots, InsecureSkipVerify: a.wrong.way == ignoresCA}))
	}
	client, err := proglog.New(c.Addr, opts...)
	if err != nil {
		return &refusedOption{err}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clients[c.Client] = client
	return nil
}

func (a *adapter) client(c *command) (*proglog.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	client, ok := a.clients[c.Client]
	if !ok {
		return nil, misuse("there is no client %q for %q", c.Client, c.Op)
	}
	return client, nil
}

// produce appends records by a single call.
func (a *adapter) produce(ctx context.Context, client *proglog.Client, c *command) (any, error) {
	opts := []proglog.ProduceOption{proglog.InLog(c.Log)}
	if c.ExpectedOffset != nil {
		opts = append(opts, proglog.ExpectOffset(uint64(*c.ExpectedOffset)))
	}
	if key := c.Producer.key; key != nil {
		opts = append(opts, proglog.Sequence(key.ID, uint64(key.Epoch), uint64(key.Sequence)))
	}
	if c.Reuse {
		return a.produceReusing(ctx, client, c, opts)
	}
	records := make([]proglog.Record, 0, len(c.Records))
	for i := range c.Records {
		records = append(records, a.wrong.record(c.Records[i].record()))
	}
	ack, err := a.wrong.produce(ctx, func() (proglog.Ack, error) {
		if c.Single && len(records) == 1 {
			return client.Produce(ctx, records[0], opts...)
		}
		return client.ProduceBatch(ctx, records, opts...)
	})
	if err != nil {
		return nil, err
	}
	return tellAck(ack), nil
}

// produceReusing produces one record after another from the same bytes.
func (a *adapter) produceReusing(ctx context.Context, client *proglog.Client, c *command, opts []proglog.ProduceOption) (any, error) {
	acks := make([]any, 0, len(c.Records))
	var buffer []byte
	for i := range c.Records {
		buffer = append(buffer[:0], c.Records[i].Value...)
		ack, err := client.Produce(ctx, proglog.Record{Value: buffer}, opts...)
		if err != nil {
			return nil, err
		}
		acks = append(acks, tellAck(ack))
	}
	return map[string]any{"acks": acks}, nil
}

// newProducer makes a producer and keeps it under its name. It outlives the
// command.
func (a *adapter) newProducer(client *proglog.Client, c *command) error {
	a.wrong.producer(c)
	opts := []proglog.ProducerOption{proglog.InLog(c.Log), proglog.Linger(c.LingerMS.duration())}
	if c.MaxBatchRecords > 0 || c.MaxBatchBytes > 0 {
		opts = append(opts, proglog.MaxBatch(
			or(c.MaxBatchRecords, proglog.DefaultBatchRecords), or(c.MaxBatchBytes, proglog.DefaultBatchBytes)))
	}
	if c.MaxInFlightBatches > 0 || c.MaxInFlightBytes > 0 {
		opts = append(opts, proglog.MaxInFlight(
			or(c.MaxInFlightBatches, proglog.DefaultInFlightBatches), or(c.MaxInFlightBytes, proglog.DefaultInFlightBytes)))
	}
	if c.GiveUpAfterMS != nil {
		opts = append(opts, proglog.GiveUpAfter(c.GiveUpAfterMS.duration()))
	}
	if c.Identity != "" {
		opts = append(opts, proglog.Identity(c.Identity, uint64(c.Epoch)))
	}
	producer, err := client.NewProducer(context.Background(), opts...)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.producers[c.Producer.name] = producer
	return nil
}

func or(n number, otherwise int) int {
	if n > 0 {
		return int(n)
	}
	return otherwise
}

func (a *adapter) producer(c *command) (*proglog.Producer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	producer, ok := a.producers[c.Producer.name]
	if !ok {
		return nil, misuse("there is no producer %q for %q", c.Producer.name, c.Op)
	}
	return producer, nil
}

// send hands records to a producer, one after another, and waits for all of them.
func (a *adapter) send(ctx context.Context, c *command) (any, error) {
	producer, err := a.producer(c)
	if err != nil {
		return nil, err
	}
	futures := make([]proglog.Future, len(c.Records))
	refused := make([]error, len(c.Records))
	var buffer []byte
	for i := range c.Records {
		if c.Reuse && a.wrong.way == reusesBytes {
			c.Records[i] = c.Records[len(c.Records)-1] // what stands there when it is sent
		}
		record := a.wrong.record(c.Records[i].record())
		if c.Reuse {
			buffer = append(buffer[:0], record.Value...)
			record.Value = buffer
		}
		futures[i], refused[i] = producer.Send(ctx, record)
	}
	if c.NoWait {
		return nil, errorsOf(refused...)
	}
	acks := make([]any, 0, len(c.Records))
	for i, future := range futures {
		err := refused[i]
		var ack proglog.Ack
		if err == nil {
			ack, err = future.Wait(ctx)
		}
		if err != nil {
			acks = append(acks, map[string]any{"error": a.wrong.error(wireError(err))})
			continue
		}
		acks = append(acks, tellAck(ack))
	}
	return map[string]any{"acks": a.wrong.acks(acks)}, nil
}

func (a *adapter) flush(ctx context.Context, c *command) error {
	producer, err := a.producer(c)
	if err != nil {
		return err
	}
	return producer.Flush(ctx)
}

func (a *adapter) closeProducer(ctx context.Context, c *command) error {
	producer, err := a.producer(c)
	if err != nil {
		return err
	}
	if c.TimeoutMS > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.TimeoutMS.duration())
		defer cancel()
	}
	return producer.Close(ctx)
}

// abortProducer ends a producer as Go does: nobody waits for its close.
func (a *adapter) abortProducer(c *command) error {
	producer, err := a.producer(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = producer.Close(ctx)
	return nil
}
