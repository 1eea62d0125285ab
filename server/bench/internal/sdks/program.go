package sdks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/proglog/proglog/server/bench/internal/process"
	"github.com/proglog/proglog/server/bench/internal/talk"
)

// Limits of a program's answers.
const (
	readyLimit = 60 * time.Second
	runLimit   = 2 * time.Minute
)

// A Program is that of a language, at work.
type Program struct {
	Ready  talk.Ready
	name   string
	dialog *process.Dialog
}

// StartProgram starts a language's program and hears what it is. It ends with the
// context, and with Close.
func StartProgram(ctx context.Context, name string, cmd *exec.Cmd) (*Program, error) {
	d, err := process.StartDialog(ctx, cmd)
	if err != nil {
		return nil, err
	}
	p := &Program{name: name, dialog: d}
	line, err := d.Hear(readyLimit)
	if err != nil {
		return nil, fmt.Errorf("the program for %s: %w", name, err)
	}
	err = json.Unmarshal(line, &p.Ready)
	if err == nil && !p.Ready.Ready {
		err = errors.New("it does not say that it is ready")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the program for %s began with %q: %w", name, line, err), p.Close())
	}
	return p, nil
}

// Ask asks for a run. An answer that cannot be is an error.
func (p *Program) Ask(ask talk.Ask) (answer talk.Answer, err error) {
	line, err := json.Marshal(ask)
	if err != nil {
		return answer, err
	}
	if err := p.dialog.Say(line); err != nil {
		return answer, err
	}
	if line, err = p.dialog.Hear(runLimit); err != nil {
		return answer, err
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return answer, fmt.Errorf("it answered %q: %w", line, err)
	}
	switch {
	case answer.Error != "":
		return answer, errors.New(answer.Error)
	case answer.Records != ask.Count:
		return answer, fmt.Errorf("it was asked for %d records and says that it was %d", ask.Count, answer.Records)
	case answer.Seconds <= 0 || answer.CPU < 0:
		return answer, fmt.Errorf("it says that it took %v s, and %v s of the processor", answer.Seconds, answer.CPU)
	}
	return answer, nil
}

// Versions says what it is made of.
func (p *Program) Versions() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.Ready.Versions)) {
		all = append(all, name+" "+p.Ready.Versions[name])
	}
	return strings.Join(all, ", ")
}

// Close ends the program.
func (p *Program) Close() error { return p.dialog.Close() }
