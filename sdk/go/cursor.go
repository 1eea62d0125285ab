package proglog

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// cursorBytes is what the log of a cursor keeps: some hundred places.
const cursorBytes = 64 << 10

// Cursor is a reader's place in a log, kept on the server: in a tiny log of its
// own, whose last record is the place. It is safe for concurrent use.
//
//	cursor := client.Cursor("orders", "billing")
//	place, err := cursor.Get(ctx)
//	for record, err := range client.Follow(ctx, proglog.InLog("orders"), place.Start()) {
//		// … handle it, then
//		cursor.Set(record.Offset + 1)
//		err = cursor.Commit(ctx) // now and then
//	}
//
// Two readers that use one cursor do not overwrite each other: the one whose
// place is out of date gets [ReasonOffsetMismatch] from Commit, every time, until it
// has read the other's place with Get, or begun anew with Restart.
type Cursor struct {
	c         *Client
	log, name string
	writer    string // tells this cursor's records from those of others

	mu     sync.Mutex
	loaded bool
	at     uint64 // the next offset of the cursor's log
	place  Place
	dirty  bool   // place was set since it was stored
	stale  error  // somebody else has moved it since it was loaded
	untold []byte // what was sent to be stored at at, and nobody told whether it is
	begun  string // the log that is to be read, as it was when nothing was stored yet; empty: not known
}

// Place is where a reader goes on.
type Place struct {
	LogID  string // of the log that is read; empty: nothing was stored yet
	Offset uint64 // of the record to read next
}

// Start is the option of a read that goes on at the place: at the first record of
// the log if nothing was stored. It holds the read to the log that was read
// before; see [OnlyLog]. What was read was durable: a log that ends before the
// place is an older state of it, and the read fails with [ReasonLogChanged].
func (p Place) Start() ReadOption {
	return readOption(func(c *readConfig) {
		if p.LogID != "" {
			c.logID, c.start, c.offset, c.reached = p.LogID, startOffset, p.Offset, true
		}
	})
}

// storedPlace is a place as a record: JSON, so that people can read it.
type storedPlace struct {
	LogID  string `json:"log_id"`
	Offset uint64 `json:"offset,string"`
	Writer string `json:"writer"`
}

// Cursor returns the cursor of that name on a log. Nothing is sent.
func (c *Client) Cursor(log, name string) *Cursor {
	return &Cursor{c: c, log: log, name: CursorLog(log, name), writer: rand.Text()}
}

// CursorLog returns the name of the log that holds a cursor: "<log>.cursor/<name>",
// and "cursor/<name>" for one on the default log.
func CursorLog(log, name string) string {
	if log == "" {
		return "cursor/" + name
	}
	return log + ".cursor/" + name
}

// Get returns the place that is stored, and makes the cursor if there is none: its
// place is the first offset of the log. What Commit stores is a place in the log that
// was there at that time, whatever takes its name until then.
func (c *Cursor) Get(ctx context.Context) (Place, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return Place{}, err
	}
	c.dirty, c.begun = false, ""
	if c.place.LogID == "" {
		if id, err := c.describe(ctx); err == nil {
			c.begun = id
		} else if ReasonOf(err) != ReasonLogNotFound {
			return Place{}, err
		}
	}
	return c.place, nil
}

// describe asks for the identity of the log that the cursor is on.
func (c *Cursor) describe(ctx context.Context) (logID string, err error) {
	info, err := c.c.DescribeLog(ctx, c.log)
	if err != nil {
		return "", fmt.Errorf("cursor %q: describe the log it is on: %w", c.name, err)
	}
	return info.ID, nil
}

// Set notes the offset of the record to read next. Commit stores it.
func (c *Cursor) Set(offset uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.place.Offset, c.dirty = offset, true
}

// Restart begins anew with the log that has the name now, at its first record. It
// is for a reader that was told [ReasonLogChanged], and decided to go on with the
// other log. Commit stores it.
func (c *Cursor) Restart(ctx context.Context) (Place, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(ctx); err != nil {
		return Place{}, err
	}
	c.dirty = false
	info, err := c.c.DescribeLog(ctx, c.log)
	if err != nil {
		return Place{}, fmt.Errorf("cursor %q: describe the log it is on: %w", c.name, err)
	}
	c.place, c.dirty = Place{info.ID, info.FirstOffset}, true
	return c.place, nil
}

// Commit stores what was set since the last time. When it returns, a reader that
// begins anew, anywhere, begins there. A cursor that was set without [Cursor.Get]
// stores its place only if none is stored yet; otherwise it is out of date.
func (c *Cursor) Commit(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	value, err := json.Marshal(storedPlace{c.place.LogID, c.place.Offset, c.writer})
	if err != nil {
		return fmt.Errorf("cursor %q: %w", c.name, err)
	}
	err = c.store(ctx, value)
	if ReasonOf(err) == ReasonOffsetMismatch && c.untold != nil && c.stored(ctx, c.untold) {
		c.at, c.untold = c.at+1, nil // by itself, the last time
		err = c.store(ctx, value)
	}
	switch {
	case err == nil:
		c.dirty = false
		return nil
	case ReasonOf(err) == ReasonOffsetMismatch:
		c.stale = fmt.Errorf("cursor %q: somebody else has moved it: %w", c.name, err)
		return c.stale
	}
	return c.explain("store a place in it", "produce to", err)
}

// prepare finds out where to store a place, and of which log it is.
func (c *Cursor) prepare(ctx context.Context) error {
	if !c.loaded && c.stale == nil {
		set := c.place
		if err := c.load(ctx); err != nil {
			return err
		}
		if c.place.LogID != "" {
			e := refused(CodeAborted, ReasonOffsetMismatch, "a place is stored in it that was not read")
			e.NextOffset = c.at
			c.loaded, c.stale = false, fmt.Errorf("cursor %q: %w", c.name, outcome(e))
		}
		c.place = set
	}
	if c.stale != nil {
		return c.stale
	}
	if c.place.LogID == "" {
		c.place.LogID = c.begun
	}
	if c.place.LogID != "" {
		return nil
	}
	id, err := c.describe(ctx)
	c.place.LogID = id
	return err
}

// store appends a place, if nobody else has since the cursor was loaded.
func (c *Cursor) store(ctx context.Context, value []byte) error {
	ack, err := c.c.Produce(ctx, Record{Value: value}, InLog(c.name), ExpectOffset(c.at))
	switch {
	case err == nil:
		c.at, c.untold = ack.NextOffset, nil
	case !errors.Is(err, ErrOutcomeUnknown):
	case c.stored(ctx, value):
		c.at, c.untold = c.at+1, nil
		return nil
	default:
		c.untold = value
	}
	return err
}

// stored looks whether a record of which nobody told is there.
func (c *Cursor) stored(ctx context.Context, value []byte) bool {
	record, err := c.c.Consume(ctx, c.at, InLog(c.name))
	return err == nil && bytes.Equal(record.Value, value)
}

// load reads the last record of the cursor's log, which it makes if there is none.
func (c *Cursor) load(ctx context.Context) error {
	info, err := c.c.DescribeLog(ctx, c.name)
	if ReasonOf(err) == ReasonLogNotFound {
		info, _, err = c.c.PutLog(ctx, c.name, Retain(Retention{MaxBytes: cursorBytes}))
		if err != nil {
			return c.explain("create it", "create", err)
		}
	}
	if err != nil {
		return c.explain("look for it", "describe", err)
	}
	place, at := Place{}, info.NextOffset
	if info.NextOffset > info.FirstOffset {
		batch, err := c.c.ConsumeBatch(ctx, InLog(c.name), FromEnd(1), BatchRecords(1))
		if err != nil {
			return c.explain("read it", "consume", err)
		}
		for _, record := range batch.Records {
			var stored storedPlace
			if err := json.Unmarshal(record.Value, &stored); err != nil {
				return fmt.Errorf("cursor %q: record %d is not a place: %w", c.name, record.Offset, err)
			}
			place, at = Place{stored.LogID, stored.Offset}, record.Offset+1
		}
	}
	c.place, c.at, c.loaded = place, at, true
	c.stale, c.untold = nil, nil
	return nil
}

// explain says what is missing when the server does not let the cursor be.
func (c *Cursor) explain(do, right string, err error) error {
	switch CodeOf(err) {
	case CodePermissionDenied:
		return fmt.Errorf("cursor %q: may not %s: the right to %s the log %q is missing"+
			" (`proglog logs create %s --max-bytes %d` by somebody who has the right to create it does the first part): %w",
			c.name, do, right, c.name, c.name, cursorBytes, err)
	case CodeUnimplemented:
		return fmt.Errorf("cursor %q: cannot %s: the server has no named logs, which a cursor needs: %w", c.name, do, err)
	}
	return fmt.Errorf("cursor %q: cannot %s: %w", c.name, do, err)
}
