package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/process"
)

// Redis is a stream in the redis-server that is installed, with its append-only
// file: appendfsync always syncs before it answers, everysec once a second. What
// would rewrite the file or dump the data meanwhile is off, which favours it. The
// client is go-redis with its defaults, but for its pool: as many connections as
// there are callers, since by default most of them would wait for one.
type Redis struct {
	Always bool
	// Auto has go-redis put commands of callers that wait together into one
	// pipeline, as sdk/go does with records. Its authors call that experimental.
	Auto bool
	// Ordered fills a stream through one connection, so that records keep their
	// order; otherwise a pipelined producer uses several.
	Ordered bool
}

// Name implements [peer.Peer].
func (p Redis) Name() string {
	name := NameRedisEverysec
	if p.Always {
		name = NameRedisAlways
	}
	if p.Auto {
		name = NameRedisAuto
	}
	return name
}

// About implements [peer.Peer].
func (p Redis) About() string {
	durable := "appendfsync everysec: NOT DURABLE, a power cut takes a second of acked records"
	if p.Always {
		durable = "appendfsync always; an ack stands on a sync"
	}
	how := "XADD; go-redis " + child.Version("github.com/redis/go-redis/v9") + ", a connection per caller"
	if p.Auto {
		how = "XADD through go-redis's AutoPipeline, which is experimental"
	}
	return fmt.Sprintf("%s, %s; %s", redisVersion(), durable, how)
}

// redisVersion is what the installed server says of itself.
func redisVersion() string {
	out, err := exec.Command("redis-server", "--version").Output()
	if err != nil {
		return "redis-server, not installed"
	}
	for field := range strings.FieldsSeq(string(out)) {
		if v, ok := strings.CutPrefix(field, "v="); ok {
			return "redis-server " + v
		}
	}
	return "redis-server"
}

// Open implements [peer.Peer].
func (p Redis) Open(dir string, load peer.Load) (_ peer.Subject, err error) {
	if err := checkLoad(load); err != nil {
		return nil, err
	}
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("%w: redis-server is not installed", peer.ErrUnavailable)
	}
	s := &redisSubject{served: newServed(load), conns: pumpConns}
	if p.Ordered {
		s.conns = 1
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	fsync := "everysec"
	if p.Always {
		fsync = "always"
	}
	addr, err := s.start(program, dir, fsync)
	if err != nil {
		return nil, err
	}
	s.client = redis.NewClient(&redis.Options{Addr: addr, PoolSize: load.Writers + pumpConns, ReadTimeout: callLimit, WriteTimeout: callLimit})
	s.add = s.client
	if p.Auto {
		s.add, err = s.client.AutoPipeline()
	}
	return s, err
}

// freePortTries is how often a port is looked for that nobody takes before
// redis-server does; it cannot choose one itself.
const freePortTries = 3

func (s *redisSubject) start(program, dir, fsync string) (addr string, err error) {
	for range freePortTries {
		if addr, err = freeAddress(); err != nil {
			return "", err
		}
		_, port, _ := net.SplitHostPort(addr)
		cmd := exec.Command(program, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--daemonize", "no", "--save", "",
			"--appendonly", "yes", "--appendfsync", fsync, "--auto-aof-rewrite-percentage", "0")
		cmd.Env = os.Environ()
		s.process, err = process.Start(s.ctx, cmd, func(line string) (string, bool) {
			return addr, strings.Contains(line, "eady to accept connections")
		})
		if err == nil {
			return addr, nil
		}
	}
	return "", err
}

// freeAddress is an address on loopback that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

const (
	redisKey   = "bench"
	redisField = "v"
	// A pipelined producer has so many connections, each with its part of the
	// window in one pipeline: more than one, so that the server has work while the
	// client reads answers.
	pumpConns = 4
	// readCount is what one XREAD asks for.
	readCount = 1000
)

type redisSubject struct {
	*served
	client *redis.Client
	add    redis.StreamCmdable
	conns  int

	mu    sync.Mutex
	epoch uint64 // milliseconds of the first id
}

// Close implements [peer.Subject].
func (s *redisSubject) Close() (err error) {
	if s.client != nil {
		err = s.client.Close()
	}
	return errors.Join(err, s.stop())
}

// Writer implements [peer.Subject].
func (s *redisSubject) Writer(_ int, batch *peer.Batch) peer.Writer {
	return redisWriter{subject: s, args: addArgs(batch.Values[0])}
}

func addArgs(value []byte) *redis.XAddArgs {
	return &redis.XAddArgs{Stream: redisKey, Values: []any{redisField, value}}
}

type redisWriter struct {
	subject *redisSubject
	args    *redis.XAddArgs
}

// Append implements [peer.Writer]: one XADD.
func (w redisWriter) Append(int) (uint64, error) {
	id, err := w.subject.add.XAdd(w.subject.ctx, w.args).Result()
	if err != nil {
		return 0, err
	}
	return w.subject.place(id)
}

// sequenceBits is how many bits of an offset count records of one millisecond.
const sequenceBits = 20

// place makes an offset of an id, which is a time and a number.
func (s *redisSubject) place(id string) (uint64, error) {
	var ms, n uint64
	if _, err := fmt.Sscanf(id, "%d-%d", &ms, &n); err != nil || n >= 1<<sequenceBits {
		return 0, fmt.Errorf("id %q: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch == 0 {
		s.epoch = ms - 60_000 // acks may arrive in another order than ids
	}
	return (ms-s.epoch)<<sequenceBits | n, nil
}

// Count implements [peer.Subject].
func (s *redisSubject) Count() (uint64, error) {
	n, err := s.client.XLen(s.ctx, redisKey).Result()
	return uint64(n), err
}

// Value implements [peer.Subject].
func (s *redisSubject) Value(at peer.Place, _ []byte) ([]byte, error) {
	id := strconv.FormatUint(at.Offset>>sequenceBits+s.epoch, 10) + "-" + strconv.FormatUint(at.Offset&(1<<sequenceBits-1), 10)
	found, err := s.client.XRange(s.ctx, redisKey, id, id).Result()
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d records have id %s", len(found), id)
	}
	return redisValue(found[0])
}

func redisValue(m redis.XMessage) ([]byte, error) {
	v, ok := m.Values[redisField].(string)
	if !ok {
		return nil, fmt.Errorf("the record with id %s has no value", m.ID)
	}
	return []byte(v), nil
}

// Pump implements [peer.Pipelined].
func (s *redisSubject) Pump(ctx context.Context, flow *peer.Flow) error {
	errs := make([]error, s.conns)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.pipelines(ctx, flow, flow.Window/s.conns) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// pipelines sends pipelines of n records, each after the answers to the one before.
func (s *redisSubject) pipelines(ctx context.Context, flow *peer.Flow, n int) error {
	for {
		first, values := flow.Take(n)
		if values == nil {
			return nil
		}
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, v := range values {
				p.XAdd(ctx, addArgs(v))
			}
			return nil
		})
		if err != nil {
			return err
		}
		flow.Ack(first, len(values))
	}
}

// Stream implements [peer.Streaming]: XREADs, each from where the one before ended.
func (s *redisSubject) Stream(ctx context.Context, n uint64, each func([]byte) error) error {
	id := "0"
	for at := uint64(0); at < n; {
		found, err := s.client.XRead(ctx, &redis.XReadArgs{Streams: []string{redisKey, id}, Count: readCount, Block: -1}).Result()
		if err != nil {
			return err
		}
		for _, m := range found[0].Messages {
			value, err := redisValue(m)
			if err = errors.Join(err, each(value)); err != nil {
				return err
			}
			id = m.ID
			at++
		}
	}
	return nil
}
