package suite

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// step does one step.
func (r *Run) step(ctx context.Context, s *Step) error {
	kind, value, err := s.kind()
	if err != nil {
		return err
	}
	value = fmt.Sprint(r.fill(value))
	switch kind {
	case "call", "start":
		return r.command(ctx, s)
	case "behind":
		return r.behind(ctx, s)
	case "proxy":
		r.script.add("proxy", []byte(value))
		return r.proxy.Do(ctx, value, int64(asUint(r.fill(s.N))), s.Times)
	case "server":
		r.script.add("server", []byte(value))
		return r.server.Do(value)
	case "reached":
		return r.server.Reached(ctx, logName(value), asUint(r.fill(s.At)))
	case "holds":
		records, err := parseRecords(r.fill(s.Records))
		if err != nil {
			return err
		}
		if s.AnyOrder {
			return r.server.HoldsInAnyOrder(ctx, logName(value), asUint(r.fill(s.From)), records)
		}
		return r.server.Holds(ctx, logName(value), asUint(r.fill(s.From)), records)
	case "at_most":
		return r.server.AtMost(ctx, logName(value), asUint(r.fill(s.N)))
	case "gone":
		return r.server.Gone(ctx, logName(value))
	case "called":
		return r.recorder.called(ctx, value, asUint(r.fill(s.N)))
	case "backoff":
		b := s.Backoff
		ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
		return r.fronts.backoff(b.Calls, b.Attempts, ms(b.MinMS), ms(b.MaxMS))
	case "asked":
		return match("the request's headers", r.fill(s.Asked), r.recorder.last())
	}
	c, ok := r.running[value]
	if !ok {
		return fmt.Errorf("nothing was started as %q", value)
	}
	switch kind {
	case "runs":
		return c.Runs()
	case "cancel":
		_, err := r.call(ctx, r.by[value], "cancel", map[string]any{"target": c.ID})
		return err
	case "sees":
		records, err := parseRecords(r.fill(s.Records))
		if err != nil {
			return err
		}
		return c.Sees(ctx, asUint(r.fill(s.From)), records)
	default: // ends
		if s.Prefix != nil {
			return r.endsWithin(ctx, s, c)
		}
		if err := r.by[value].WaitAlone(ctx, c); err != nil {
			return err
		}
		delete(r.running, value)
		return r.judge(s, c.answer, c.failure)
	}
}

// endsWithin waits for the end of a read that delivers some of the records.
func (r *Run) endsWithin(ctx context.Context, s *Step, c *Command) error {
	records, err := parseRecords(r.fill(s.Prefix))
	if err != nil {
		return err
	}
	if err := r.by[s.Ends].Wait(ctx, c); err != nil {
		return err
	}
	if err := c.SawPrefix(asUint(r.fill(s.From)), records); err != nil {
		return err
	}
	delete(r.running, s.Ends)
	return r.judge(s, c.answer, c.failure)
}

// logName is the name of a log in a step.
func logName(written string) string {
	if written == "default" {
		return ""
	}
	return written
}

// command gives a command to an adapter.
func (r *Run) command(ctx context.Context, s *Step) error {
	name := s.By
	if name == "" {
		name = "a"
	}
	a := r.adapters[name]
	if a == nil {
		return fmt.Errorf("there is no adapter %q", name)
	}
	c, err := r.give(a, fmt.Sprint(r.fill(s.Call+s.Start)), s.With)
	if err != nil {
		return err
	}
	if s.Start != "" {
		r.running[s.As], r.by[s.As] = c, a
		return nil
	}
	if err := a.Wait(ctx, c); err != nil {
		return err
	}
	if s.Call == "read" && s.Records != nil {
		records, err := parseRecords(r.fill(s.Records))
		if err != nil {
			return err
		}
		if err := c.Sees(ctx, asUint(r.fill(s.From)), records); err != nil {
			return err
		}
	}
	return errors.Join(c.unseen(), r.judge(s, c.answer, c.failure))
}
