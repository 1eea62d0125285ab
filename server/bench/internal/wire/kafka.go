package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/process"
)

// Kafka is Apache Kafka on one node that is its own controller (KRaft), with one
// topic of one partition, through franz-go with its defaults, which wait for all
// replicas: there is one. So that an ack stands on a sync, as ours does, the topic
// has flush.messages=1; with Every it is left at Kafka's default, which leaves syncs
// to the kernel.
type Kafka struct {
	Every bool // not durable: no flush.messages
}

// Name implements [peer.Peer].
func (p Kafka) Name() string {
	if p.Every {
		return NameKafkaDefault
	}
	return NameKafkaAlways
}

// About implements [peer.Peer].
func (p Kafka) About() string {
	about := "Apache Kafka " + kafkaVersion() + "KRaft, one node, one partition; franz-go " + child.Version("github.com/twmb/franz-go") + " with its defaults; "
	if p.Every {
		return about + "syncs at its default, left to the kernel: NOT DURABLE, a power cut takes acked records"
	}
	return about + "flush.messages=1; an ack stands on a sync"
}

const topic = "bench"

// kafkaVersion is the version in the name of Kafka's own jar, and a comma.
func kafkaVersion() string {
	k, err := findKafka()
	if err != nil {
		return ""
	}
	libs := k.libs
	if libs == "" {
		libs = filepath.Join(filepath.Dir(k.scripts), "libs")
	}
	jars, _ := filepath.Glob(filepath.Join(libs, "kafka_*-[0-9]*.jar"))
	for _, jar := range jars {
		if _, version, ok := strings.Cut(strings.TrimSuffix(filepath.Base(jar), ".jar"), "-"); ok {
			return version + ", "
		}
	}
	return ""
}

// kafka is where Kafka's programs are: the scripts of a distribution, or else the
// folder of jars that they would start.
type kafka struct{ scripts, libs string }

// findKafka looks for a distribution first, then for the jars that `make bench`
// brings where there is Maven.
func findKafka() (k kafka, err error) {
	if home := os.Getenv("KAFKA_HOME"); home != "" {
		k.scripts = filepath.Join(home, "bin")
	} else if start, err := exec.LookPath("kafka-server-start.sh"); err == nil {
		k.scripts = filepath.Dir(start)
	} else if k.libs = os.Getenv("KAFKA_LIBS"); k.libs == "" {
		return k, fmt.Errorf("%w: there is no Kafka: neither KAFKA_HOME, kafka-server-start.sh in PATH, nor Maven or KAFKA_LIBS", peer.ErrUnavailable)
	}
	files := []string{filepath.Join(k.scripts, "kafka-server-start.sh"), filepath.Join(k.scripts, "kafka-storage.sh")}
	if k.libs != "" {
		files = []string{k.libs}
	}
	for _, name := range files {
		if _, err := os.Stat(name); err != nil {
			return k, fmt.Errorf("%w: there is no %s", peer.ErrUnavailable, name)
		}
	}
	if _, err := exec.LookPath("java"); err != nil && (k.libs != "" || os.Getenv("JAVA_HOME") == "") {
		return k, fmt.Errorf("%w: Kafka needs Java, which is not installed", peer.ErrUnavailable)
	}
	return k, nil
}

// The memory and what the distribution's scripts tell Java besides.
const (
	kafkaHeap = "-Xms512m -Xmx1g"
	kafkaJava = "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 -XX:+ExplicitGCInvokesConcurrent"
)

// command is a script of Kafka's with its arguments, or the class that it runs. It
// becomes the Java program: the scripts end in exec.
func (k kafka) command(dir, script, class string, args ...string) *exec.Cmd {
	if k.libs == "" {
		cmd := exec.Command(filepath.Join(k.scripts, script), args...)
		cmd.Env = append(os.Environ(), "LOG_DIR="+filepath.Join(dir, "logs"), "KAFKA_HEAP_OPTS="+kafkaHeap)
		return cmd
	}
	java := append(strings.Fields(kafkaHeap+" "+kafkaJava), "-Dlog4j2.level=INFO", "-cp", filepath.Join(k.libs, "*"), class)
	return exec.Command("java", append(java, args...)...)
}

// Open implements [peer.Peer].
func (p Kafka) Open(dir string, load peer.Load) (_ peer.Subject, err error) {
	if err := checkLoad(load); err != nil {
		return nil, err
	}
	k, err := findKafka()
	if err != nil {
		return nil, err
	}
	s := &kafkaSubject{served: newServed(load)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	addr, err := s.start(k, dir)
	if err != nil {
		return nil, err
	}
	s.addr = addr
	// As many as the bench has in flight: by default it waits at 10,000.
	s.client, err = kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.MaxBufferedRecords(maxInFlight))
	if err != nil {
		return nil, err
	}
	return s, s.create(p.Every)
}

// kafkaSettings is a node that is broker and controller in one.
const kafkaSettings = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
`

// kafkaCluster is a cluster's id: 16 bytes in base64.
const kafkaCluster = "cHJvZ2xvZy1iZW5jaC0wMQ"

func (s *kafkaSubject) start(k kafka, dir string) (addr string, err error) {
	controller := ""
	if addr, err = freeAddress(); err == nil {
		controller, err = freeAddress()
	}
	if err != nil {
		return "", err
	}
	settings := filepath.Join(dir, "server.properties")
	text := fmt.Sprintf(kafkaSettings, addr, controller, filepath.Join(dir, "data"))
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return "", err
	}
	format := k.command(dir, "kafka-storage.sh", "kafka.tools.StorageTool", "format", "-t", kafkaCluster, "-c", settings)
	if out, err := format.CombinedOutput(); err != nil {
		return "", fmt.Errorf("kafka-storage.sh: %w\n%s", err, out)
	}
	cmd := k.command(dir, "kafka-server-start.sh", "kafka.Kafka", settings)
	s.process, err = process.Start(s.ctx, cmd, func(line string) (string, bool) {
		return addr, strings.Contains(line, "Kafka Server started")
	})
	return addr, err
}

type kafkaSubject struct {
	*served
	addr   string
	client *kgo.Client
}

// create makes the topic.
func (s *kafkaSubject) create(every bool) error {
	ctx, cancel := context.WithTimeout(s.ctx, callLimit)
	defer cancel()
	r := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, 1, 1
	if !every {
		config, value := kmsg.NewCreateTopicsRequestTopicConfig(), "1"
		config.Name, config.Value = "flush.messages", &value
		one.Configs = append(one.Configs, config)
	}
	r.Topics = append(r.Topics, one)
	answer, err := r.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	if code := answer.Topics[0].ErrorCode; code != 0 {
		return fmt.Errorf("Kafka does not make the topic: error %d", code)
	}
	return nil
}

// Close implements [peer.Subject].
func (s *kafkaSubject) Close() error {
	if s.client != nil {
		s.client.Close()
	}
	return s.stop()
}

// Writer implements [peer.Subject].
func (s *kafkaSubject) Writer(_ int, batch *peer.Batch) peer.Writer {
	return kafkaWriter{subject: s, value: batch.Values[0]}
}

type kafkaWriter struct {
	subject *kafkaSubject
	value   []byte
}

// Append implements [peer.Writer]: one record, which the client puts into a batch
// with those of other callers that wait.
func (w kafkaWriter) Append(int) (uint64, error) {
	ctx, cancel := context.WithTimeout(w.subject.ctx, callLimit)
	defer cancel()
	r, err := w.subject.client.ProduceSync(ctx, &kgo.Record{Value: w.value}).First()
	if err != nil {
		return 0, err
	}
	return uint64(r.Offset), nil
}

// Count implements [peer.Subject].
func (s *kafkaSubject) Count() (uint64, error) {
	ctx, cancel := context.WithTimeout(s.ctx, callLimit)
	defer cancel()
	r := kmsg.NewPtrListOffsetsRequest()
	r.ReplicaID = -1
	one := kmsg.NewListOffsetsRequestTopic()
	one.Topic = topic
	partition := kmsg.NewListOffsetsRequestTopicPartition()
	partition.Timestamp = -1 // the end
	one.Partitions = append(one.Partitions, partition)
	r.Topics = append(r.Topics, one)
	answer, err := r.RequestWith(ctx, s.client)
	if err != nil {
		return 0, err
	}
	return uint64(answer.Topics[0].Partitions[0].Offset), nil
}

// Value implements [peer.Subject].
func (s *kafkaSubject) Value(at peer.Place, _ []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.ctx, callLimit)
	defer cancel()
	c, err := s.consumer(int64(at.Offset))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	fetched := c.PollRecords(ctx, 1)
	if err := fetched.Err(); err != nil {
		return nil, err
	}
	r := fetched.Records()[0]
	if uint64(r.Offset) != at.Offset {
		return nil, fmt.Errorf("offset %d came instead of %d", r.Offset, at.Offset)
	}
	return r.Value, nil
}

// consumer reads the partition from an offset on.
func (s *kafkaSubject) consumer(offset int64) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(offset)}}))
}

// Pump implements [peer.Pipelined].
func (s *kafkaSubject) Pump(ctx context.Context, flow *peer.Flow) error {
	failed := make(chan error, 1)
	for {
		number, values := flow.Take(1)
		if values == nil {
			break
		}
		s.client.Produce(ctx, &kgo.Record{Value: values[0]}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
			flow.Ack(number, 1) // room for others, who fail then
		})
	}
	err := s.client.Flush(ctx)
	select {
	case broken := <-failed:
		return errors.Join(err, broken)
	default:
		return err
	}
}

// Stream implements [peer.Streaming].
func (s *kafkaSubject) Stream(ctx context.Context, n uint64, each func([]byte) error) error {
	c, err := s.consumer(0)
	if err != nil {
		return err
	}
	defer c.Close()
	for at := uint64(0); at < n; {
		fetched := c.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return err
		}
		for records := fetched.RecordIter(); !records.Done(); at++ {
			if err := each(records.Next().Value); err != nil {
				return err
			}
		}
	}
	return nil
}
