package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/process"
)

// Proglog is our server as users start it, behind an unmodified grpc-go client: an
// ack stands on a sync of the journal.
type Proglog struct {
	Bin   string // the binary
	Batch int    // records of a message of a stream; 0: one
}

// Name implements [peer.Peer].
func (p Proglog) Name() string {
	if p.Batch > 0 {
		return NameBatches
	}
	return NameProglog
}

// About implements [peer.Peer].
func (p Proglog) About() string {
	if p.Batch > 0 {
		return "the same, many records to a message of a stream"
	}
	return "bin/proglog serve with its defaults; grpc-go client " + child.Version("google.golang.org/grpc") + " with its defaults, one connection; an ack stands on a sync"
}

// Open implements [peer.Peer].
func (p Proglog) Open(dir string, load peer.Load) (peer.Subject, error) {
	s, err := startProglog(p.Bin, dir, load)
	if err != nil {
		return nil, err
	}
	return newGRPCSubject(s, s.process.Ready, p.Batch)
}

// startProglog starts the binary on a fresh data directory.
func startProglog(bin, dir string, load peer.Load) (*served, error) {
	if err := checkLoad(load); err != nil {
		return nil, err
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("%w: there is no %s: run make build, or name it with -bin", peer.ErrUnavailable, bin)
	}
	s := newServed(load)
	cmd := exec.Command(bin, "serve", "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--log-format", "json")
	cmd.Env = withoutTwins(os.Environ())
	var err error
	if s.process, err = process.Start(s.ctx, cmd, listening); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// withoutTwins leaves out what would be flags of the server.
func withoutTwins(environment []string) []string {
	var kept []string
	for _, v := range environment {
		if !strings.HasPrefix(v, "PROGLOG_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// listening takes the address from the server's log.
func listening(line string) (string, bool) {
	var said struct{ Msg, Addr string }
	err := json.Unmarshal([]byte(line), &said)
	return said.Addr, err == nil && said.Msg == "listening"
}

// Front is log.v1 on another RPC server, in a process of its own, behind an
// unmodified grpc-go client.
type Front struct {
	Store string // of package child
}

// Name implements [peer.Peer].
func (p Front) Name() string {
	if p.Store == child.Memory {
		return NameGRPCMemory
	}
	return NameGRPC
}

// About implements [peer.Peer].
func (p Front) About() string {
	if p.Store == child.Memory {
		return "the same server with messages ready in memory: it reads and builds nothing, and an ack means nothing"
	}
	return "a grpc-go server " + child.Version("google.golang.org/grpc") + " with its defaults on the same engine, messages, client and connection as proglog; an ack stands on a sync"
}

// Open implements [peer.Peer].
func (p Front) Open(dir string, load peer.Load) (peer.Subject, error) {
	if err := checkLoad(load); err != nil {
		return nil, err
	}
	s, err := startChild(child.Config{Kind: child.GRPC, Dir: filepath.Join(dir, "data"), Store: p.Store}, load)
	if err != nil {
		return nil, err
	}
	return newGRPCSubject(s, s.process.Ready, 0)
}
