package sdks_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	proglog "github.com/proglog/proglog/sdk/go"

	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/sdks"
	"github.com/proglog/proglog/server/bench/internal/talk"
)

// variable makes the binary of the tests a program of a language, of that manner.
const variable = "PROGLOG_TEST_MANNER"

func TestMain(m *testing.M) {
	if manner, is := os.LookupEnv(variable); is {
		if err := program(manner); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// program speaks the protocol, well or badly.
func program(manner string) error {
	ready := talk.Ready{
		Ready: manner != "unready", Versions: map[string]string{"fake": "7", "another": "1.2"},
		Clients: []string{"sdk", "sdk-async", "stock-a", "stock-a-batch", "stock-b-async"},
	}
	switch manner {
	case "gone":
		return errors.New("the library is missing")
	case "garbled":
		fmt.Println("hello")
	case "stock":
		ready.Clients = []string{"stock-a"}
	}
	return talk.Serve(context.Background(), os.Stdin, os.Stdout, ready, func(ctx context.Context, ask talk.Ask) (talk.Answer, error) {
		answer := talk.Answer{Records: ask.Count, Seconds: float64(ask.Count) / 1e6, CPU: 0.001}
		switch manner {
		case "failing":
			return answer, errors.New("the stream broke")
		case "few":
			answer.Records--
		case "timeless":
			answer.Seconds = 0
		case "dying":
			return answer, dying()
		case "lying": // it acks what it does not write
		default:
			return answer, write(ctx, ask)
		}
		return answer, nil
	})
}

func dying() error {
	fmt.Fprintln(os.Stderr, "out of memory")
	os.Exit(3)
	return nil
}

// write does what is asked on the paths that write.
func write(ctx context.Context, ask talk.Ask) error {
	if ask.Path == talk.Consume || ask.Path == talk.Follow {
		return nil
	}
	c, err := proglog.New(ask.Address)
	if err != nil {
		return err
	}
	p, err := c.NewProducer(ctx, proglog.InLog(ask.Log))
	if err != nil {
		return err
	}
	for range ask.Count {
		if _, err := p.Send(ctx, proglog.Record{Value: make([]byte, ask.Value)}); err != nil {
			return err
		}
	}
	return errors.Join(p.Close(ctx), c.Close())
}

// fake is a language whose program has a manner.
func fake(t *testing.T, manner string) sdks.Language {
	program, err := os.Executable()
	require.NoError(t, err)
	return sdks.Language{Name: "Fake", Start: func(ctx context.Context) (*sdks.Program, error) {
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), variable+"="+manner)
		return sdks.StartProgram(ctx, "Fake", cmd)
	}}
}

// binary is our server: what make test has built, otherwise built here.
func binary(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("PROGLOG_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "proglog")
	out, err := exec.Command("go", "build", "-C", "../../..", "-o", bin, "./cmd/proglog").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

func contest(language sdks.Language, path, bin string) sdks.Contest {
	return sdks.Contest{
		Language: language, Path: path, ValueBytes: 100, Callers: 2, Bin: bin,
		Effort: measure.Effort{Rounds: 2, Time: 5 * time.Millisecond, Bytes: 300_000},
	}
}

// Goal: each client that takes part has a sample for each round, of as many records
// as fit the time, with what its program said of its processor time; one that asks for
// batches takes part in following alone.
func TestContest(t *testing.T) {
	bin := binary(t)
	for path, clients := range map[string][]string{
		talk.Pipelined: {"Fake sdk", "Fake sdk-async", "Fake stock-a", "Fake stock-b-async"},
		talk.Follow:    {"Fake sdk", "Fake sdk-async", "Fake stock-a", "Fake stock-a-batch", "Fake stock-b-async"},
	} {
		t.Run(path, func(t *testing.T) {
			dir := t.TempDir()
			outcomes, err := contest(fake(t, "honest"), path, bin).Run(context.Background(), dir)
			require.NoError(t, err)
			var labels []string
			for _, o := range outcomes {
				labels = append(labels, o.Label)
				assert.Equal(t, "another 1.2, fake 7", o.About)
				require.Len(t, o.Series, 2)
				for _, s := range o.Series {
					// The fake always carries a million a second; a log has 3,000.
					assert.Equal(t, uint64(3000), s.Records)
					assert.Equal(t, uint64(300_000), s.Bytes)
					assert.Equal(t, 3*time.Millisecond, s.Elapsed)
					assert.Equal(t, time.Millisecond/3000, s.CPUPerRecord)
				}
			}
			assert.Equal(t, clients, labels)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// Goal: nothing that a program does wrong becomes a figure, and the error tells what
// it was.
func TestProgramsThatAreNotBelieved(t *testing.T) {
	bin := binary(t)
	for manner, says := range map[string]string{
		"unready":  "it does not say that it is ready",
		"garbled":  `began with "hello"`,
		"gone":     "the library is missing",
		"stock":    "no SDK among its clients",
		"failing":  "the stream broke",
		"few":      "asked for 100 records and says that it was 99",
		"timeless": "says that it took 0 s",
		"dying":    "out of memory",
		"lying":    "the log has 0 records, 100 were acked",
	} {
		t.Run(manner, func(t *testing.T) {
			dir := t.TempDir()
			_, err := contest(fake(t, manner), talk.Unary, bin).Run(context.Background(), dir)
			require.ErrorContains(t, err, says)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// Goal: a language that is not there is no failure: the outcome says why, and what to
// do about it.
func TestUnavailable(t *testing.T) {
	bin := binary(t)
	t.Setenv("PATH", t.TempDir())
	for _, language := range (sdks.Places{SDKs: t.TempDir(), Python: filepath.Join(t.TempDir(), "python")}).Languages()[1:] {
		outcomes, err := contest(language, talk.Unary, bin).Run(context.Background(), t.TempDir())
		require.NoError(t, err)
		require.Len(t, outcomes, 1)
		assert.Regexp(t, "node is not installed|there is no .*python: run make packages", outcomes[0].Unavailable)
		assert.Equal(t, language.Name, outcomes[0].Label)
	}
	outcomes, err := contest(fake(t, "honest"), talk.Unary, filepath.Join(t.TempDir(), "none")).Run(context.Background(), t.TempDir())
	require.NoError(t, err)
	assert.Contains(t, outcomes[0].Unavailable, "run make build")
}

// Goal: an SDK is measured against stock clients that are used in the same manner, and
// not against those that ask for batches.
func TestRivals(t *testing.T) {
	assert.True(t, talk.Rivals("sdk", "stock-grpc"))
	assert.True(t, talk.Rivals("sdk-async", "stock-grpc-async"))
	for _, pair := range [][2]string{{"sdk", "sdk-async"}, {"sdk", "stock-grpc-async"}, {"sdk-async", "stock-grpc"}, {"sdk", "stock-grpc-batch"}} {
		assert.False(t, talk.Rivals(pair[0], pair[1]), pair)
	}
	assert.True(t, talk.IsSDK("sdk") && talk.IsSDK("sdk-async"))
	assert.False(t, talk.IsSDK("stock-sdk"))
}
