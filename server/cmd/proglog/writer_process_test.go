package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"
)

// pollEvery is how often a test looks whether something has happened.
const pollEvery = 2 * time.Millisecond

// What TestWriterProcess finds in its environment.
const (
	writerAddr  = "PROGLOG_TEST_WRITER_ADDR"
	writerEpoch = "PROGLOG_TEST_WRITER_EPOCH"
)

// mark is the first record of a life of the writer.
func mark(epoch uint64) string { return fmt.Sprint("epoch ", epoch) }

// TestWriterProcess is no test by itself but the program of the one below: a
// writer that numbers its records and keeps nothing outside of the log. It begins
// with a mark under its epoch, which ends what earlier lives can do, reads in
// front of the mark how far they came, and goes on from there.
func TestWriterProcess(t *testing.T) {
	addr := os.Getenv(writerAddr)
	if addr == "" {
		return // it is run by TestWriterTakesOver
	}
	epoch, err := strconv.ParseUint(os.Getenv(writerEpoch), 10, 64)
	require.NoError(t, err)
	ctx := t.Context()
	client, err := proglog.New(addr, proglog.WithRetry(proglog.Retry{Attempts: 100, MinDelay: time.Millisecond, MaxDelay: 50 * time.Millisecond}))
	require.NoError(t, err)
	p, err := client.NewProducer(ctx, proglog.Identity("writer", epoch), proglog.MaxBatch(5, 64<<10))
	require.NoError(t, err)
	first, err := p.Send(ctx, proglog.Record{Value: []byte(mark(epoch))})
	require.NoError(t, err)
	ack, err := first.Wait(ctx)
	require.NoError(t, err)
	next := 0
	if ack.Offset > 0 {
		for record, err := range client.Records(ctx, proglog.Until(ack.Offset)) {
			require.NoError(t, err)
			if !strings.HasPrefix(string(record.Value), "epoch ") {
				next++
			}
		}
	}
	for ; ; next++ {
		if _, err = p.Send(ctx, proglog.Record{Value: []byte(strconv.Itoa(next))}); err != nil {
			break
		}
	}
	if proglog.ReasonOf(p.Err()) == proglog.ReasonProducerFenced {
		os.Exit(fencedExit)
	}
	t.Fatal(err)
}

// fencedExit is how the writer tells that another has taken over.
const fencedExit = 77

// startWriter starts a life of the writer.
func startWriter(t *testing.T, addr string, epoch uint64) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestWriterProcess$")
	cmd.Env = append(os.Environ(), writerAddr+"="+addr, fmt.Sprint(writerEpoch, "=", epoch))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }) // both fail if it is gone, which is as good
	return cmd
}

// Goal: a writer that is killed under load, with the server or without, and
// started again under a higher epoch puts each of its records into the log once
// and in order, with none missing; one that only stood still and wakes up behind
// its successor is fenced and appends nothing more. Method: real processes; the
// writer has no state but the log.
func TestWriterTakesOver(t *testing.T) {
	dir := t.TempDir()
	relay := startRelay(t)
	kill := relay.serveBehind(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	follower := new(tail)
	followed := make(chan error, 1)
	go func() { followed <- follower.run(ctx, relay.client(t)) }()

	const lives, between = 6, 300
	var asleep *exec.Cmd
	var writer *exec.Cmd
	for epoch := range uint64(lives) {
		writer = startWriter(t, relay.url, epoch)
		follower.waitFor(t, follower.seen.Load()+between)
		switch epoch {
		case 1:
			kill() // the server goes with its writer
			require.NoError(t, writer.Process.Kill())
			kill = relay.serveBehind(t, dir)
		case 2:
			require.NoError(t, writer.Process.Signal(syscall.SIGSTOP))
			asleep = writer
			continue
		default:
			require.NoError(t, writer.Process.Kill())
		}
		require.Error(t, writer.Wait())
		if asleep != nil && epoch > 2 {
			require.NoError(t, asleep.Process.Signal(syscall.SIGCONT))
			err := asleep.Wait()
			var exit *exec.ExitError
			require.True(t, errors.As(err, &exit), "%v", err)
			require.Equal(t, fencedExit, exit.ExitCode())
			asleep = nil
		}
	}
	info, err := relay.client(t).DescribeLog(t.Context(), "")
	require.NoError(t, err)
	follower.waitFor(t, info.NextOffset)
	cancel()
	require.ErrorIs(t, <-followed, context.Canceled)
	number, epoch := 0, uint64(0)
	for offset, value := range follower.got {
		if value == mark(epoch) {
			epoch++
			continue
		}
		require.Equal(t, strconv.Itoa(number), value, "offset %d, epoch %d", offset, epoch)
		number++
	}
	require.Equal(t, uint64(lives), epoch)
	require.Greater(t, number, lives*between/2)
}
