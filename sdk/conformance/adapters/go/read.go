package main

import (
	"context"

	proglog "github.com/proglog/proglog/sdk/go"
)

// consume reads one record.
func consume(ctx context.Context, client *proglog.Client, c *command) (any, error) {
	if c.Offset == nil {
		return nil, misuse("consume needs an offset")
	}
	opts := []proglog.ConsumeOption{proglog.InLog(c.Log), proglog.Wait(c.WaitMS.duration())}
	if c.LogID != "" {
		opts = append(opts, proglog.OnlyLog(c.LogID))
	}
	record, err := client.Consume(ctx, uint64(*c.Offset), opts...)
	if err != nil {
		return nil, err
	}
	return map[string]any{"record": tellRecord(&record)}, nil
}

// consumeBatch reads the records of one response.
func consumeBatch(ctx context.Context, client *proglog.Client, c *command) (any, error) {
	opts := c.readOptions()
	if c.MaxRecords > 0 {
		opts = append(opts, proglog.BatchRecords(uint32(c.MaxRecords)))
	}
	batch, err := client.ConsumeBatch(ctx, append(opts, proglog.Wait(c.WaitMS.duration()))...)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"records": tellRecords(batch.Records), "tail": batch.Tail}
	if batch.Tail {
		answer["next_offset"] = number(batch.NextOffset)
	}
	return answer, nil
}

// readOptions are those that every kind of read has.
func (c *command) readOptions() []proglog.ReadOption {
	opts := []proglog.ReadOption{proglog.InLog(c.Log)}
	switch {
	case c.Offset != nil:
		opts = append(opts, proglog.From(uint64(*c.Offset)))
	case c.FromTime != nil:
		opts = append(opts, proglog.FromTime(*c.FromTime))
	case c.FromTail != nil:
		opts = append(opts, proglog.FromEnd(uint64(*c.FromTail)))
	}
	if c.LogID != "" {
		opts = append(opts, proglog.OnlyLog(c.LogID))
	}
	if c.Until != nil {
		opts = append(opts, proglog.Until(uint64(*c.Until)))
	}
	return opts
}

// read iterates over a log and tells every record.
func (a *adapter) read(ctx context.Context, client *proglog.Client, c *command) error {
	opts := c.readOptions()
	if c.HeartbeatMS != nil {
		opts = append(opts, proglog.Heartbeat(c.HeartbeatMS.duration()))
	}
	if c.BatchRecords > 0 {
		opts = append(opts, proglog.BatchRecords(uint32(c.BatchRecords)))
	}
	records := client.Records
	if c.Follow {
		records = client.Follow
	}
	return a.wrong.read(ctx, records, opts, func(r *proglog.Record) {
		a.say(map[string]any{"id": c.ID, "event": map[string]any{"record": tellRecord(r)}})
	})
}

// cursorGet reads a cursor's place, and keeps the cursor for a commit.
func (a *adapter) cursorGet(ctx context.Context, client *proglog.Client, c *command) (any, error) {
	cursor := client.Cursor(c.Log, c.Cursor)
	place, err := cursor.Get(ctx)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.wrong.way == namesLogLate && place.LogID == "" {
		cursor = client.Cursor(c.Log, c.Cursor) // one that has not been read
	}
	a.cursors[c.cursorKey()] = cursor
	return map[string]any{"offset": number(place.Offset), "log_id": place.LogID}, nil
}

func (a *adapter) cursorCommit(ctx context.Context, c *command) error {
	a.mu.Lock()
	cursor, ok := a.cursors[c.cursorKey()]
	a.mu.Unlock()
	if !ok || c.Offset == nil {
		return misuse("cursor_commit needs an offset, and a cursor_get before it")
	}
	if a.wrong.way == forgetsCursor {
		return nil
	}
	cursor.Set(uint64(*c.Offset))
	return cursor.Commit(ctx)
}

func (c *command) cursorKey() string { return c.Client + " " + c.Log + " " + c.Cursor }
