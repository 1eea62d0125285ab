package proglog_test

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	proglog "github.com/proglog/proglog/sdk/go"
	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/sdk/go/gen/log/v1/logv1connect"
)

// internal is the error of a server that failed, which a client tries again only
// so often in a row.
func internal() error {
	return fail(connect.CodeInternal, &logv1.ErrorDetail{Reason: logv1.Reason_REASON_INTERNAL})
}

// Goal: a read from the earliest record that has delivered something does not
// skip what is trimmed behind its back: the gap is an error.
func TestFollowDoesNotSkipATrimmedGap(t *testing.T) {
	f := startFake(t)
	f.fill(10)
	f.set(func() {
		f.onSend = func(call int, res *logv1.ConsumeResponse) error {
			if call > 0 || res.GetRecords()[0].GetOffset() < 4 {
				return nil
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			f.first, f.records = 8, f.records[8:]
			return draining(false)
		}
	})
	var got []uint64
	var last error
	for record, err := range connectTo(t, f.url).Follow(t.Context(), proglog.BatchRecords(2)) {
		if last = err; err != nil {
			break
		}
		got = append(got, record.Offset)
		if record.Offset >= 8 {
			break
		}
	}
	assert.Equal(t, []uint64{0, 1, 2, 3}, got)
	assert.Equal(t, proglog.ReasonOffsetTrimmed, proglog.ReasonOf(last))
}

// Goal: failures that are tried again only so often count in a row: records, and
// heartbeats alike, begin a new row. Method: every stream brings something and
// fails, more often than there are attempts.
func TestFollowCountsFailuresInARow(t *testing.T) {
	t.Run("records", func(t *testing.T) {
		f := startFake(t)
		f.fill(30)
		f.set(func() {
			f.onSend = func(call int, res *logv1.ConsumeResponse) error {
				if call < 14 && res.GetRecords()[0].GetOffset() >= uint64(call+1)*2 {
					return internal()
				}
				return nil
			}
		})
		collect(t, connectTo(t, f.url).Follow(t.Context(), proglog.BatchRecords(2)), 0, 30)
		_, streams := f.calls()
		assert.Greater(t, streams, 10)
	})
	t.Run("heartbeats", func(t *testing.T) {
		f := startFake(t, func(f *fakeLog) { f.heartbeat = true })
		f.set(func() {
			f.onBeat = func(call int) error {
				if call < 12 {
					return internal()
				}
				go f.fill(1)
				return nil
			}
		})
		collect(t, connectTo(t, f.url).Follow(t.Context(), proglog.Heartbeat(time.Minute)), 0, 1)
	})
}

// refusedStream is how net/http tells that the server reset a stream and promises
// that it did not look at the request.
type refusedStream struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (refusedStream) Error() string { return "a reset stream" }

// As fills a struct of the same shape, as the error of net/http does.
func (r refusedStream) As(target any) bool {
	return proglog.FillStreamError(target, r.StreamID, r.Code)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }
func (brokenBody) Close() error               { return nil }

// Goal: "the request was not looked at" is believed only as long as no response
// has begun: behind one, the outcome is unknown.
func TestNothingAppendedNeedsThatNoResponseBegan(t *testing.T) {
	reset := refusedStream{StreamID: 1, Code: 7}
	for _, row := range []struct {
		name string
		trip roundTrip
		want error
	}{
		{"before a response", func(*http.Request) (*http.Response, error) { return nil, reset }, proglog.ErrNothingAppended},
		{"behind its header", func(req *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusOK, Proto: "HTTP/2.0", ProtoMajor: 2, Request: req,
				Header: http.Header{"Content-Type": {"application/proto"}}, Body: brokenBody{reset}, ContentLength: -1,
			}, nil
		}, proglog.ErrOutcomeUnknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := proglog.New("http://localhost", proglog.WithHTTPClient(&http.Client{Transport: row.trip}),
				proglog.WithRetry(proglog.Retry{Attempts: 1, MinDelay: 1, MaxDelay: 1}))
			require.NoError(t, err)
			_, err = c.Produce(t.Context(), record("a"), proglog.Alone())
			requireOutcome(t, err, row.want)
		})
	}
}

// Goal: a producer keeps to a server's limits that are lower than its own, though
// its first try to learn them fails: batches are cut to fit, and a record that is
// too large is refused by itself.
func TestProducerKeepsToTheServersLimits(t *testing.T) {
	for _, failures := range []int{0, 1} {
		f := startFake(t, func(f *fakeLog) {
			f.dedup = true
			f.limits = &logv1.Limits{ValueBytes: 50, Headers: 2, HeaderBytes: 9, BatchRecords: 3, BatchBytes: 60}
		})
		largest := 0
		f.set(func() {
			asked := 0
			f.onGetLog = func() error {
				if asked++; asked <= failures {
					return draining(true)
				}
				return nil
			}
			refused := false
			f.onProduce = func(_ int, req *logv1.ProduceRequest) (func() error, error) {
				if failures > 0 && !refused {
					refused = true
					return nil, draining(true)
				}
				largest = max(largest, len(req.GetRecords()))
				return nil, nil
			}
		})
		p, err := connectTo(t, f.url).NewProducer(t.Context())
		require.NoError(t, err)
		first, err := p.Send(t.Context(), record("first"))
		require.NoError(t, err)
		_, err = first.Wait(t.Context())
		require.NoError(t, err)
		trySend(t, p, 100)
		for _, r := range []proglog.Record{
			{Value: make([]byte, 51)}, {Headers: make([]proglog.Header, 3)}, {Headers: []proglog.Header{{Name: "0123456789"}}},
		} {
			_, err := p.Send(t.Context(), r)
			requireOutcome(t, err, proglog.ErrNothingAppended)
			assert.Equal(t, proglog.ReasonTooLarge, proglog.ReasonOf(err))
		}
		require.NoError(t, p.Close(t.Context()))
		assert.LessOrEqual(t, largest, 3)
		assert.Len(t, f.values(), 101)
	}
}

// Goal: the first Send, which waits until the server was asked for its limits,
// ends with its context.
func TestFirstSendEndsWithItsContext(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	f := startFake(t)
	f.set(func() {
		f.onGetLog = func() error { close(asked); <-answer; return nil }
	})
	t.Cleanup(func() { close(answer) })
	p, err := connectTo(t, f.url).NewProducer(t.Context())
	require.NoError(t, err)
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Send(ctx, record("a"))
	requireOutcome(t, err, proglog.ErrNothingAppended)
	assert.Equal(t, proglog.CodeCanceled, proglog.CodeOf(err))
	require.Error(t, p.Close(ctx))
	_, err = connectTo(t, f.url).NewProducer(t.Context(), nil)
	require.ErrorContains(t, err, "option of the producer is nil")
}

// Goal: a response over HTTP/1.1 to a producer, whatever its status, means that
// nothing was appended: the library sends no records there.
func TestProducerOverHTTP1AppendsNothing(t *testing.T) {
	trip := roundTrip(func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {"application/connect+proto"}}, Body: http.NoBody, ContentLength: -1,
		}, nil
	})
	c, err := proglog.New("http://localhost", fast(), proglog.WithHTTPClient(&http.Client{Transport: trip}))
	require.NoError(t, err)
	p, err := c.NewProducer(t.Context())
	require.NoError(t, err)
	future, err := p.Send(t.Context(), record("a"))
	if err == nil { // the producer may have ended before
		_, err = future.Wait(t.Context())
	}
	requireOutcome(t, err, proglog.ErrNothingAppended)
	assert.ErrorContains(t, err, "HTTP/2")
}

// Goal: a log that is put back to an older state is never read on in silence,
// also when its identity stays what it was, as after a snapshot of a volume: the
// first sign of life tells where it ends.
func TestFollowNoticesALogThatWentBack(t *testing.T) {
	f := startFake(t)
	f.fill(6)
	f.set(func() {
		f.heartbeat = true
		f.onBeat = func(call int) error {
			if call > 0 {
				return nil
			}
			f.set(func() { f.records = f.records[:3] })
			return draining(false)
		}
	})
	var got []uint64
	var last error
	for record, err := range connectTo(t, f.url).Follow(t.Context()) {
		if last = err; err != nil {
			break
		}
		got = append(got, record.Offset)
	}
	assert.Equal(t, []uint64{0, 1, 2, 3, 4, 5}, got)
	assert.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(last), "%v", last)
}

// Goal: the same for a place that was stored: its offset was reached by reading,
// so a log that ends before it is another state.
func TestStoredPlaceBeyondTheLog(t *testing.T) {
	f := startFake(t)
	f.fill(3)
	client := connectTo(t, f.url)
	info, err := client.DescribeLog(t.Context(), "")
	require.NoError(t, err)
	place := proglog.Place{LogID: info.ID, Offset: 4}
	for _, opts := range [][]proglog.ReadOption{{place.Start()}, {place.Start(), proglog.ToTail()}} {
		for _, err := range client.Follow(t.Context(), opts...) {
			require.Equal(t, proglog.ReasonLogChanged, proglog.ReasonOf(err), "%v", err)
			break
		}
	}
}

// Goal: an offset that nobody read is waited for, also in a log that is named by
// its identity, and with heartbeats that tell where the tail is.
func TestOffsetBeyondTheTailIsWaitedFor(t *testing.T) {
	f := startFake(t, func(f *fakeLog) { f.heartbeat = true })
	f.fill(3)
	var once sync.Once
	f.set(func() {
		f.onBeat = func(int) error { once.Do(func() { go f.fill(4) }); return nil }
	})
	client := connectTo(t, f.url)
	info, err := client.DescribeLog(t.Context(), "")
	require.NoError(t, err)
	collect(t, client.Follow(t.Context(), proglog.OnlyLog(info.ID), proglog.From(5)), 5, 2)
	for _, opts := range [][]proglog.ReadOption{
		{proglog.From(9)}, {proglog.From(9), proglog.OnlyLog(info.ID)},
		{proglog.Place{LogID: info.ID, Offset: 7}.Start(), proglog.From(9)},
	} {
		for _, err := range client.Records(t.Context(), opts...) {
			require.Equal(t, proglog.ReasonOffsetUnwritten, proglog.ReasonOf(err), "nobody says that it was read before: %v", err)
		}
	}
}

// Goal: a message that takes longer than the patience, on a network that is slow and
// not dead, is waited for as long as bytes of it come. Method: it comes in pieces,
// over three times the patience; a reader that connects again gets the same.
func TestFollowWaitsForASlowMessage(t *testing.T) {
	f := newFakeLog("id-1")
	f.heartbeat = true
	f.fill(1)
	server := connect.NewServer()
	logv1connect.RegisterLogHandler(server, f)
	mux := http.NewServeMux()
	connecthttp.Mount(mux, server)
	message, err := proto.Marshal(&logv1.ConsumeResponse{Records: f.records})
	require.NoError(t, err)
	message = append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
	const heartbeat = 200 * time.Millisecond
	var streams atomic.Int64
	url := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/log.v1.Log/ConsumeStream" {
			mux.ServeHTTP(w, r)
			return
		}
		streams.Add(1)
		w.Header().Set("Content-Type", "application/connect+proto")
		pieces := time.NewTicker(3 * heartbeat * 5 / 2 / time.Duration(len(message)))
		defer pieces.Stop()
		for i := range message {
			if _, err := w.Write(message[i : i+1]); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-pieces.C:
			case <-r.Context().Done():
				return
			}
		}
		<-r.Context().Done()
	}), true)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for record, err := range connectTo(t, url).Follow(ctx, proglog.Heartbeat(heartbeat)) {
		require.NoError(t, err)
		require.Equal(t, string(valueAt(0)), string(record.Value))
		break
	}
	assert.Equal(t, int64(1), streams.Load())
}
