package proglog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Option sets up a [Client].
type Option interface{ applyClient(*clientConfig) }

// Protocol is the way the client speaks over HTTP.
type Protocol int

const (
	// ProtocolConnect is the default. It needs no HTTP trailers, and all but
	// producers work over HTTP/1.1 too, so that it passes any proxy.
	ProtocolConnect Protocol = iota
	// ProtocolGRPC is for networks that let through only gRPC.
	ProtocolGRPC
)

type clientConfig struct {
	wrong      error // the first option that makes no sense by itself
	httpClient *http.Client
	tls        *tls.Config
	token      func(context.Context) (string, error)
	headers    http.Header
	userAgent  string
	retry      Retry
	limits     Limits
	logger     *slog.Logger
	protocol   Protocol
	wraps      []func(http.RoundTripper) http.RoundTripper
}

// clientOption is how every option of a client is made: the set is closed.
type clientOption func(*clientConfig)

func (o clientOption) applyClient(c *clientConfig) { o(c) }

// WithHTTPClient sends everything through hc instead of a client of its own.
// It has to speak HTTP/2 if producers are used: to an http:// address by prior
// knowledge, which [http.Transport] does when its Protocols say so.
func WithHTTPClient(hc *http.Client) Option {
	return clientOption(func(c *clientConfig) {
		c.httpClient = hc
		c.refuse(hc == nil, "the HTTP client is nil")
	})
}

// WithRoundTripper puts a layer around whatever sends the requests, such as one
// that traces them (otelhttp.NewTransport) or counts them: it sees every try of a
// call, with the method as the last part of the path, and may add headers. The
// one that is given first is the outermost.
func WithRoundTripper(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return clientOption(func(c *clientConfig) {
		c.wraps = append(c.wraps, wrap)
		c.refuse(wrap == nil, "the layer around the transport is nil")
	})
}

// wrapped is an HTTP client with all layers around its transport.
func (c *clientConfig) wrapped(hc *http.Client) *http.Client {
	if len(c.wraps) == 0 {
		return hc
	}
	layered := *hc
	if layered.Transport == nil {
		layered.Transport = http.DefaultTransport
	}
	for _, wrap := range slices.Backward(c.wraps) {
		layered.Transport = wrap(layered.Transport)
	}
	return &layered
}

// WithTLSConfig sets what an https:// address is reached with: the roots to
// trust, a certificate of the client's own.
func WithTLSConfig(config *tls.Config) Option {
	return clientOption(func(c *clientConfig) { c.tls = config })
}

// WithToken asks source for a token before every call and sends it as "Bearer".
// A token goes to an https:// address, or to this machine, only.
func WithToken(source func(context.Context) (string, error)) Option {
	return clientOption(func(c *clientConfig) {
		c.token = source
		c.refuse(source == nil, "the source of tokens is nil")
	})
}

// WithHeader adds an HTTP header to every call.
func WithHeader(name, value string) Option {
	return clientOption(func(c *clientConfig) { c.headers.Add(name, value) })
}

// WithUserAgent puts a program's name, such as "billing/2.1", before the SDK's
// in the User-Agent header.
func WithUserAgent(program string) Option {
	return clientOption(func(c *clientConfig) { c.userAgent = program + " " + c.userAgent })
}

// WithRetry changes how failed calls are tried again; see [DefaultRetry].
func WithRetry(retry Retry) Option {
	return clientOption(func(c *clientConfig) { c.retry = retry })
}

// WithLimits changes the limits that are checked before anything is sent, for a
// server that has others; see [DefaultLimits].
func WithLimits(limits Limits) Option {
	return clientOption(func(c *clientConfig) { c.limits = limits })
}

// WithLogger reports every lost connection and every retry, without values.
// Unless it is set, nothing is logged.
func WithLogger(logger *slog.Logger) Option {
	return clientOption(func(c *clientConfig) { c.logger = logger })
}

// WithProtocol changes the protocol; see [ProtocolConnect].
func WithProtocol(p Protocol) Option {
	return clientOption(func(c *clientConfig) { c.protocol = p })
}

// refuse notes what is wrong with an option, unless something is already.
func (c *clientConfig) refuse(wrong bool, why string) {
	if wrong && c.wrong == nil {
		c.wrong = errors.New(why)
	}
}

// validate reports the first setting that makes no sense.
func (c *clientConfig) validate() error {
	switch l, r := c.limits, c.retry; {
	case c.wrong != nil:
		return c.wrong
	case c.httpClient != nil && c.tls != nil:
		return errors.New("WithTLSConfig has no effect beside WithHTTPClient: set it on the transport of the HTTP client")
	case r.Attempts < 1 || r.MinDelay <= 0 || r.MaxDelay < r.MinDelay:
		return fmt.Errorf("retry needs at least 1 attempt and delays above 0 in order, not %+v", r)
	case r.MaxDelay > MaxRetryDelay:
		return fmt.Errorf("retry has a delay of %v: the longest is %v", r.MaxDelay, MaxRetryDelay)
	case l.ValueBytes < 1 || l.Headers < 0 || l.HeaderBytes < 0 || l.BatchRecords < 1 || l.BatchBytes < 1:
		return fmt.Errorf("a limit is out of range: %+v", l)
	case c.protocol != ProtocolConnect && c.protocol != ProtocolGRPC:
		return fmt.Errorf("there is no protocol %d", c.protocol)
	case c.logger == nil:
		return errors.New("the logger is nil")
	}
	return nil
}

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
}

// LogOption names a log; it is an option of every call on a log.
type LogOption struct{ name string }

// InLog chooses the log. Without it a call is on the default log.
func InLog(name string) LogOption { return LogOption{name} }

func (o LogOption) applyProduce(c *produceConfig)   { c.log = o.name }
func (o LogOption) applyConsume(c *consumeConfig)   { c.log = o.name }
func (o LogOption) applyRead(c *readConfig)         { c.log = o.name }
func (o LogOption) applyProducer(c *producerConfig) { c.log = o.name }

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
	return readOption(func(c *readConfig) { c.start, c.offset = startEarliest, 0 })
}

// From starts at an offset. Below the log's first offset the read fails with
// [ReasonOffsetTrimmed]; one that is not yet written is waited for, or fails
// with [ReasonOffsetUnwritten] in a read that ends at the tail.
func From(offset uint64) ReadOption {
	return readOption(func(c *readConfig) { c.start, c.offset = startOffset, offset })
}

// FromEnd starts n records before the tail, or at the first record if there are
// fewer; 0: only with records that are yet to come.
func FromEnd(n uint64) ReadOption {
	return readOption(func(c *readConfig) { c.start, c.offset = startEnd, n })
}

// FromTime starts at the first record that the server appended at this time or
// later, or at the tail if there is none.
func FromTime(t time.Time) ReadOption {
	return readOption(func(c *readConfig) { c.start, c.offset, c.time = startTime, 0, t })
}

// LogIDOption names the log that is meant by its identity.
type LogIDOption struct{ id string }

// OnlyLog reads only the log with this identity, as [LogInfo] has it: if another
// one has taken the name, or the data was restored from a backup, the read fails
// with [ReasonLogChanged]. Whoever stores offsets stores the identity with them.
//
// A read that began holds on to the identity of its log without it.
func OnlyLog(id string) LogIDOption { return LogIDOption{id} }

func (o LogIDOption) applyConsume(c *consumeConfig) { c.logID = o.id }
func (o LogIDOption) applyRead(c *readConfig)       { c.logID = o.id }

// WaitOption is how long a single read waits at the tail.
type WaitOption struct{ d time.Duration }

// Wait lets [Client.Consume] and [Client.ConsumeBatch] wait at the tail for a
// record, at most as long as the server allows, 60 s by default.
func Wait(d time.Duration) WaitOption { return WaitOption{max(d, 0)} }

func (o WaitOption) applyConsume(c *consumeConfig) { c.wait = o.d }
func (o WaitOption) applyRead(c *readConfig)       { c.wait = o.d }

// Heartbeat asks the server for a sign of life in this interval while a follower
// waits at the tail, [DefaultHeartbeat] unless told; 0: never. When two of them fail to
// come, the follower connects again. It is brought within what the server allows.
func Heartbeat(interval time.Duration) ReadOption {
	return readOption(func(c *readConfig) { c.heartbeat = max(interval, 0) })
}

// ToTail ends the read at the offset that was the log's next one when the read
// began. [Client.Records] does so anyway.
func ToTail() ReadOption {
	return readOption(func(c *readConfig) { c.toTail = true })
}

// Until ends the read before an offset.
func Until(offset uint64) ReadOption {
	return readOption(func(c *readConfig) { c.until = &offset })
}

// BatchRecords bounds the records that come in one [Batch] and one response,
// [DefaultReadRecords] unless told. Fewer come when they are large or the tail is reached.
func BatchRecords(n uint32) ReadOption {
	return readOption(func(c *readConfig) { c.records = max(n, 1) })
}

type producerOption func(*producerConfig)

func (o producerOption) applyProducer(c *producerConfig) { o(c) }

// Linger lets a batch wait for more records this long, unless it is full. The
// default is 0: a batch leaves as soon as there is room in flight, and what
// comes meanwhile makes the next one, so that batches grow with the load.
func Linger(d time.Duration) ProducerOption {
	return producerOption(func(c *producerConfig) { c.linger = max(d, 0) })
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

// GiveUpAfter bounds how long a producer tries to go on without success before it
// ends, [DefaultGiveUpAfter] unless told. A server that never answered is given up after the
// attempts of [Retry], so that a wrong address shows soon.
func GiveUpAfter(d time.Duration) ProducerOption {
	return producerOption(func(c *producerConfig) { c.giveUp = max(d, 0) })
}
