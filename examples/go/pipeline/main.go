// Pipeline reads the log "orders" and writes an invoice into the log "invoices" for
// each order of 100 and more. However often it is killed and started again, each
// such order has exactly one invoice.
//
// A cursor keeps how far the orders were read; most orders have no invoice, so the
// invoices alone could not tell. The invoices are written first and the cursor is
// moved after them, so a crash in between makes the pipeline read some orders again.
// It knows those that have an invoice: each invoice names its order in a header. And
// every append names the offset that it has to get, so that one that was thought lost
// and arrives late is refused.
//
// Start a server with make run, then:
//
//	bin/proglog logs create orders
//	printf 'chair 4900\ntable 12000\n' | bin/proglog produce --log orders
//	go run ./examples/go/pipeline
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	proglog "github.com/proglog/proglog/sdk/go"
)

const (
	orders   = "orders"
	invoices = "invoices"
	// orderHeader names the header of an invoice that has its order's offset.
	orderHeader = "order"
	// leastCents is what an order has to cost for an invoice.
	leastCents = 100_00
	// batchRecords bounds what is read at a time, so that the invoices of one
	// batch of orders fit into one batch.
	batchRecords = 500
	// startOverAfter is how long the pipeline waits before it starts over.
	startOverAfter = time.Second
)

func main() {
	addr := flag.String("addr", "http://127.0.0.1:8400", "the server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "pipeline:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string) error {
	client, err := proglog.New(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, _, err := client.PutLog(ctx, invoices); err != nil {
		return fmt.Errorf("make the log %q: %w", invoices, err)
	}
	for {
		err := pipe(ctx, client)
		if !errors.Is(err, proglog.ErrOutcomeUnknown) && proglog.ReasonOf(err) != proglog.ReasonOffsetMismatch {
			return err
		}
		// The invoices are in the log, or they are not: the log itself tells.
		fmt.Fprintln(os.Stderr, "pipeline: starting over:", err)
		select {
		case <-time.After(startOverAfter):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pipe reads orders from the cursor on and writes their invoices, until an error.
func pipe(ctx context.Context, client *proglog.Client) error {
	// snippet: cursor
	cursor := client.Cursor(orders, "invoices")
	place, err := cursor.Get(ctx)
	if err != nil {
		return err
	}
	done, offset, err := lastInvoice(ctx, client)
	if err != nil {
		return err
	}
	for batch, err := range client.Batches(ctx, proglog.InLog(orders), place.Start(), proglog.BatchRecords(batchRecords)) {
		if err != nil {
			return fmt.Errorf("read orders: %w", err)
		}
		offset, err = writeInvoices(ctx, client, batch.Records, done, offset)
		if err != nil {
			return err
		}
		cursor.Set(batch.Records[len(batch.Records)-1].Offset + 1)
		if err := cursor.Commit(ctx); err != nil {
			return err
		}
	}
	// end snippet
	return nil
}

// lastInvoice returns the offset behind the last order that has an invoice, and
// the offset that the next invoice gets. It needs one invoice to be kept: a
// retention that may remove the last one does not go with a pipeline.
func lastInvoice(ctx context.Context, client *proglog.Client) (done, offset uint64, err error) {
	info, err := client.DescribeLog(ctx, invoices)
	if err != nil || info.NextOffset == 0 {
		return 0, 0, err
	}
	last, err := client.ConsumeBatch(ctx, proglog.InLog(invoices), proglog.FromEnd(1))
	if err != nil {
		return 0, 0, err
	}
	if len(last.Records) == 0 {
		return 0, 0, fmt.Errorf("all records of %q were trimmed: nothing tells which orders have an invoice", invoices)
	}
	record := last.Records[len(last.Records)-1]
	for _, header := range record.Headers {
		if header.Name == orderHeader {
			order, err := strconv.ParseUint(string(header.Value), 10, 64)
			return order + 1, record.Offset + 1, err
		}
	}
	return 0, 0, fmt.Errorf("record %d of %q is none of this program's", record.Offset, invoices)
}

// writeInvoices writes the invoices of orders, all or none, and returns the offset
// that the next one gets. Orders below done have theirs.
func writeInvoices(ctx context.Context, client *proglog.Client, read []proglog.Record, done, offset uint64) (uint64, error) {
	var found []proglog.Record
	for _, order := range read {
		text, due, err := invoice(order)
		if err != nil {
			return 0, err
		}
		if due && order.Offset >= done {
			found = append(found, proglog.Record{Value: []byte(text), Headers: []proglog.Header{
				{Name: orderHeader, Value: strconv.AppendUint(nil, order.Offset, 10)},
			}})
		}
	}
	if len(found) == 0 {
		return offset, nil
	}
	ack, err := client.ProduceBatch(ctx, found, proglog.InLog(invoices), proglog.ExpectOffset(offset))
	if err != nil {
		return 0, fmt.Errorf("write %d invoices: %w", len(found), err)
	}
	for i, record := range found {
		fmt.Printf("order %s -> invoice %d: %s\n", record.Headers[0].Value, ack.Offset+uint64(i), record.Value)
	}
	return ack.NextOffset, nil
}

// invoice makes "table 120.00" of the order "table 12000"; due says if the order
// is large enough for one.
func invoice(order proglog.Record) (text string, due bool, err error) {
	item, price, _ := strings.Cut(string(order.Value), " ")
	cents, err := strconv.ParseUint(price, 10, 32)
	if err != nil {
		return "", false, fmt.Errorf("order %d is not an item and its price in cents: %w", order.Offset, err)
	}
	return fmt.Sprintf("%s %d.%02d", item, cents/100, cents%100), cents >= leastCents, nil
}
