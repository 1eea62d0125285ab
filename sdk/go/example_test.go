package proglog_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	proglog "github.com/proglog/proglog/sdk/go"
)

// Produce a record and read it back.
func Example() {
	client, err := proglog.New("http://127.0.0.1:8400")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	ack, err := client.Produce(ctx, proglog.Record{Value: []byte("hello")})
	if err != nil {
		log.Fatal(err)
	}
	record, err := client.Consume(ctx, ack.Offset)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d %s\n", record.Offset, record.Value)
}

// Print a log and whatever comes, until the context ends.
func ExampleClient_Follow() {
	client, err := proglog.New("http://127.0.0.1:8400")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	for record, err := range client.Follow(context.Background(), proglog.From(0)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %s\n", record.Offset, record.Value)
	}
}

// Append many records, and look at each acknowledgement.
func ExampleClient_NewProducer() {
	client, err := proglog.New("http://127.0.0.1:8400")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	producer, err := client.NewProducer(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var futures []proglog.Future
	for i := range 1000 {
		future, err := producer.Send(ctx, proglog.Record{Value: fmt.Append(nil, i)})
		if err != nil {
			break // it could not go on; the futures say what is in the log
		}
		futures = append(futures, future)
	}
	if err := producer.Close(ctx); err != nil {
		log.Print(err)
	}
	for i, future := range futures {
		switch ack, err := future.Wait(ctx); {
		case err == nil:
			fmt.Println(i, "is at offset", ack.Offset)
		case errors.Is(err, proglog.ErrOutcomeUnknown):
			fmt.Println(i, "may be in the log")
		default:
			fmt.Println(i, "is not in the log")
		}
	}
}

// Append only if nobody else has since the log was last read: a counter, a lock,
// a sequence of events of one thing.
func ExampleExpectOffset() {
	client, err := proglog.New("http://127.0.0.1:8400")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = client.Produce(context.Background(), proglog.Record{Value: []byte("v8")}, proglog.ExpectOffset(7))
	var refused *proglog.Error
	if errors.As(err, &refused) && refused.Reason == proglog.ReasonOffsetMismatch {
		fmt.Println("somebody was faster: the log is at", refused.NextOffset)
	}
}

// Read a log from where an earlier run of the program left off.
func ExampleClient_Cursor() {
	client, err := proglog.New("http://127.0.0.1:8400")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	cursor := client.Cursor("orders", "billing")
	place, err := cursor.Get(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for record, err := range client.Follow(ctx, proglog.InLog("orders"), place.Start()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %s\n", record.Offset, record.Value)
		cursor.Set(record.Offset + 1)
		if err := cursor.Commit(ctx); err != nil {
			log.Fatal(err)
		}
	}
}
