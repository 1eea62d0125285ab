// Quickstart appends a few records and follows the log to see them come back, with
// grpc-go and the stubs that the proto files give.
//
// Start a server with make run, then: go run ./examples/grpc-go/quickstart
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	logv1 "github.com/proglog/proglog/examples/grpc-go/gen/log/v1"
)

func main() {
	addr := flag.String("addr", "http://127.0.0.1:8400", "the server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, strings.TrimPrefix(*addr, "http://"))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client := logv1.NewLogClient(conn)

	// When Produce returns, the record is on the server's disk.
	ack, err := client.Produce(ctx, &logv1.ProduceRequest{Record: &logv1.Record{Value: []byte("hello")}})
	if err != nil {
		return fmt.Errorf("produce: %w", explain(err))
	}
	fmt.Println("produced", ack.GetOffset())

	// A batch is appended as a whole or not at all. Headers travel with a record.
	batch, err := client.Produce(ctx, &logv1.ProduceRequest{Records: []*logv1.Record{
		{Value: []byte("how are you?")},
		{Value: []byte("goodbye"), Headers: []*logv1.Header{{Name: "mood", Value: []byte("sad")}}},
	}})
	if err != nil {
		return fmt.Errorf("produce a batch: %w", explain(err))
	}
	fmt.Printf("produced %d to %d\n", batch.GetOffset(), batch.GetNextOffset()-1)

	// ConsumeStream waits for the next record at the end of the log, until the
	// client leaves. A lost connection ends it: to resume, call it again, one behind
	// the last offset that came, with the log_id of GetLog.
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	stream, err := client.ConsumeStream(ctx, &logv1.ConsumeRequest{Offset: ack.GetOffset()})
	if err != nil {
		return fmt.Errorf("follow: %w", explain(err))
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("follow: %w", explain(err))
		}
		record := response.GetRecord()
		fmt.Printf("%d: %s\n", record.GetOffset(), record.GetValue())
		if record.GetOffset() == batch.GetNextOffset()-1 {
			return nil // the last one of our own
		}
	}
}

// explain adds the reason, which the server gives in a detail of the status, to an
// error. Programs decide by it.
func explain(err error) error {
	for _, detail := range status.Convert(err).Details() {
		if d, ok := detail.(*logv1.ErrorDetail); ok {
			return fmt.Errorf("%w (%s)", err, strings.TrimPrefix(d.GetReason().String(), "REASON_"))
		}
	}
	return err
}
