package suite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Run is one case with one adapter, or two.
type Run struct {
	Case *Case
	// Bin is the server's binary.
	Bin string
	// A is the adapter, B the second one of a pair.
	A, B *AdapterSpec
	// Dir is an empty directory for the case alone.
	Dir string
	// Env is added to the environment of the adapters.
	Env []string

	script   *transcript
	server   *Server
	proxy    *Proxy
	recorder *recorder
	fronts   *fronts
	adapters map[string]*Adapter
	running  map[string]*Command
	by       map[string]*Adapter // which adapter runs a command
	vars     map[string]any
}

// Do runs the case. An error says what was wrong, with the transcript.
func (r *Run) Do(ctx context.Context) error {
	limit := caseLimit
	if r.Case.DeadlineMS > 0 {
		limit = time.Duration(r.Case.DeadlineMS) * time.Millisecond
	}
	r.script = newTranscript()
	r.adapters, r.running, r.by = map[string]*Adapter{}, map[string]*Command{}, map[string]*Adapter{}
	r.vars = map[string]any{}
	maps.Copy(r.vars, r.Case.vars)

	// The time that programs take to start is not the case's.
	start, started := context.WithTimeout(ctx, startLimit)
	err := r.begin(start)
	started()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i := 0; err == nil && i < len(r.Case.Steps); i++ {
		if err = r.step(ctx, &r.Case.Steps[i]); err != nil {
			err = fmt.Errorf("step %d, %s: %w", i+1, describe(&r.Case.Steps[i]), err)
		}
	}
	if err == nil {
		err = r.leftovers()
	}
	err = errors.Join(err, r.end())
	if err == nil {
		return nil
	}
	log := r.script.String()
	if r.server != nil {
		log += "\n--- the server's log\n" + tail(r.server.Log(), 4000)
	}
	return fmt.Errorf("%w\n--- why this matters: %s\n--- what happened\n%s", err, r.Case.Why, log)
}

// tail is the end of a text.
func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}

func describe(s *Step) string {
	kind, value, _ := s.kind()
	return kind + " " + value
}

// begin starts server, proxy and adapters, and makes the client "c".
func (r *Run) begin(ctx context.Context) (err error) {
	dir := filepath.Join(r.Dir, "server")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if r.server, err = NewServer(r.Bin, dir, r.Case.Server); err != nil {
		return err
	}
	if r.proxy, err = NewProxy(r.server.Addr); err != nil {
		return err
	}
	if r.recorder, err = newRecorder(r.server.Addr); err != nil {
		return err
	}
	r.fronts = newFronts(r.proxy.Addr, "http://"+r.recorder.addr)
	r.vars["addr"], r.vars["recorder"] = "http://"+r.proxy.Addr, "http://"+r.recorder.addr
	if err := r.adapter(ctx, "a", r.A); err != nil || r.B == nil {
		return err
	}
	return r.adapter(ctx, "b", r.B)
}

// adapter starts an adapter and gives it a client that tries often and soon: what
// it does matters here, not how long it rests.
func (r *Run) adapter(ctx context.Context, name string, spec *AdapterSpec) error {
	a, err := StartAdapter(spec, r.script, name, r.Env...)
	if err != nil {
		return err
	}
	r.adapters[name] = a
	client := map[string]any{
		"client": "c", "addr": "$addr", "attempts": 40, "min_delay_ms": 20, "max_delay_ms": 200,
	}
	maps.Copy(client, r.Case.Client)
	_, err = r.call(ctx, a, "client", client)
	return err
}

// give completes the arguments of a command and gives it.
func (r *Run) give(a *Adapter, op string, with any) (*Command, error) {
	args := map[string]any{}
	filled, _ := r.fill(with).(map[string]any)
	for name, value := range filled {
		if name == "records" {
			records, err := parseRecords(value)
			if err != nil {
				return nil, err
			}
			value = wire(records)
		}
		if key, ok := value.(map[string]any); ok && name == "producer" {
			value = map[string]any{"id": key["id"], "epoch": plain(key["epoch"]), "sequence": plain(key["sequence"])}
		}
		if big64(name) {
			value = plain(value)
		}
		args[name] = value
	}
	if _, named := args["client"]; !named && op != "cancel" {
		args["client"] = "c"
	}
	return a.Start(op, args)
}

// big64 names the arguments that are 64-bit numbers, which travel as strings.
func big64(name string) bool {
	switch name {
	case "offset", "from_tail", "until", "expected_offset", "first", "epoch", "max_bytes":
		return true
	}
	return false
}

// call gives a command that has to succeed.
func (r *Run) call(ctx context.Context, a *Adapter, op string, with any) (any, error) {
	c, err := r.give(a, op, with)
	if err != nil {
		return nil, err
	}
	if err := a.Wait(ctx, c); err != nil {
		return nil, err
	}
	if c.failure != nil {
		return nil, fmt.Errorf("%s failed: %v", op, c.failure)
	}
	return c.answer, nil
}

// judge holds an answer against what the step expects. Without a word of a
// failure, it has to be a success.
func (r *Run) judge(s *Step, answer any, failure map[string]any) error {
	switch {
	case s.Fails != nil && failure == nil:
		return fmt.Errorf("it succeeded with %v, and should have failed with %v", brief(answer), s.Fails)
	case s.Fails != nil:
		return match("the error", r.fill(s.Fails), any(failure))
	case failure != nil:
		return fmt.Errorf("it failed: %v", failure)
	case s.Gives != nil:
		if err := match("the answer", r.fill(s.Gives), answer); err != nil {
			return err
		}
	}
	return r.save(s, answer)
}

func (r *Run) save(s *Step, answer any) error {
	for name, path := range s.Save {
		value, err := find(answer, path)
		if err != nil {
			return err
		}
		r.vars[name] = value
	}
	return nil
}

// behind calls the server past the SDK.
func (r *Run) behind(ctx context.Context, s *Step) error {
	with := map[string]any{}
	filled, _ := r.fill(s.With).(map[string]any)
	for name, value := range filled {
		if name == "records" {
			records, err := parseRecords(value)
			if err != nil {
				return err
			}
			value = wire(records)
		}
		with[name] = value
	}
	answer, err := r.server.Call(ctx, s.Behind, with)
	r.script.add("behind", fmt.Appendf(nil, "%s %v: %v %v", s.Behind, brief(with), brief(answer), err))
	if err != nil {
		return err
	}
	if s.Gives != nil {
		if err := match("the answer", r.fill(s.Gives), any(answer)); err != nil {
			return err
		}
	}
	return r.save(s, answer)
}

// fill replaces variables: texts that are "$" and a name.
func (r *Run) fill(written any) any {
	switch w := written.(type) {
	case string:
		if name, ok := strings.CutPrefix(w, "$"); ok {
			if value, ok := r.vars[name]; ok {
				return r.fill(value)
			}
			if value, ok, err := r.fronts.value(name); ok {
				if err != nil {
					return fmt.Sprintf("%s: %v", written, err)
				}
				return value
			}
		}
	case map[string]any:
		filled := make(map[string]any, len(w))
		for name, value := range w {
			filled[name] = r.fill(value)
		}
		return filled
	case []any:
		filled := make([]any, len(w))
		for i := range w {
			filled[i] = r.fill(w[i])
		}
		return filled
	}
	return written
}

// leftovers is an error if a read that still runs delivered more than the case
// saw: a repeat, most likely.
func (r *Run) leftovers() error {
	var err error
	for _, c := range r.running {
		err = errors.Join(err, c.unseen())
	}
	return err
}

// end stops everything. Adapters go first: they have to end by themselves.
func (r *Run) end() error {
	var err error
	if r.proxy != nil {
		r.script.add("runner", []byte("ends the adapters' input"))
	}
	for _, a := range r.adapters {
		err = errors.Join(err, a.Close())
	}
	if r.fronts != nil {
		r.fronts.close()
	}
	if r.proxy != nil {
		r.proxy.Close()
	}
	if r.recorder != nil {
		r.recorder.close()
	}
	if r.server != nil {
		r.server.Close()
	}
	return err
}
