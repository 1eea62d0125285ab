// Package child is what the bench runs in processes of their own: servers to
// measure ours against, and the Go program of the contest of SDKs. They are here, and
// not in the process that makes the load, so that what a server uses is told from what
// its clients use.
package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/proglog/proglog/server/bench/internal/goclients"
)

// A Config says what a child is to be.
type Config struct {
	Kind string // one of the kinds below
	Dir  string // for its data
	// Store is what is behind a front of this package.
	Store string
	// SyncAlways is JetStream's setting.
	SyncAlways bool
}

// Kinds of children.
const (
	JetStream = "jetstream" // nats-server with JetStream
	GRPC      = "grpc"      // log.v1 on a grpc-go server
	Connect   = "connect"   // log.v1 on connect's own handlers
	TCP       = "tcp"       // the same job without any protocol
	HTTP      = "http"      // the unary calls of log.v1 on net/http alone
	Clients   = "clients"   // no server: sdk/go and stock clients, asked over stdin
)

// Stores behind a front.
const (
	Engine = "engine" // our engine
	Memory = "memory" // a slice of messages
)

// variable is how a process knows that it is a child.
const variable = "PROGLOG_BENCH_CHILD"

// readyMark begins the line that tells where a child listens.
const readyMark = "bench child listens on "

// Command is the command that runs this very program as a child.
func Command(c Config) (*exec.Cmd, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), variable+"="+string(text))
	return cmd, nil
}

// Ready takes a child's address from a line of its output.
func Ready(line string) (addr string, ok bool) { return strings.CutPrefix(line, readyMark) }

// Main runs a child if this process is one, until it is told to end. A main
// function, and that of a test, calls it first: it tells whether it did.
func Main() (was bool, err error) {
	text, was := os.LookupEnv(variable)
	if !was {
		return false, nil
	}
	var c Config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return true, err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	return true, run(ctx, c)
}

func run(ctx context.Context, c Config) error {
	switch c.Kind {
	case JetStream:
		return serveJetStream(ctx, c)
	case GRPC, Connect, TCP, HTTP:
		return serveFront(ctx, c)
	case Clients:
		return goclients.Main(ctx, Version)
	}
	return fmt.Errorf("no child is a %q", c.Kind)
}

// serveFront opens the store and puts the front before it.
func serveFront(ctx context.Context, c Config) (err error) {
	store, err := openStore(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	switch c.Kind {
	case GRPC:
		return serveGRPC(ctx, store)
	case Connect:
		return serveConnect(ctx, store)
	case HTTP:
		return serveHTTP(ctx, store)
	}
	return serveTCP(ctx, store)
}

func tellReady(addr string) { fmt.Println(readyMark + addr) }

// Version returns the version of a module that this program was built with.
func Version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return "unknown"
}
