// Account is optimistic concurrency: a bank account is a log of deposits and
// withdrawals, and two writers withdraw from it at the same time. A writer reads the
// log, decides by the balance, and appends with the offset that the log had when it
// decided. If the other writer was faster, the append is refused, and the writer reads
// on and decides anew. So the balance never falls below 0, without any lock.
//
// Start a server with make run, then: go run ./examples/go/account
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	proglog "github.com/proglog/proglog/sdk/go"
)

const (
	deposit     = 100
	withdrawal  = 10
	perWriter   = 8 // each writer wants so many, 160 in all
	writerCount = 2
)

func main() {
	addr := flag.String("addr", "http://127.0.0.1:8400", "the server")
	log := flag.String("log", "account", "the log; it is made if it is not there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr, *log)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "account:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, log string) error {
	client, err := proglog.New(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, _, err := client.PutLog(ctx, log); err != nil {
		return fmt.Errorf("make the log %q: %w", log, err)
	}
	opening := &account{client: client, log: log}
	if _, err := opening.change(ctx, deposit); err != nil {
		return err
	}
	fmt.Println("deposited", deposit)

	type result struct {
		done, refused int
		err           error
	}
	results := make(chan result, writerCount)
	for range writerCount {
		go func() {
			var r result
			r.done, r.refused, r.err = withdraw(ctx, &account{client: client, log: log})
			results <- r
		}()
	}
	var sum result
	for range writerCount {
		r := <-results
		sum.done, sum.refused, sum.err = sum.done+r.done, sum.refused+r.refused, errors.Join(sum.err, r.err)
	}
	if sum.err != nil {
		return sum.err
	}
	if sum.done != deposit/withdrawal {
		return fmt.Errorf("withdrew %d times %d of %d", sum.done, withdrawal, deposit)
	}
	fmt.Printf("withdrew %d ten times, was refused %d times\n", withdrawal, sum.refused)
	if err := opening.readOn(ctx); err != nil {
		return err
	}
	fmt.Println("balance", opening.balance)
	return nil
}

// withdraw is one writer.
func withdraw(ctx context.Context, a *account) (done, refused int, err error) {
	for range perWriter {
		paid, err := a.change(ctx, -withdrawal)
		if err != nil {
			return done, refused, err
		}
		if paid {
			done++
		} else {
			refused++
		}
	}
	return done, refused, nil
}

// change is a record of the account.
type change struct {
	ID     string `json:"id"` // by which a writer knows its own
	Amount int64  `json:"amount"`
}

// account is what one reader knows of the account. It is not safe for concurrent
// use: each writer has its own, as if it were a program of its own.
type account struct {
	client  *proglog.Client
	log     string
	next    uint64 // the offset to read next
	balance int64
	seen    map[string]bool // the ids that were read since change was called
}

// change adds an amount to the balance unless that made it negative.
func (a *account) change(ctx context.Context, amount int64) (done bool, err error) {
	id := rand.Text()
	value, err := json.Marshal(change{id, amount})
	if err != nil {
		return false, err
	}
	a.seen = map[string]bool{}
	// snippet: decide
	for {
		if err := a.readOn(ctx); err != nil {
			return false, err
		}
		if a.seen[id] {
			return true, nil // an append whose answer was lost had come through
		}
		if a.balance+amount < 0 {
			return false, nil
		}
		_, err := a.client.Produce(ctx, proglog.Record{Value: value}, proglog.InLog(a.log), proglog.ExpectOffset(a.next))
		switch {
		case err == nil:
			return true, nil
		case proglog.ReasonOf(err) == proglog.ReasonOffsetMismatch:
			// Somebody was faster: read what they wrote, and decide anew.
		case errors.Is(err, proglog.ErrOutcomeUnknown) && ctx.Err() == nil:
			// It is in the log or it is not: reading on tells.
		default:
			return false, err
		}
	}
	// end snippet
}

// readOn reads the changes that are new since the last time.
func (a *account) readOn(ctx context.Context) error {
	for record, err := range a.client.Records(ctx, proglog.InLog(a.log), proglog.From(a.next)) {
		if err != nil {
			return fmt.Errorf("read the account: %w", err)
		}
		var c change
		if err := json.Unmarshal(record.Value, &c); err != nil {
			return fmt.Errorf("record %d is no change of the account: %w", record.Offset, err)
		}
		a.balance += c.Amount
		a.next = record.Offset + 1
		a.seen[c.ID] = true
	}
	return nil
}
