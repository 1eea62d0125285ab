// Package talk is what the bench and a language's program say to each other, a line
// of JSON each: the program says that it is ready, and then answers what it is asked
// until its input ends. Programs in other languages keep to these types.
package talk

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Paths: what a client can be asked to do.
const (
	// Unary: callers that each wait for the ack of one record before they send the
	// next.
	Unary = "unary"
	// Pipelined: one producer that does not wait. It ends when all acks are there.
	// A stock client sends a record to a message over one ProduceStream.
	Pipelined = "pipelined"
	// Consume: callers that each read one record by its offset. Together they read
	// the first ones of the log.
	Consume = "consume"
	// Follow: a reader from offset 0 on that stops after so many records. A stock
	// client reads a ConsumeStream with a record to a message.
	Follow = "follow"
)

// Names of clients. Those of stock clients begin with [Stock]; those that are used
// asynchronously, in a language that has both, end in [Async].
const (
	SDK   = "sdk"
	Stock = "stock-"
	Async = "-async"
	// Batch ends the name of a stock client that asks for many records to a message,
	// which its user would have to know of. It only follows, and no SDK is measured
	// against it.
	Batch = "-batch"
)

// IsSDK tells whether a client is ours.
func IsSDK(client string) bool { return client == SDK || strings.HasPrefix(client, SDK+"-") }

// Rivals tells whether a stock client is one that an SDK is measured against: it is
// used in the same manner, and asked for nothing special.
func Rivals(sdk, stock string) bool {
	return strings.HasPrefix(stock, Stock) && !strings.HasSuffix(stock, Batch) &&
		strings.HasSuffix(sdk, Async) == strings.HasSuffix(stock, Async)
}

// Ready is the first line of a program.
type Ready struct {
	Ready    bool              `json:"ready"`
	Versions map[string]string `json:"versions"` // of whatever matters, by name
	Clients  []string          `json:"clients"`
}

// An Ask is one run of one client. What it writes or reads is counted and checked by
// the program. The connection is made before the clock starts.
type Ask struct {
	Client  string `json:"client"`
	Address string `json:"address"` // http://host:port
	Log     string `json:"log"`     // which is there
	Path    string `json:"path"`
	Value   int    `json:"value"` // bytes
	Count   int    `json:"count"` // records
	Callers int    `json:"callers"`
}

// An Answer tells how a run went.
type Answer struct {
	Records int     `json:"records"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu"` // seconds of the program's processor time, user and system
	Error   string  `json:"error,omitempty"`
}

// maxLine bounds a line. No ask is as long.
const maxLine = 1 << 20

// Serve is a program: it says what it is and answers until r ends.
func Serve(ctx context.Context, r io.Reader, w io.Writer, ready Ready, run func(context.Context, Ask) (Answer, error)) error {
	out := json.NewEncoder(w) // each value on a line of its own
	if err := out.Encode(ready); err != nil {
		return err
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var ask Ask
		var answer Answer
		err := json.Unmarshal(lines.Bytes(), &ask)
		if err == nil {
			answer, err = run(ctx, ask)
		}
		if err != nil {
			answer = Answer{Error: fmt.Sprintf("%s, %s: %v", ask.Client, ask.Path, err)}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}
