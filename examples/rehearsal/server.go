package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// startLimit is how long the server may take until it listens.
const startLimit = 30 * time.Second

// serve starts the installed server on a free port with an empty data directory, and
// returns its address, and what stops it.
func (w *workshop) serve() (addr string, stop func() error, err error) {
	w.servers++
	data := filepath.Join(w.dir, fmt.Sprintf("data-%d", w.servers))
	cmd := exec.CommandContext(w.ctx, w.binary(), "serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--log-format", "json")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopLimit
	log, err := cmd.StderrPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	listening := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				listening <- line.Addr
				break
			}
		}
		_, _ = io.Copy(io.Discard, log) // it must not wait for a reader
	}()
	stop = func() error {
		time.AfterFunc(stopLimit, func() { _ = cmd.Process.Kill() })
		if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-read
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("the server ended badly: %w", err)
		}
		return nil
	}
	select {
	case addr = <-listening:
		return addr, stop, nil
	case <-read:
		err = errors.New("the server ended before it listened")
	case <-time.After(startLimit):
		err = fmt.Errorf("the server did not listen within %v", startLimit)
	}
	return "", nil, errors.Join(err, stop())
}
