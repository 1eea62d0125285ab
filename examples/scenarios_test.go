package examples

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/sdk/conformance/proglogtest"
	proglog "github.com/proglog/proglog/sdk/go"
)

// Goal: what a newcomer copies works, and prints the same in every language,
// against the real server; a second time too, when the log is no longer empty.
func TestQuickstart(t *testing.T) {
	each(t, "quickstart", func(t *testing.T, command []string) {
		server := proglogtest.Start(t)
		assert.Equal(t, expected(t, "quickstart"), start(t, command, "--addr", server.URL()).rest())

		again := []string{"produced 3", "produced 4 to 5", "3: hello", "4: how are you?", "5: goodbye"}
		assert.Equal(t, again, start(t, command, "--addr", server.URL()).rest())
	})
}

// Goal: what the pages of an SDK show beyond the quickstart works too; each language has its
// own habits to show.
func TestTour(t *testing.T) {
	each(t, "tour", func(t *testing.T, command []string) {
		server := proglogtest.Start(t)
		scenario := "tour-" + filepath.Base(t.Name())
		assert.Equal(t, expected(t, scenario), start(t, command, "--addr", server.URL()).rest())
	})
}

// Goal: of two writers that race for an account, neither overdraws it, in every
// language.
func TestAccount(t *testing.T) {
	each(t, "account", func(t *testing.T, command []string) {
		server := proglogtest.Start(t)
		assert.Equal(t, expected(t, "account"), start(t, command, "--addr", server.URL()).rest())
		assert.Equal(t, expected(t, "account"), start(t, command, "--addr", server.URL()).rest(), "a second time")
	})
}

// Goal: the lines of a growing file come into the log once, though the program is
// killed and started again while the file grows; a line that is not complete waits.
func TestTailAFile(t *testing.T) {
	each(t, "tail-a-file", func(t *testing.T, command []string) {
		server := proglogtest.Start(t)
		path := filepath.Join(t.TempDir(), "file")
		args := []string{"--addr", server.URL(), path}

		grow(t, path, "one\ntwo\nthr")
		first := start(t, command, args...)
		lines := first.read(2)
		first.kill()
		grow(t, path, "ee\n\nfour\nfi")
		second := start(t, command, args...)
		lines = append(lines, second.read(3)...)
		lines = append(lines, second.interrupt()...)

		assert.Equal(t, expected(t, "tail-a-file"), lines)
		assert.Equal(t, []string{"one", "two", "three", "", "four"}, values(t, server, "lines"))
	})
}

// Goal: killed at five places of a large file, the program has every line in the
// log once, in order.
func TestTailAFileKilled(t *testing.T) {
	each(t, "tail-a-file", func(t *testing.T, command []string) {
		const count, kills = 10_000, 5
		server := proglogtest.Start(t)
		path := filepath.Join(t.TempDir(), "file")
		want := make([]string, count)
		for i := range want {
			want[i] = fmt.Sprintf("line %d of the file", i)
		}

		for k := range kills {
			for _, line := range want[k*count/kills : (k+1)*count/kills] {
				grow(t, path, line+"\n")
			}
			p := start(t, command, "--addr", server.URL(), "--log", "large", path)
			p.read(k + 1) // somewhere in the middle of it
			p.kill()
		}
		waitFor(t, start(t, command, "--addr", server.URL(), "--log", "large", path), server, "large", count)

		assert.Equal(t, want, values(t, server, "large"))
	})
}

// Goal: a file that was replaced by a shorter one is told, not read from its middle.
func TestTailAReplacedFile(t *testing.T) {
	each(t, "tail-a-file", func(t *testing.T, command []string) {
		server := proglogtest.Start(t)
		path := filepath.Join(t.TempDir(), "file")
		grow(t, path, "a line that is long\n")
		p := start(t, command, "--addr", server.URL(), path)
		p.read(1)
		p.interrupt()

		require.NoError(t, os.WriteFile(path, []byte("short\n"), 0o600))
		p = start(t, command, "--addr", server.URL(), path)
		require.Error(t, p.end())
		assert.Contains(t, p.stderr.String(), "was replaced")
		assert.Equal(t, []string{"a line that is long"}, values(t, server, "lines"))
	})
}

// Goal: the pipeline goes on behind what it has done, though it was killed in
// between.
func TestPipeline(t *testing.T) {
	each(t, "pipeline", func(t *testing.T, command []string) {
		server := proglogtest.Start(t)
		order(t, server, "chair 4900", "table 12000", "lamp 2500", "sofa 89990")
		first := start(t, command, "--addr", server.URL())
		lines := first.read(2)
		first.kill()
		order(t, server, "rug 9999", "bed 45000")
		second := start(t, command, "--addr", server.URL())
		lines = append(lines, second.read(1)...)
		lines = append(lines, second.interrupt()...)

		assert.Equal(t, expected(t, "pipeline"), lines)
		assert.Equal(t, []string{"table 120.00", "sofa 899.90", "bed 450.00"}, values(t, server, "invoices"))
	})
}

// Goal: killed again and again in the middle of many orders, the pipeline has an
// invoice for each large one, once, in order.
func TestPipelineKilled(t *testing.T) {
	each(t, "pipeline", func(t *testing.T, command []string) {
		const count, kills = 10_000, 5
		server := proglogtest.Start(t)
		var orders, want []string
		for i := range count {
			cents := i * 7919 % 20_000
			orders = append(orders, fmt.Sprintf("item%d %d", i, cents))
			if cents >= 100_00 {
				want = append(want, fmt.Sprintf("item%d %d.%02d", i, cents/100, cents%100))
			}
		}
		order(t, server, orders...)
		for k := range kills {
			p := start(t, command, "--addr", server.URL())
			p.read(k + 1)
			p.kill()
		}
		waitFor(t, start(t, command, "--addr", server.URL()), server, "invoices", len(want))

		assert.Equal(t, want, values(t, server, "invoices"))
	})
}

// Goal: what one language began, another goes on with: they keep the cursor and the
// headers in the same form.
func TestPipelineHandedOn(t *testing.T) {
	proglogtest.Bin(t)
	var commands [][]string
	for _, l := range allLanguages() {
		if !slices.Contains(l.scenarios, "pipeline") {
			continue
		}
		there := false
		t.Run(l.name, func(t *testing.T) {
			l.program(t, "pipeline") // skips this language alone
			there = true
		})
		if there {
			commands = append(commands, l.program(t, "pipeline"))
		}
	}
	server := proglogtest.Start(t)
	var want []string
	for round := range 2 {
		for i, command := range commands {
			item := fmt.Sprintf("item-%d-%d", round, i)
			want = append(want, item+" 123.45")
			order(t, server, "small 1", item+" 12345", "small 2")
			p := start(t, command, "--addr", server.URL())
			line := fmt.Sprintf("order %d -> invoice %d: %s", 3*(len(want)-1)+1, len(want)-1, want[len(want)-1])
			assert.Equal(t, []string{line}, p.read(1), command)
			assert.Empty(t, p.interrupt(), command)
		}
	}
	assert.Equal(t, want, values(t, server, "invoices"))
}

// grow appends to a file.
func grow(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// order produces to the log "orders", which it makes.
func order(t *testing.T, server *proglogtest.Server, values ...string) {
	t.Helper()
	client := connect(t, server)
	_, _, err := client.PutLog(t.Context(), "orders")
	require.NoError(t, err)
	producer, err := client.NewProducer(t.Context(), proglog.InLog("orders"))
	require.NoError(t, err)
	for _, value := range values {
		_, err := producer.Send(t.Context(), proglog.Record{Value: []byte(value)})
		require.NoError(t, err)
	}
	require.NoError(t, producer.Close(t.Context()))
}

// values returns all values of a log.
func values(t *testing.T, server *proglogtest.Server, log string) []string {
	t.Helper()
	var found []string
	for record, err := range connect(t, server).Records(t.Context(), proglog.InLog(log)) {
		require.NoError(t, err)
		found = append(found, string(record.Value))
	}
	return found
}

// waitFor waits until a log has so many records, or its writer has ended.
func waitFor(t *testing.T, writer *process, server *proglogtest.Server, log string, count int) {
	t.Helper()
	followed := make(chan error, 1)
	client := connect(t, server)
	go func() {
		for _, err := range client.Follow(t.Context(), proglog.InLog(log), proglog.From(uint64(count-1))) {
			followed <- err
			return
		}
	}()
	select {
	case err := <-followed:
		require.NoError(t, err)
		writer.interrupt()
	case <-writer.ended:
		require.FailNow(t, "the program ended too early", "%v\n%s", writer.err, writer.stderr.String())
	}
}

func connect(t *testing.T, server *proglogtest.Server) *proglog.Client {
	t.Helper()
	client, err := proglog.New(server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}
