package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/proglog/proglog/server/bench/internal/sdks"
)

// errUsage reports arguments that cannot be; what is wrong was already said.
var errUsage = errors.New("wrong usage")

// options are what the arguments say.
type options struct {
	rounds   int
	time     time.Duration
	run      *regexp.Regexp
	rows     map[string]bool // goals; none: all cells
	bin      string          // our server
	places   sdks.Places
	quick    bool
	list     bool
	dir      string
	markdown string
	picture  string
	profiles profiles
	sizes    sizes
}

// sizes say how large the large things are. They are no flags: figures of other
// sizes would not be comparable.
type sizes struct {
	logs     int   // that one server should carry without effort
	read     int64 // bytes of values to read: they stay in the page cache
	stream   int   // records of a log that a server sends
	segments []int // from few to many
	growth   int64 // bytes of the largest log, unless that is more than half of the free disk

	followers []int // of one server, with nothing to get, from few to many
	// rest is how long they have nothing to get before the server's memory is looked
	// at again. Go's runtime collects by itself after two minutes at the latest.
	rest   time.Duration
	window int // records in flight of a pipelined producer; a multiple of 128
}

func fullSizes() sizes {
	return sizes{logs: 10_000, read: 128 << 20, stream: 200_000, segments: []int{500, 1000, 2000, 4000}, growth: 32 << 30, followers: []int{100, 1000, 10_000}, rest: 150 * time.Second, window: 4096}
}

// What -rounds and -time are unless they are given.
const (
	fullRounds, fullTime   = 3, 400 * time.Millisecond
	quickRounds, quickTime = 2, 120 * time.Millisecond
)

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{sizes: fullSizes()}
	var pattern, ids string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 0, fmt.Sprintf("how many times each entrant runs (default %d, with -quick %d)", fullRounds, quickRounds))
	f.DurationVar(&o.time, "time", 0, fmt.Sprintf("how long a run takes (default %s, with -quick %s); over the wire %d times that", fullTime, quickTime, wireTimes))
	f.StringVar(&pattern, "run", "", "run only cells whose name matches this `regexp`")
	f.StringVar(&ids, "rows", "", "run only cells that these `goals` need, such as G3,G4 or SDK")
	f.StringVar(&o.bin, "bin", defaultBin(), "our server, a `file` that make build has made")
	f.StringVar(&o.places.SDKs, "sdks", "sdk", "the `folder` with the sources of the SDKs, built as make bench builds them")
	f.StringVar(&o.places.Python, "python", defaultPython(), "the interpreter `file` that has what sdk/python needs")
	f.BoolVar(&o.quick, "quick", false, "run only the cells that matter most, for some minutes")
	f.BoolVar(&o.list, "list", false, "list the names of the cells and do nothing else")
	f.StringVar(&o.dir, "dir", ".", "where to make the `directory` for data; it must be on the disk that is to be measured")
	f.StringVar(&o.markdown, "md", "", "also write the report, with a table of every entrant, to this Markdown `file`")
	f.StringVar(&o.picture, "svg", "", "also draw the curves into this SVG `file`")
	f.StringVar(&o.profiles.cpu, "cpuprofile", "", "write a profile of the processor's time to this `file`")
	f.StringVar(&o.profiles.memory, "memprofile", "", "write a profile of all allocations to this `file`")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	wrong := func(format string, a ...any) (*options, error) {
		fmt.Fprintf(stderr, "bench: "+format+"\n", a...)
		return nil, errUsage
	}
	if f.NArg() > 0 {
		return wrong("it takes no arguments beside flags, not %q", f.Arg(0))
	}
	if o.rounds < 0 || o.time < 0 {
		return wrong("-rounds and -time cannot be negative")
	}
	var err error
	if o.run, err = regexp.Compile(pattern); err != nil {
		return wrong("-run: %v", err)
	}
	if ids != "" {
		if o.rows = rowSet(ids); o.rows == nil {
			return wrong("-rows: %q is not a list of goals such as G3,G4", ids)
		}
	}
	o.fill()
	return o, nil
}

// defaultBin is our server where make build puts it, or where a test has it.
func defaultBin() string {
	if bin := os.Getenv("PROGLOG_BIN"); bin != "" {
		return bin
	}
	return "bin/proglog"
}

// defaultPython is the interpreter of the SDK's virtual environment where make puts it.
func defaultPython() string {
	if python := os.Getenv("PROGLOG_PYTHON"); python != "" {
		return python
	}
	return "sdk/python/.venv/bin/python"
}

// rowSet takes a list of goals apart; nil if it is none.
func rowSet(ids string) map[string]bool {
	set := map[string]bool{}
	for id := range strings.SplitSeq(ids, ",") {
		id = strings.TrimSpace(id)
		if !regexp.MustCompile(`^(G[0-9]+s?|SDK)$`).MatchString(id) {
			return nil
		}
		set[id] = true
	}
	return set
}

func (o *options) fill() {
	rounds, each := fullRounds, fullTime
	if o.quick {
		rounds, each, o.sizes.rest = quickRounds, quickTime, 0
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.time == 0 {
		o.time = each
	}
}

// choose leaves the cells that are asked for.
func (o *options) choose(all []cell) []cell {
	var chosen []cell
	for _, c := range all {
		if o.run.MatchString(c.name) && (c.quick || !o.quick) && o.wants(c) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// wants tells whether a cell is one of the rows that are asked for.
func (o *options) wants(c cell) bool {
	return len(o.rows) == 0 || slices.ContainsFunc(c.rows, func(id string) bool { return o.rows[id] })
}
