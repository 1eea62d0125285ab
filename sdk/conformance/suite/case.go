package suite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// caseLimit is how long a case may take unless it says otherwise.
const caseLimit = 20 * time.Second

// Case is one behaviour that every SDK shows.
type Case struct {
	// Name says what is expected. It is unique within its subject.
	Name string `yaml:"name"`
	// Why says what a user would suffer without it.
	Why string `yaml:"why"`
	// Feature is its row in the parity table; several cases may share one.
	Feature string `yaml:"feature"`
	// Server are flags of serve.
	Server []string `yaml:"server"`
	// Client changes the client "c", which every case has; see the runner's.
	Client map[string]any `yaml:"client"`
	// Needs names operations and features of adapters without which the case
	// cannot be run, beyond the operations that its steps call.
	Needs []string `yaml:"needs"`
	// Pair runs the case with every two adapters, the second of them as "b".
	Pair bool `yaml:"pair"`
	// DeadlineMS bounds the case; 0 is caseLimit.
	DeadlineMS int64 `yaml:"deadline_ms"`
	// Each runs the case once for each of these, which are variables of the steps.
	Each []map[string]any `yaml:"each"`
	// Steps are done one after another.
	Steps []Step `yaml:"steps"`

	// Subject is the name of its file.
	Subject string `yaml:"-"`
	vars    map[string]any
}

// Step is one thing to do. Exactly one of its first fields says which; the others
// are what goes with it.
type Step struct {
	// Call runs a command of the protocol and waits for its answer.
	Call string `yaml:"call"`
	// Start runs one, under the name As, and goes on.
	Start string `yaml:"start"`
	// Sees waits until a read that was started delivered exactly Records, behind
	// those seen before, at contiguous offsets from From on.
	Sees string `yaml:"sees"`
	// Ends waits until a command that was started is answered. With Prefix, the
	// records that a read delivered since are the first ones of these, however many.
	Ends string `yaml:"ends"`
	// Runs checks that a command that was started is not answered yet.
	Runs string `yaml:"runs"`
	// Cancel cancels a command that was started.
	Cancel string `yaml:"cancel"`
	// Behind calls a method of the server directly, as another client would:
	// "Log/Produce" or "Admin/TrimLog", in JSON.
	Behind string `yaml:"behind"`
	// Holds checks, past the SDK, that a log has exactly Records from From on;
	// "default" is the default log.
	Holds string `yaml:"holds"`
	// Reached waits, past the SDK, until a log has the record at offset At.
	Reached string `yaml:"reached"`
	// AtMost checks, past the SDK, that a log has no more than N records.
	AtMost string `yaml:"at_most"`
	// Gone waits, past the SDK, until a log is not there.
	Gone string `yaml:"gone"`
	// Called waits until a method, such as "Log/Consume", was called N times at
	// $recorder; "any" is every method, and 0 times is checked at once.
	Called string `yaml:"called"`
	// Backoff checks the pauses between the tries at $unavailable.
	Backoff *Backoff `yaml:"backoff"`
	// Proxy changes how connections fare; see Proxy.Do.
	Proxy string `yaml:"proxy"`
	// Server does something to the server; see Server.Do.
	Server string `yaml:"server"`
	// Asked checks the HTTP headers of the last request to $recorder.
	Asked map[string]any `yaml:"asked"`

	As      string            `yaml:"as"`
	By      string            `yaml:"by"` // "b": the second adapter of a pair
	With    any               `yaml:"with"`
	Gives   any               `yaml:"gives"`
	Fails   any               `yaml:"fails"`
	Save    map[string]string `yaml:"save"` // variable to path in the answer
	Records any               `yaml:"records"`
	Prefix  any               `yaml:"prefix"`
	From    any               `yaml:"from"`
	At      any               `yaml:"at"`
	N       any               `yaml:"n"`
	Times   int64             `yaml:"times"`
	// AnyOrder goes with Holds: the values stand in whatever order.
	AnyOrder bool `yaml:"any_order"`
}

// Backoff says what calls, one after another, did before $unavailable: how many
// there were, how often each was tried, and the shortest and longest bound of a
// pause.
type Backoff struct {
	Calls    int   `yaml:"calls"`
	Attempts int   `yaml:"attempts"`
	MinMS    int64 `yaml:"min_ms"`
	MaxMS    int64 `yaml:"max_ms"`
}

// kind returns which step it is: the name and the value of its first field.
func (s *Step) kind() (name, value string, err error) {
	asked, backoff := "", ""
	if s.Asked != nil {
		asked = "client"
	}
	if s.Backoff != nil {
		backoff = "calls"
	}
	for _, k := range [][2]string{
		{"call", s.Call}, {"start", s.Start}, {"sees", s.Sees}, {"ends", s.Ends}, {"cancel", s.Cancel},
		{"behind", s.Behind}, {"holds", s.Holds}, {"reached", s.Reached}, {"proxy", s.Proxy},
		{"server", s.Server}, {"asked", asked}, {"backoff", backoff}, {"runs", s.Runs}, {"at_most", s.AtMost},
		{"gone", s.Gone}, {"called", s.Called},
	} {
		if k[1] == "" {
			continue
		}
		if name != "" {
			return "", "", fmt.Errorf("a step is both %s and %s", name, k[0])
		}
		name, value = k[0], k[1]
	}
	if name == "" {
		return "", "", errors.New("a step says nothing to do")
	}
	return name, value, nil
}

// ID names a case among all.
func (c *Case) ID() string { return c.Subject + "/" + c.Name }

// row is its row in the parity table.
func (c *Case) row() row { return row{c.Subject, c.Feature} }

// needs returns what the adapter in a role, "a" or "b", must not lack.
func (c *Case) needs(role string) map[string]bool {
	needs := map[string]bool{}
	for _, n := range c.Needs {
		needs[n] = true
	}
	for i := range c.Steps {
		s := &c.Steps[i]
		op := s.Call + s.Start
		if op == "" || max(s.By, "a") != role {
			continue
		}
		if name, ok := strings.CutPrefix(op, "$"); ok {
			op = fmt.Sprint(c.vars[name])
		}
		needs[op] = true
	}
	return needs
}

// LoadCases reads all cases of a directory, in the order of files and lines.
func LoadCases(dir string) ([]*Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var all []*Case
	for _, file := range files {
		cases, err := loadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
		}
		all = append(all, cases...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no cases in %s", dir)
	}
	return all, nil
}

// loadFile reads the cases of one subject. A file name may begin with a number,
// which only orders it.
func loadFile(file string) ([]*Case, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var written []*Case
	if err := decoder.Decode(&written); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	subject := strings.TrimSuffix(filepath.Base(file), ".yaml")
	if _, rest, ok := strings.Cut(subject, "-"); ok {
		subject = rest
	}
	seen := map[string]bool{}
	var cases []*Case
	for _, c := range written {
		c.Subject = subject
		if c.Name == "" || c.Why == "" || c.Feature == "" || len(c.Steps) == 0 {
			return nil, fmt.Errorf("case %q needs a name, why, feature and steps", c.Name)
		}
		for i := range c.Steps {
			if _, _, err := c.Steps[i].kind(); err != nil {
				return nil, fmt.Errorf("case %q, step %d: %w", c.Name, i+1, err)
			}
		}
		for _, one := range c.expand() {
			if seen[one.Name] {
				return nil, fmt.Errorf("two cases are named %q", one.Name)
			}
			seen[one.Name] = true
			cases = append(cases, one)
		}
	}
	return cases, nil
}

// expand returns the case, or one for each set of its variables. The variable
// "is" ends their names.
func (c *Case) expand() []*Case {
	if len(c.Each) == 0 {
		return []*Case{c}
	}
	var all []*Case
	for _, vars := range c.Each {
		one := *c
		one.vars = vars
		one.Name = fmt.Sprintf("%s: %v", c.Name, vars["is"])
		all = append(all, &one)
	}
	return all
}
