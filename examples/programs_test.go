package examples

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/sdk/conformance/proglogtest"
)

// timeout is how long a program may take for what a test waits for.
const timeout = time.Minute

// language is a way to write the examples.
type language struct {
	name string
	// scenarios names those that it has.
	scenarios []string
	// program returns the command line of a scenario, without flags. It skips the
	// test if the language's tools are missing.
	program func(t *testing.T, scenario string) []string
}

// languages lists all of them; the name is the folder.
func languages() []language {
	all := []string{"quickstart", "tail-a-file", "pipeline", "account"}
	quickstart := all[:1]
	withTour := append(slices.Clone(all), "tour")
	return []language{
		{"go", all, goProgram("go", "./go/...")},
		{"typescript", withTour, typescriptProgram("typescript")},
		{"python", withTour, pythonProgram("python")},
		{"curl", quickstart, shellProgram("curl")},
		{"grpc-go", quickstart, goProgram("grpc-go", "./grpc-go/quickstart")},
		{"grpc-node", quickstart, nodeProgram("grpc-node")},
		{"grpc-python", quickstart, pythonProgram("grpc-python")},
	}
}

// allLanguages makes the list once, so that each language is compiled once.
var allLanguages = sync.OnceValue(languages)

// each runs a test for every language that has a scenario.
func each(t *testing.T, scenario string, test func(t *testing.T, command []string)) {
	for _, l := range allLanguages() {
		for _, s := range l.scenarios {
			if s == scenario {
				t.Run(l.name, func(t *testing.T) {
					t.Parallel()
					proglogtest.Bin(t) // skips before anything is compiled
					readSources(t, l.name)
					test(t, l.program(t, scenario))
				})
			}
		}
	}
}

// built is a folder for compiled programs, which outlives single tests.
var built = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "proglog-examples-") })

func TestMain(m *testing.M) {
	code := m.Run()
	if folder, err := built(); err == nil {
		_ = os.RemoveAll(folder)
	}
	os.Exit(code)
}

// goProgram is a program in Go. The first test that asks for one compiles all of the
// packages.
func goProgram(name, packages string) func(*testing.T, string) []string {
	compiled := sync.OnceValues(func() (string, error) {
		folder, err := built()
		if err != nil {
			return "", err
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(folder, name)+"/", packages).CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
		return filepath.Join(folder, name), nil
	})
	return func(t *testing.T, scenario string) []string {
		folder, err := compiled()
		require.NoError(t, err)
		return []string{filepath.Join(folder, scenario)}
	}
}

// shellProgram is a script, which needs curl and two tools for what it sends and gets.
func shellProgram(folder string) func(*testing.T, string) []string {
	return func(t *testing.T, scenario string) []string {
		for _, tool := range []string{"bash", "curl", "jq", "perl"} {
			need(t, tool)
		}
		return []string{"bash", filepath.Join(folder, scenario+".sh")}
	}
}

// nodeProgram is a program for Node, with its packages beside it.
func nodeProgram(folder string) func(*testing.T, string) []string {
	return func(t *testing.T, scenario string) []string {
		need(t, "node")
		installed(t, filepath.Join(folder, "node_modules"))
		return []string{"node", filepath.Join(folder, scenario+".js")}
	}
}

// typescriptProgram is a program in TypeScript, with its packages beside it. The first
// test that asks for one compiles all.
func typescriptProgram(folder string) func(*testing.T, string) []string {
	compiled := sync.OnceValues(func() ([]byte, error) {
		compile := exec.Command("npm", "run", "--silent", "build")
		compile.Dir = folder
		return compile.CombinedOutput()
	})
	return func(t *testing.T, scenario string) []string {
		need(t, "node")
		need(t, "npm")
		installed(t, filepath.Join(folder, "node_modules"))
		out, err := compiled()
		require.NoErrorf(t, err, "%s", out)
		return []string{"node", filepath.Join(folder, "build", scenario+".js")}
	}
}

// pythonProgram is a program for Python, with its environment beside it.
func pythonProgram(folder string) func(*testing.T, string) []string {
	return func(t *testing.T, scenario string) []string {
		need(t, "python3")
		installed(t, filepath.Join(folder, ".venv"))
		return []string{filepath.Join(folder, ".venv", "bin", "python"), "-W", "error", filepath.Join(folder, scenario+".py")}
	}
}

// need skips the test if a command is not there.
func need(t *testing.T, command string) {
	t.Helper()
	if _, err := exec.LookPath(command); err != nil {
		t.Skipf("there is no %s on this machine", command)
	}
}

// installed skips the test if the packages of a language are not there. The file
// .stamp is what make leaves when it has installed them.
func installed(t *testing.T, folder string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder, ".stamp")); err != nil {
		t.Skipf("the packages in examples/%s are not installed: make test does that, if it can", folder)
	}
}

// readSources reads the files of a folder, so that Go knows what a test depends on
// and does not take an earlier result for this one.
func readSources(t *testing.T, folder string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains([]string{"node_modules", "build", ".venv", "__pycache__"}, entry.Name())):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		_, err = os.ReadFile(name)
		return err
	})
	require.NoError(t, err)
}

// expected returns what a scenario prints, in every language.
func expected(t *testing.T, scenario string) []string {
	text, err := os.ReadFile(filepath.Join("expected", scenario+".txt"))
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// process is a running program.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string // what it prints; closed when it prints no more
	stderr lockedBuffer
	ended  chan struct{} // closed when it is gone
	err    error         // how it ended; read it after ended is closed
}

// start starts a program. The end of the test kills it, with whatever it started.
func start(t *testing.T, command []string, args ...string) *process {
	p := &process{
		t:   t,
		cmd: exec.Command(command[0], append(command[1:len(command):len(command)], args...)...),
		// Nobody prints more than this: the reader below must never block.
		lines: make(chan string, 1<<16),
		ended: make(chan struct{}),
	}
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join("..", "sdk", "python", "src"))
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		for text := bufio.NewScanner(stdout); text.Scan(); {
			p.lines <- text.Text()
		}
		close(p.lines)
		_, readErr := io.Copy(io.Discard, stdout)
		p.err = errors.Join(p.cmd.Wait(), readErr)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s wrote to standard error:\n%s", p.cmd, p.stderr.String())
		}
	})
	return p
}

// read returns the next n lines that the program prints.
func (p *process) read(n int) []string {
	p.t.Helper()
	var lines []string
	for limit := time.After(timeout); len(lines) < n; {
		select {
		case line, ok := <-p.lines:
			if !ok {
				<-p.ended
				require.FailNow(p.t, "the program ended too early", "after %d of %d lines: %v\n%s\n%s",
					len(lines), n, p.err, strings.Join(lines, "\n"), p.stderr.String())
			}
			lines = append(lines, line)
		case <-limit:
			require.FailNow(p.t, "the program is too slow", "%d of %d lines within %v:\n%s\n%s",
				len(lines), n, timeout, strings.Join(lines, "\n"), p.stderr.String())
		}
	}
	return lines
}

// end waits until the program has ended, and returns how.
func (p *process) end() error {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(timeout):
		require.FailNow(p.t, "the program does not end", "within %v\n%s", timeout, p.stderr.String())
	}
	return p.err
}

// rest waits until the program has ended well, and returns the lines that nobody
// has read.
func (p *process) rest() []string {
	p.t.Helper()
	require.NoErrorf(p.t, p.end(), "the program failed:\n%s", p.stderr.String())
	var lines []string
	for line := range p.lines {
		lines = append(lines, line)
	}
	return lines
}

// interrupt is Ctrl-C: the program has to end well. It returns the lines that
// nobody has read.
func (p *process) interrupt() []string {
	p.t.Helper()
	require.NoError(p.t, signalGroup(p.cmd, syscall.SIGINT))
	return p.rest()
}

// kill ends the program without a chance to do anything, and waits until it is gone.
func (p *process) kill() {
	select {
	case <-p.ended: // its number may be somebody else's by now
		return
	default:
	}
	if err := signalGroup(p.cmd, syscall.SIGKILL); err != nil {
		p.t.Logf("kill %s: %v", p.cmd, err)
	}
	<-p.ended
}

// lockedBuffer is a buffer that one writes and another reads.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
