// Quickstart appends a few records and follows the log to see them come back.
//
// Start a server with make run, then: go run ./examples/go/quickstart
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	proglog "github.com/proglog/proglog/sdk/go"
)

func main() {
	addr := flag.String("addr", "http://127.0.0.1:8400", "the server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string) error {
	// snippet: connect
	client, err := proglog.New(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	// end snippet

	// snippet: produce
	// When Produce returns, the record is on the server's disk.
	ack, err := client.Produce(ctx, proglog.Record{Value: []byte("hello")})
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	fmt.Println("produced", ack.Offset)
	// end snippet

	// snippet: batch
	// A batch is appended as a whole or not at all. Headers travel with a record.
	batch, err := client.ProduceBatch(ctx, []proglog.Record{
		{Value: []byte("how are you?")},
		{Value: []byte("goodbye"), Headers: []proglog.Header{{Name: "mood", Value: []byte("sad")}}},
	})
	if err != nil {
		return fmt.Errorf("produce a batch: %w", err)
	}
	fmt.Printf("produced %d to %d\n", batch.Offset, batch.NextOffset-1)
	// end snippet

	// snippet: follow
	// Follow reads from an offset on. At the end of the log it waits for the next
	// record, and it goes on by itself when the connection or the server comes back.
	for record, err := range client.Follow(ctx, proglog.From(ack.Offset)) {
		if err != nil {
			return fmt.Errorf("follow: %w", err)
		}
		fmt.Printf("%d: %s\n", record.Offset, record.Value)
		if record.Offset == batch.NextOffset-1 {
			break // the last one of our own
		}
	}
	// end snippet
	return nil
}
