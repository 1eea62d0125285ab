package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

// closeTimeout is how long an interrupted produce waits for the last
// acknowledgements.
const closeTimeout = 5 * time.Second

// What the batches of produce are bounded by, where the server allows as much: they
// are larger than a program's that waits for its acknowledgements.
const (
	produceBatchRecords = 1000
	produceBatchBytes   = 512 << 10
)

// produceGiveUpAfter is how long produce tries to go on unless told.
const produceGiveUpAfter = proglog.DefaultGiveUpAfter

// progressInterval is how often a person who looks is shown the progress.
const progressInterval = 500 * time.Millisecond

// produceConfig is what the flags of produce say.
type produceConfig struct {
	clientFlags
	format       string
	maxValue     int
	printOffsets bool
	noIdentity   bool
	producerID   string
	epoch        uint64
	headers      headers
	expected     offset
	giveUp       time.Duration
}

// produce appends what it reads to a log.
func produce(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var config produceConfig
	fs := newFlags("produce", "produce [flags] [FILE...]\n\n"+
		"Appends a record for every line of the files, or of standard input (also as -).\n"+
		"Goes on by itself after a lost connection, with each record in the log once.\n"+
		"Stops at a failure that cannot pass and says which records are in the log.", stderr)
	config.register(fs)
	fs.StringVar(&config.format, "format", formatLines,
		"`format` of the input: lines (without their newlines), file (a record for each file), delimited (each with its length as a varint in front); consume reads the same variable")
	fs.Var(newSize(&config.maxValue, proglog.DefaultLimits().ValueBytes), "max-value-bytes", "largest value of a record that the server takes, in `bytes`")
	fs.BoolVar(&config.printOffsets, "print-offsets", false, "print the offset of every record when it is acknowledged, one to a line")
	fs.BoolVar(&config.noIdentity, "no-identity", false, "send nothing twice: stop at the first failure, also one that could pass")
	fs.DurationVar(&config.giveUp, "give-up-after", produceGiveUpAfter, "how long to try to go on without success, a `duration`")
	fs.Var(&config.headers, "header", "a header for every record, `NAME=VALUE`; may be given several times, by its variable once")
	fs.StringVar(&config.producerID, "producer-id", "", "write under this `id`: the server then refuses whoever writes under it with a lower epoch; empty: a random one")
	fs.Uint64Var(&config.epoch, "epoch", 0, "`number` of this life of the --producer-id: each run needs a higher one than the last, or what it sends is taken for a repetition")
	fs.Var(&config.expected, "expected-offset", "append only if the first record gets this `offset` and the others those behind it; stop where somebody else has written")
	files, code, ok := parseMixed(fs, args)
	if !ok {
		return code
	}
	if err := config.check(); err != nil {
		fmt.Fprintf(stderr, "proglog produce: %v\n", err)
		return exitUsage
	}
	limits := proglog.DefaultLimits()
	limits.ValueBytes = config.maxValue
	client, err := config.connect(proglog.WithLimits(limits))
	if err != nil {
		fmt.Fprintf(stderr, "proglog produce: --addr: %v\n", err)
		return exitUsage
	}
	defer client.Close()
	if len(files) == 0 {
		files = []string{"-"}
	}
	if err := checkFiles(files); err != nil {
		fmt.Fprintf(stderr, "proglog produce: nothing was appended: %v\n", err)
		return exitFailed
	}
	// An interrupt ends the reading; what is in flight then may still arrive.
	p, err := config.appender(context.WithoutCancel(ctx), client)
	if err != nil {
		printFailure(stderr, "produce", config.addr, err)
		return exitFailed
	}
	signal.Ignore(syscall.SIGPIPE) // whoever reads the offsets may leave; the records go on
	f := &feed{config: config, files: files, stdin: stdin, producer: p}
	return f.run(ctx, stdout, stderr)
}

// check says what is wrong with the flags.
func (c *produceConfig) check() error {
	switch {
	case c.format != formatLines && c.format != formatFile && c.format != formatDelimited:
		return fmt.Errorf("--format is %q: use lines, file or delimited%s", c.format, formatTwin(c.format))
	case c.maxValue < 1:
		return fmt.Errorf("--max-value-bytes is %d: it must be at least 1", c.maxValue)
	case c.noIdentity && c.producerID != "":
		return errors.New("--no-identity and --producer-id exclude each other")
	case c.noIdentity && c.expected.given:
		return errors.New("--no-identity and --expected-offset exclude each other")
	case c.epoch > 0 && c.producerID == "":
		return errors.New("--epoch needs a --producer-id, whose epoch it is")
	}
	return nil
}

// appender makes what takes the records.
func (c *produceConfig) appender(ctx context.Context, client *proglog.Client) (appender, error) {
	if c.expected.given {
		return newChain(ctx, client, c), nil
	}
	p, err := client.NewProducer(ctx, c.options()...)
	return pipeline{p}, err
}

// options turns the flags into those of the producer.
func (c *produceConfig) options() []proglog.ProducerOption {
	options := []proglog.ProducerOption{
		proglog.InLog(c.log), proglog.MaxBatch(produceBatchRecords, produceBatchBytes), proglog.GiveUpAfter(c.giveUp),
	}
	switch {
	case c.noIdentity:
		options = append(options, proglog.WithoutIdentity())
	case c.producerID != "":
		options = append(options, proglog.Identity(c.producerID, c.epoch))
	}
	return options
}

// checkFiles looks for the inputs before anything is sent, so that a slip in one
// name does not leave the files before it in the log.
func checkFiles(names []string) error {
	for _, name := range names {
		if name == "-" {
			continue
		}
		if info, err := os.Stat(name); err != nil {
			return err
		} else if info.IsDir() {
			return fmt.Errorf("%s is a directory", name)
		}
	}
	return nil
}

// feed is one run of produce.
type feed struct {
	config   produceConfig
	files    []string
	stdin    io.Reader
	producer appender
	futures  chan future // of all records, in order, if they are printed; never closed

	mu     sync.Mutex
	inputs []inputStart
}

// inputStart says how many records were sent before an input began.
type inputStart struct {
	name   string
	before uint64
}

// run reads the inputs, waits for the acknowledgements, and reports.
func (f *feed) run(ctx context.Context, stdout, stderr io.Writer) int {
	printed := make(chan error, 1)
	if f.config.printOffsets {
		f.futures = make(chan future, offsetsWaiting)
		go func() { printed <- printOffsets(stdout, f.futures, f.producer) }()
	} else {
		close(printed)
	}
	stopProgress := f.showProgress(stderr)
	read := make(chan error, 1)
	go func() { read <- f.read(ctx) }()

	var err error
	select {
	case err = <-read:
	case <-f.producer.Done():
		// The reading may be waiting for input that never comes; without it,
		// what was sent so far is all there is.
	case <-ctx.Done():
		err = errors.New("interrupted")
	}
	// After an interrupt, also one that comes now, closing takes only so long.
	closing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(closeTimeout, cancel) })
	if ended := f.producer.Close(closing); ended != nil {
		err = ended
	}
	if ctx.Err() != nil && err != nil {
		err = errors.New("interrupted")
	}
	err = errors.Join(err, <-printed)
	stopProgress()
	if err != nil {
		f.report(stderr, err)
		return exitFailed
	}
	return exitOK
}

// read sends the records of all inputs.
func (f *feed) read(ctx context.Context) error {
	sent := uint64(0)
	for _, name := range f.files {
		n, err := f.readInput(ctx, name, sent)
		sent += n
		if err != nil {
			return err
		}
	}
	return nil
}

// readInput sends the records of one input and returns how many it sent.
func (f *feed) readInput(ctx context.Context, name string, before uint64) (n uint64, err error) {
	input, label := f.stdin, "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		input, label = file, name
	}
	f.mu.Lock()
	f.inputs = append(f.inputs, inputStart{label, before})
	f.mu.Unlock()
	records := newRecordReader(f.config.format, input, f.config.maxValue)
	for ; ; n++ {
		value, err := records.next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("%s: %w", f.place(before+n), err)
		}
		future, err := f.producer.Send(ctx, proglog.Record{Value: value, Headers: f.config.headers})
		if err != nil {
			return n, fmt.Errorf("%s: %w", f.place(before+n), err)
		}
		if f.futures != nil {
			f.futures <- future
		}
	}
}

// place names a record of the input by its number, counted from 0 over all.
func (f *feed) place(record uint64) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	in := f.inputs[0]
	for _, other := range f.inputs {
		if other.before <= record {
			in = other
		}
	}
	if f.config.format == formatFile {
		return in.name
	}
	unit := "line"
	if f.config.format == formatDelimited {
		unit = "record"
	}
	return fmt.Sprintf("%s %d of %s", unit, record-in.before+1, in.name)
}

// report says what failed, what is in the log, and what is unknown.
func (f *feed) report(w io.Writer, err error) {
	printFailure(w, "produce", f.config.addr, err)
	o := f.producer.Outcome()
	switch {
	case o.Acked > 0:
		fmt.Fprintf(w, "  acknowledged: %d, up to %s, which is at offset %d\n", o.Acked, f.place(o.Acked-1), o.LastOffset)
	default:
		fmt.Fprintln(w, "  acknowledged: none")
	}
	if o.Unknown == 0 {
		fmt.Fprintln(w, "  nothing else was appended")
		return
	}
	fmt.Fprintf(w, "  unknown: %d, from %s to %s: they may be in the log or not\n",
		o.Unknown, f.place(o.Acked), f.place(o.Acked+o.Unknown-1))
	from := "earliest"
	if o.Acked > 0 {
		from = strconv.FormatUint(o.LastOffset+1, 10)
	}
	fmt.Fprintf(w, "  nothing behind them was appended; `proglog consume --from %s` shows whether they are there\n", from)
}

// showProgress prints the number of acknowledged records now and then, if
// somebody looks. The function that it returns ends that.
func (f *feed) showProgress(w io.Writer) (stop func()) {
	if !isTerminal(w) {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for shown := false; ; shown = true {
			select {
			case <-ticker.C:
				fmt.Fprintf(w, "\r%d acknowledged ", f.producer.Outcome().Acked)
			case <-quit:
				if shown {
					fmt.Fprintf(w, "\r%d acknowledged\n", f.producer.Outcome().Acked)
				}
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}
