package rpc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	logv1 "github.com/proglog/proglog/sdk/go/gen/log/v1"
	"github.com/proglog/proglog/server/commitlog"
	"github.com/proglog/proglog/server/internal/rpc"
)

// Goal: the name of a log in a ProduceStream may be 200 bytes long and not 201, in
// every dialect.
func TestNameLimitInAStream(t *testing.T) {
	t.Parallel()
	eachDialect(t, true, func(t *testing.T, d dialect) {
		s := newServer(t, rpc.Options{CreateOnProduce: "*"}, nil)
		for n, ok := range map[int]bool{1: true, 199: true, 200: true, 201: false} {
			req := one("a")
			req.Log = strings.Repeat("x", n)
			err := s.streamOne(t, d, req)
			if ok {
				require.NoError(t, err, n)
				continue
			}
			detail := requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_INVALID_LOG_NAME)
			require.True(t, detail.GetNothingAppended())
		}
	})
}

// Goal: a message that has as many bytes as a batch and 64 KiB reaches the limits
// proper, and one with a byte more is refused without a look at it, in every
// protocol, JSON with its third more, in one call and in a stream, compressed or
// not. Nothing is appended.
func TestMessageLimitToTheByte(t *testing.T) {
	t.Parallel()
	const binary, json = 2<<20 + 64<<10, (2<<20)/3*4 + 64<<10
	inBinary := func(n int) []byte {
		const room = 64 // for what is around the value: as long for each of these sizes
		around := proto.Size(one(string(make([]byte, n-room)))) - (n - room)
		b, _ := proto.Marshal(one(string(make([]byte, n-around))))
		return b
	}
	inJSON := func(n int) []byte { // spaces fill what base64 leaves
		b, _ := protojson.Marshal(one(string(make([]byte, (n-64)/4*3))))
		return append(b, strings.Repeat(" ", n-len(b))...)
	}
	s := newServer(t, rpc.Options{}, nil)
	for _, stream := range []bool{false, true} {
		for _, f := range framings(stream) {
			for _, inWords := range []bool{false, true} {
				if inWords && f.name == "gRPC" {
					continue // its clients speak no JSON
				}
				limit, message := binary, inBinary
				if inWords {
					limit, message = json, inJSON
					f.contentType = strings.TrimSuffix(f.contentType, "proto") + "json"
				}
				for off, want := range map[int]string{0: "REASON_TOO_LARGE", 1: "resource_exhausted"} {
					for _, gzip := range []bool{false, true} {
						if gzip && off < 1 {
							continue // what it becomes is bounded, where that is over
						}
						t.Run(fmt.Sprintf("%s/json=%v/stream=%v/%+d/gzip=%v", f.name, inWords, stream, off, gzip), func(t *testing.T) {
							body := message(limit + off)
							require.Len(t, body, limit+off)
							header, flags := map[string][]string{}, byte(0)
							if gzip {
								body, flags = gzipped(body), 1
								header["encoding"] = []string{"gzip"}
							}
							path := producePath
							if stream {
								path = produceStreamPath
							}
							require.Equal(t, want, s.post(t, newHTTPClient(t, true), f, path, header, f.message(flags, body)))
						})
					}
				}
			}
		}
	}
	require.Zero(t, s.next(t))
}

// Goal: by default a response has 10,000 records and a page 1,000 logs at most,
// and as many as were asked for if those are fewer, in every dialect.
func TestCountsByDefault(t *testing.T) {
	t.Parallel()
	eachDialect(t, true, func(t *testing.T, d dialect) { // each protocol once: they are many records
		s := newServer(t, rpc.Options{}, nil)
		for range 11 {
			s.fillBatch(t, 1000)
		}
		for i := range 1001 { // and the default one
			s.newLog(t, fmt.Sprint("log/", i))
		}
		c, admin, ctx := s.client(t, d), s.admin(t, d), ctxWithPatience(t)
		for ask, want := range map[uint32]int{9_999: 9_999, 10_001: 10_000} {
			res, err := c.Consume(ctx, &logv1.ConsumeRequest{MaxRecords: ask})
			require.NoError(t, err)
			require.Len(t, res.GetRecords(), want)
			require.Nil(t, res.NextOffset, "there is more")
		}
		for ask, want := range map[uint32]int{0: 1000, 999: 999, 1001: 1000} {
			list, err := admin.ListLogs(ctx, &logv1.ListLogsRequest{PageSize: ask})
			require.NoError(t, err)
			require.Len(t, list.GetLogs(), want)
			require.NotEmpty(t, list.GetNextPageToken())
		}
	})
}

// fillBatch appends n empty records to the default log, behind the server's back.
func (s *testServer) fillBatch(t *testing.T, n int) {
	t.Helper()
	log, err := s.engine.Log(t.Context(), "")
	require.NoError(t, err)
	_, err = log.Append(t.Context(), commitlog.Batch{Records: make([]commitlog.Record, n)})
	require.NoError(t, err)
}

// taking is the dialect with a client that takes messages of so many bytes: the
// library's own stop at 4 MiB.
func (d dialect) taking(bytes int) dialect {
	d.options = append(d.options[:len(d.options):len(d.options)], connecthttp.WithReadMaxBytes(bytes))
	return d
}

// Goal: the records of a response have at most 1 MiB by default and 3.5 MiB at
// most, to the byte, in every dialect and in a stream; and a message of that size
// stays below the 4 MiB that stock gRPC clients take.
func TestResponseBytesToTheByte(t *testing.T) {
	t.Parallel()
	eachDialect(t, true, func(t *testing.T, d dialect) { // each protocol once: they are many bytes
		for _, set := range []int{0, 7 << 19} {
			if set > 0 && d.json() {
				continue // no stock gRPC client speaks it
			}
			limit := set
			if limit == 0 {
				limit = 1 << 20
			}
			batch := commitlog.DefaultLimits()
			batch.ValueBytes = 2 << 20
			for off, want := range map[int]int{0: 2, 1: 1} {
				s := newServer(t, rpc.Options{Limits: rpc.Limits{Batch: batch, ResponseBytes: set}}, nil)
				at := time.Unix(1_800_000_000, 500_000_000)
				s.clock.mu.Lock()
				s.clock.now, s.clock.step = at, time.Nanosecond
				s.clock.mu.Unlock()
				half := commitlog.Record{Offset: 1, Time: at.Add(1), Value: make([]byte, limit/2)}
				half.Value = half.Value[:limit-commitlog.EnvelopeSize(&half)] // what is around it stays as long
				require.Equal(t, limit/2, commitlog.EnvelopeSize(&half))
				s.fill(t, "", string(half.Value), string(make([]byte, len(half.Value)+off)), "")
				c, ctx := s.client(t, d.taking(32<<20)), ctxWithPatience(t)
				res, err := c.Consume(ctx, &logv1.ConsumeRequest{Offset: 1, MaxRecords: 2})
				require.NoError(t, err)
				require.Len(t, res.GetRecords(), want, "%+d", off)
				require.Less(t, proto.Size(res), 4<<20)
				stream, err := c.ConsumeStream(ctx, &logv1.ConsumeRequest{Offset: 1, MaxRecords: 2})
				require.NoError(t, err)
				res, err = stream.Receive()
				require.NoError(t, err)
				require.LessOrEqual(t, len(res.GetRecords()), want, "%+d", off)
				require.NoError(t, stream.Close())
			}
		}
	})
}

// Goal: a server may be set to take values of 16 MiB and not of a byte more, and
// then such a record goes in and comes out, alone in its response. Method: gRPC
// alone, since it takes long; that the limit holds in every dialect is told by
// smaller ones.
func TestLargestValue(t *testing.T) {
	t.Parallel()
	batch := commitlog.DefaultLimits()
	batch.ValueBytes = commitlog.MaxValueBytes + 1
	_, err := rpc.New(nil, rpc.Options{Limits: rpc.Limits{Batch: batch}})
	require.ErrorContains(t, err, "value bytes")
	batch.ValueBytes--
	s := newServer(t, rpc.Options{Limits: rpc.Limits{Batch: batch}}, nil)
	grpc := dialect{"gRPC over h2c", true, []connecthttp.Option{connecthttp.WithGRPC()}}
	c, ctx := s.client(t, grpc.taking(32<<20)), ctxWithPatience(t)
	value := strings.Repeat("v", commitlog.MaxValueBytes)
	for _, v := range []string{value, "small"} {
		_, err := c.Produce(ctx, one(v))
		require.NoError(t, err)
	}
	_, err = c.Produce(ctx, one(value+"v"))
	detail := requireError(t, err, connect.CodeInvalidArgument, logv1.Reason_REASON_TOO_LARGE)
	requireNumbers(t, numbers{limit: ptr(uint64(16 << 20))}, detail)
	res, err := c.Consume(ctx, &logv1.ConsumeRequest{MaxRecords: 9})
	require.NoError(t, err)
	require.Len(t, res.GetRecords(), 1)
	require.True(t, value == values(res))
	res, err = c.Consume(ctx, &logv1.ConsumeRequest{Offset: 1, MaxRecords: 9})
	require.NoError(t, err)
	require.Equal(t, "small", values(res))
}

// Goal: a wait below the limit is kept, and one above is cut to it, in every
// dialect; GetLog tells 60 s by default.
func TestWaitLimit(t *testing.T) {
	t.Parallel()
	eachDialect(t, false, func(t *testing.T, d dialect) {
		const limit = 60 * time.Millisecond
		s := newServer(t, rpc.Options{Limits: rpc.Limits{Wait: limit}}, nil)
		c, ctx := s.client(t, d), ctxWithPatience(t)
		for ask, least := range map[time.Duration]time.Duration{limit - 1: limit - 1, limit: limit, limit + 1: limit, time.Hour: limit} {
			start := time.Now()
			res, err := c.Consume(ctx, &logv1.ConsumeRequest{MaxRecords: 1, Wait: durationpb.New(ask)})
			require.NoError(t, err)
			require.GreaterOrEqual(t, time.Since(start), least)
			require.Equal(t, ptr(uint64(0)), res.NextOffset)
		}
		told, err := newServer(t, rpc.Options{}, nil).client(t, d).GetLog(ctx, &logv1.GetLogRequest{})
		require.NoError(t, err)
		require.Equal(t, time.Minute, told.GetLimits().GetWait().AsDuration())
	})
}
