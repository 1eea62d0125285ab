package rpc

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect/v2"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
)

// A budget is the memory that requests may take, of all calls together.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take adds n to what is used, unless that is over the limit.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// An account is what one call has of a budget. Its goroutines may use it at the
// same time.
type account struct {
	*budget
	held atomic.Int64
}

func (a *account) take(n int64) bool {
	if !a.budget.take(n) {
		return false
	}
	a.held.Add(n)
	return true
}

// hold takes n, also when that is over the limit: what it stands for is there
// already, and is bounded by other limits.
func (a *account) hold(n int64) {
	a.used.Add(n)
	a.held.Add(n)
}

func (a *account) give(n int64) {
	a.used.Add(-n)
	a.held.Add(-n)
}

// settle gives back all that is held. The call has ended.
func (a *account) settle() { a.used.Add(-a.held.Swap(0)) }

// messageFactor is what a byte of a message under way counts: the buffer that
// the protocol library grows by doubling, and the decoded message.
const messageFactor = 3

// envelopePrefix is the size of what goes before a message in a stream, and
// envelopeCompressed the flag in it.
const (
	envelopePrefix     = 5
	envelopeCompressed = 1
)

// An intake is the body of a request. It follows where messages begin and end,
// counts the bytes of the one under way against the budget, and bounds the time
// that it may be under way. Between messages a stream may be silent for ever,
// and holds nothing.
type intake struct {
	io.ReadCloser
	account
	most       int64         // bytes of a message; a larger one is not kept
	enveloped  bool          // messages have prefixes; else the body is the message
	compressed bool          // of a body that is the message
	stall      time.Duration // for a message of a stream; 0: another bound holds
	cut        func()        // makes the reads fail
	timer      *time.Timer
	stalled    atomic.Bool

	prefix [envelopePrefix]byte
	have   int     // bytes of the prefix
	left   int64   // bytes of the message that are still to come
	charge int64   // what the message under way has of the budget
	peeked [1]byte // a byte that was read before its time
	ahead  bool    // there is one
}

// newIntake follows a request's body.
func newIntake(r *http.Request, b *budget, most int64, cut func()) *intake {
	kind := strings.ToLower(r.Header.Get("Content-Type"))
	encoding := r.Header.Get("Content-Encoding")
	return &intake{
		ReadCloser: r.Body,
		account:    account{budget: b},
		most:       most,
		enveloped:  isGRPC(r) || strings.HasPrefix(kind, "application/connect+"),
		compressed: encoding != "" && encoding != "identity",
		cut:        cut,
	}
}

func overloaded() error {
	return &refusal{code: connect.CodeResourceExhausted, reason: logv1.Reason_REASON_OVERLOADED,
		text: "the requests that are being received take all the memory that they may; try later"}
}

func halfReceived() error {
	return &refusal{code: connect.CodeDeadlineExceeded, reason: logv1.Reason_REASON_DEADLINE,
		text: "the rest of a request did not come in time"}
}

// Read implements [io.Reader].
func (in *intake) Read(p []byte) (n int, err error) {
	if in.ahead && len(p) > 0 {
		in.ahead = false
		p[0] = in.peeked[0]
		return 1, nil
	}
	n, err = in.ReadCloser.Read(p)
	if refused := in.follow(p[:n]); refused != nil {
		return 0, refused
	}
	return n, in.outcome(err)
}

// Close leaves the body of a single request open: what is to come of it is drained
// once it has been answered, and net/http closes it then.
func (in *intake) Close() error {
	if !in.enveloped {
		return nil
	}
	return in.ReadCloser.Close()
}

// outcome replaces the error of a read that was cut.
func (in *intake) outcome(err error) error {
	switch {
	case err != nil && in.stalled.Load() && in.underWay():
		return halfReceived()
	case errors.Is(err, io.EOF) && !in.enveloped && in.compressed && !in.unpack():
		return overloaded()
	}
	return err
}

// await returns when the next message begins, or never will. It is called before
// the protocol library takes a buffer for the message, so that a silent stream
// has none.
func (in *intake) await() {
	if in.ahead {
		return
	}
	n, err := in.ReadCloser.Read(in.peeked[:])
	for n == 0 && err == nil {
		n, err = in.ReadCloser.Read(in.peeked[:])
	}
	in.ahead = n > 0 // the next read tells the error
	_ = in.follow(in.peeked[:n])
}

// underWay says whether a message has begun and not ended.
func (in *intake) underWay() bool { return in.have > 0 }

// follow counts bytes that were received.
func (in *intake) follow(p []byte) error {
	if !in.enveloped {
		return in.count(int64(len(p)))
	}
	for len(p) > 0 {
		if in.have < envelopePrefix {
			in.begin()
			n := copy(in.prefix[in.have:], p)
			in.have += n
			p = p[n:]
			if in.have < envelopePrefix {
				return nil
			}
			in.left = int64(binary.BigEndian.Uint32(in.prefix[1:]))
		}
		n := min(int64(len(p)), in.left)
		in.left -= n
		p = p[n:]
		if err := in.count(n); err != nil {
			return err
		}
		if in.left == 0 {
			if err := in.end(); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin starts the time of a message with its first byte.
func (in *intake) begin() {
	if in.have == 0 && in.stall > 0 {
		in.timer = arm(in.timer, in.stall, func() { in.stalled.Store(true); in.cut() })
	}
}

// end is where a message is complete.
func (in *intake) end() error {
	in.have = 0
	in.timer = arm(in.timer, 0, nil)
	if in.prefix[0]&envelopeCompressed != 0 && !in.unpack() {
		return overloaded()
	}
	return nil
}

// count charges n bytes of the message under way, unless it is so large that it
// is thrown away.
func (in *intake) count(n int64) error {
	if in.enveloped && int64(binary.BigEndian.Uint32(in.prefix[1:])) > in.most {
		return nil
	}
	if !in.take(n * messageFactor) {
		return overloaded()
	}
	in.charge += n * messageFactor
	return nil
}

// unpack charges what a compressed message may become.
func (in *intake) unpack() bool {
	n := in.most * messageFactor
	if !in.take(n) {
		return false
	}
	in.charge += n
	return true
}

// received says that the message was decoded, and takes size bytes from now on.
func (in *intake) received(size int64) {
	in.hold(size)
	in.give(in.charge)
	in.charge = 0
}
