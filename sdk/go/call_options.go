package proglog

import (
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// ProduceOption is a choice of one [Client.Produce] or [Client.ProduceBatch].
type ProduceOption interface{ applyProduce(*produceConfig) }

// ConsumeOption is a choice of one [Client.Consume].
type ConsumeOption interface{ applyConsume(*consumeConfig) }

// ReadOption is a choice of one [Client.Follow], [Client.Records] or
// [Client.Batches].
type ReadOption interface{ applyRead(*readConfig) }

// ProducerOption is a choice of one [Client.NewProducer].
type ProducerOption interface{ applyProducer(*producerConfig) }

type produceConfig struct {
	log      string
	expected *uint64
	identity *identity
	alone    bool
}

type consumeConfig struct {
	log   string
	logID string
	wait  time.Duration
}

type readConfig struct {
	log       string
	logID     string
	start     startKind
	offset    uint64    // of startOffset; the count of startEnd
	reached   bool      // offset was reached by reading
	time      time.Time // of startTime
	toTail    bool
	until     *uint64
	records   uint32        // of a batch, at most
	wait      time.Duration // of a single batch
	heartbeat time.Duration
}

type producerConfig struct {
	log          string
	linger       time.Duration
	batchRecords int
	batchBytes   int
	batches      int // in flight, at most
	bytes        int // waiting and in flight, at most
	identity     identity
	giveUp       time.Duration // without progress
	cuts         bool          // an attempt is cut when that is over
}

// LogOption names a log; it is an option of every call on a log.
type LogOption struct{ name string }

// InLog chooses the log. Without it a call is on the default log.
func InLog(name string) LogOption { return LogOption{name} }

func (o LogOption) applyProduce(c *produceConfig)   { c.log = o.name }
func (o LogOption) applyConsume(c *consumeConfig)   { c.log = o.name }
func (o LogOption) applyRead(c *readConfig)         { c.log = o.name }
func (o LogOption) applyProducer(c *producerConfig) { c.log = o.name }

// errNilOption is the error of a call that was given no option where there is one.
func errNilOption() *Error {
	return refused(CodeInvalidArgument, ReasonInvalidRequest, "an option is nil")
}

// newProduceConfig applies the options of a write.
func newProduceConfig(opts []ProduceOption) (produceConfig, *Error) {
	var c produceConfig
	for _, o := range opts {
		if o == nil {
			return c, errNilOption()
		}
		o.applyProduce(&c)
	}
	if i := c.identity; i != nil {
		if err := checkProducerID(i.id); err != nil {
			return c, refused(CodeInvalidArgument, ReasonInvalidRequest, "%v", err)
		}
	}
	return c, checkLogName(c.log)
}

// newConsumeConfig applies the options of a read of one record.
func newConsumeConfig(opts []ConsumeOption) (consumeConfig, *Error) {
	var c consumeConfig
	for _, o := range opts {
		if o == nil {
			return c, errNilOption()
		}
		o.applyConsume(&c)
	}
	if c.wait < 0 {
		return c, negative("a wait", c.wait)
	}
	return c, checkLog(c.log, c.logID)
}

// newReadConfig applies the options of a read.
func newReadConfig(opts []ReadOption) (readConfig, *Error) {
	c := readConfig{records: DefaultReadRecords, heartbeat: DefaultHeartbeat}
	for _, o := range opts {
		if o == nil {
			return c, errNilOption()
		}
		o.applyRead(&c)
	}
	switch {
	case c.wait < 0:
		return c, negative("a wait", c.wait)
	case c.heartbeat < 0:
		return c, negative("a heartbeat", c.heartbeat)
	case c.records == 0:
		return c, refused(CodeInvalidArgument, ReasonInvalidRequest, "a batch of at most 0 records")
	case c.start == startTime && timestamppb.New(c.time).CheckValid() != nil:
		return c, refused(CodeInvalidArgument, ReasonInvalidRequest, "the time %v is out of the years 1 to 9999", c.time)
	}
	return c, checkLog(c.log, c.logID)
}

func negative(what string, d time.Duration) *Error {
	return refused(CodeInvalidArgument, ReasonInvalidRequest, "%s of %v is negative", what, d)
}

// checkLogName refuses what cannot be sent as a name; the server judges the rest.
func checkLogName(name string) *Error {
	if !utf8.ValidString(name) {
		return refused(CodeInvalidArgument, ReasonInvalidLogName, "the name %q of a log is not UTF-8", name)
	}
	return nil
}

// checkLog refuses what cannot be sent as a name and an identity.
func checkLog(name, id string) *Error {
	if !utf8.ValidString(id) {
		return refused(CodeInvalidArgument, ReasonInvalidRequest, "the identity %q of a log is not UTF-8", id)
	}
	return checkLogName(name)
}

// checkProducerID says why an id cannot be that of a producer.
func checkProducerID(id string) error {
	switch {
	case id == "" || len(id) > maxProducerID:
		return fmt.Errorf("a producer's id has 1 to %d bytes, not %d", maxProducerID, len(id))
	case !utf8.ValidString(id):
		return fmt.Errorf("the id %q of a producer is not UTF-8", id)
	}
	return nil
}

type produceOption func(*produceConfig)

func (o produceOption) applyProduce(c *produceConfig) { o(c) }

// ExpectOffset appends only if the first record gets exactly this offset;
// otherwise the call fails with [ReasonOffsetMismatch].
func ExpectOffset(offset uint64) ProduceOption {
	return produceOption(func(c *produceConfig) { c.expected = &offset })
}

// Sequence sends the request as the given one of a producer: its id, its epoch and
// the number of the request within that, from 0 on without gaps. With the same
// three the same records are appended once, however often and by whatever process
// they are sent; the answer is the first acknowledgement then. See [Identity].
func Sequence(id string, epoch, sequence uint64) ProduceOption {
	return produceOption(func(c *produceConfig) {
		c.identity = &identity{chosen: true, id: id, epoch: epoch, sequence: sequence}
	})
}

// Alone sends the request by itself, over HTTP/1.1 if need be, and not with those
// of other calls.
func Alone() ProduceOption { return produceOption(func(c *produceConfig) { c.alone = true }) }

// startKind is where a read starts.
type startKind int

const (
	startEarliest startKind = iota
	startOffset
	startEnd
	startTime
)

type readOption func(*readConfig)

func (o readOption) applyRead(c *readConfig) { o(c) }

// FromEarliest starts at the first record that the log still has. It is the
// default.
func FromEarliest() ReadOption {
	return readOption(func(c *readConfig) { c.start, c.offset, c.reached = startEarliest, 0, false })
}

// From starts at an offset. Below the log's first offset the read fails with
// [ReasonOffsetTrimmed]; one that is not yet written is waited for, or fails
// with [ReasonOffsetUnwritten] in a read that ends at the tail.
func From(offset uint64) ReadOption {
	return readOption(func(c *readConfig) { c.start, c.offset, c.reached = startOffset, offset, false })
}

// FromEnd starts n records before the tail, or at the first record if there are
// fewer; 0: only with records that are yet to come.
func FromEnd(n uint64) ReadOption {
	return readOption(func(c *readConfig) { c.start, c.offset, c.reached = startEnd, n, false })
}

// FromTime starts at the first record that the server appended at this time or
// later, or at the tail if there is none.
func FromTime(t time.Time) ReadOption {
	return readOption(func(c *readConfig) { c.start, c.offset, c.reached, c.time = startTime, 0, false, t })
}

// LogIDOption names the log that is meant by its identity.
type LogIDOption struct{ id string }

// OnlyLog reads only the log with this identity, as [LogInfo] has it: if another
// one has taken the name, or the data was restored from a backup, the read fails
// with [ReasonLogChanged]. Whoever stores offsets stores the identity with them,
// and resumes from a [Place]: unlike [From], it says that the offset was reached.
//
// A read that began holds on to the identity of its log without it.
func OnlyLog(id string) LogIDOption { return LogIDOption{id} }

func (o LogIDOption) applyConsume(c *consumeConfig) { c.logID = o.id }
func (o LogIDOption) applyRead(c *readConfig)       { c.logID = o.id }

// WaitOption is how long a single read waits at the tail.
type WaitOption struct{ d time.Duration }

// Wait lets [Client.Consume] and [Client.ConsumeBatch] wait at the tail for a
// record, at most as long as the server allows, 60 s by default.
func Wait(d time.Duration) WaitOption { return WaitOption{d} }

func (o WaitOption) applyConsume(c *consumeConfig) { c.wait = o.d }
func (o WaitOption) applyRead(c *readConfig)       { c.wait = o.d }

// Heartbeat asks the server for a sign of life in this interval while a follower
// waits at the tail, [DefaultHeartbeat] unless told; 0: never. When two of them fail to
// come, the follower connects again. It is brought within what the server allows. What
// a follower asks first waits as long for each answer, at least 2.5 s, and is asked again
// as often as [Retry] says.
func Heartbeat(interval time.Duration) ReadOption {
	return readOption(func(c *readConfig) { c.heartbeat = interval })
}

// ToTail ends the read at the offset that was the log's next one when the read
// began. [Client.Records] does so anyway.
func ToTail() ReadOption {
	return readOption(func(c *readConfig) { c.toTail = true })
}

// Until ends the read before an offset. A read that starts there or behind it, such as
// one that goes on where it had ended, has no records and ends without an error.
func Until(offset uint64) ReadOption {
	return readOption(func(c *readConfig) { c.until = &offset })
}

// BatchRecords bounds the records that come in one [Batch] and one response,
// [DefaultReadRecords] unless told. Fewer come when they are large or the tail is reached.
func BatchRecords(n uint32) ReadOption {
	return readOption(func(c *readConfig) { c.records = n })
}

type producerOption func(*producerConfig)

func (o producerOption) applyProducer(c *producerConfig) { o(c) }

// Linger lets a batch wait for more records this long, unless it is full. The
// default is 0: a batch leaves as soon as there is room in flight, and what
// comes meanwhile makes the next one, so that batches grow with the load.
func Linger(d time.Duration) ProducerOption {
	return producerOption(func(c *producerConfig) { c.linger = d })
}

// MaxBatch bounds a producer's batches: by records, [DefaultBatchRecords] unless
// told, and by bytes, [DefaultBatchBytes] unless told. A larger record is a batch
// of its own. Where the server allows less, that holds.
func MaxBatch(records, bytes int) ProducerOption {
	return producerOption(func(c *producerConfig) { c.batchRecords, c.batchBytes = records, bytes })
}

// MaxInFlight bounds what a producer has not had acknowledged: by batches that
// were sent, [DefaultInFlightBatches] unless told, and by bytes, sent or waiting,
// [DefaultInFlightBytes] unless told.
// [Producer.Send] waits while the bytes are used up.
func MaxInFlight(batches, bytes int) ProducerOption {
	return producerOption(func(c *producerConfig) { c.batches, c.bytes = batches, bytes })
}

// Identity chooses the identity that a producer writes under: an id of 1 to 64
// bytes and the epoch, which says which life of this writer it is. Unless told, a
// producer has a random id.
//
// A producer with a higher epoch fences those with the same id: their records are
// refused with [ReasonProducerFenced] from then on. So a program that takes over
// from another, or from itself after a crash, raises the epoch. Under an id and an
// epoch that were used before, the first batch would be taken for a repetition.
func Identity(id string, epoch uint64) ProducerOption {
	return producerOption(func(c *producerConfig) {
		c.identity = identity{chosen: true, id: id, epoch: epoch}
	})
}

// WithoutIdentity makes a producer that sends nothing twice: the first failure
// ends it, and also a server that stops does.
func WithoutIdentity() ProducerOption {
	return producerOption(func(c *producerConfig) { c.identity = identity{none: true} })
}

// GiveUpAfter bounds how long a producer goes on without success, [DefaultGiveUpAfter]
// unless told. While records wait for an answer, it ends at most this long after the
// last acknowledgement, or after the oldest of them was sent if that was later. What it
// is at is cut then, so that a server which is silent on a connection that stands is
// noticed too; records that were sent are [ErrOutcomeUnknown], and those that were not
// are [ErrNothingAppended]. Time in which nothing waits for an answer does not count.
//
// A server that never answered is given up after the attempts of [Retry] if these are
// over first, so that a wrong address shows soon. With 0 the first failure ends the
// producer, once the server has answered; a try is not cut then, and ends by itself: on
// a silent connection after 20 s, when it does not answer pings.
func GiveUpAfter(d time.Duration) ProducerOption {
	return producerOption(func(c *producerConfig) { c.giveUp = d })
}
