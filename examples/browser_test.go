package examples

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/sdk/conformance/proglogtest"
	proglog "github.com/proglog/proglog/sdk/go"
)

// Goal: a real browser shows what is in the log and what comes, appends what is
// typed, and goes on after a lost connection without a gap or a repeat.
func TestBrowser(t *testing.T) {
	proglogtest.Bin(t)
	readSources(t, "browser")
	tab := startChromium(t)
	server := proglogtest.Start(t)
	client := connect(t, server)
	add := func(value string) {
		t.Helper()
		_, err := client.Produce(t.Context(), proglog.Record{Value: []byte(value)})
		require.NoError(t, err)
	}
	line := startLine(t, server.Addr)
	web := start(t, goProgram("browser", "./browser")(t, "browser"), "--addr", "http://"+line.addr(), "--listen", "127.0.0.1:0")
	url := strings.TrimPrefix(web.read(1)[0], "open ")
	want := expected(t, "browser")

	add("before")
	tab.open(url)
	shows(t, tab, want[:1])
	add("while it is open")
	shows(t, tab, want[:2])
	// The form is reset when its record is acknowledged.
	tab.eval(`new Promise((resolve) => {
		document.getElementById("form").addEventListener("reset", () => resolve("acknowledged"));
		document.getElementById("value").value = "from the page: ü";
		document.querySelector("button").click();
	})`)
	shows(t, tab, want[:3])
	line.cut()
	add("after a lost connection")
	shows(t, tab, want)
	assert.Equal(t, "live", tab.eval(`document.getElementById("state").textContent`))
	assert.Equal(t, []string{"before", "while it is open", "from the page: ü", "after a lost connection"}, values(t, server, ""))
	web.interrupt()
}

// shows waits until the page lists exactly these lines.
func shows(t *testing.T, tab *chromium, want []string) {
	t.Helper()
	got := tab.eval(fmt.Sprintf(`new Promise((resolve) => {
		const shown = () => [...document.querySelectorAll("#records li")].map((item) => item.textContent);
		const look = () => shown().length >= %d && resolve(shown().join("\n"));
		const watch = () => {
			new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
			look();
		};
		document.readyState === "loading" ? addEventListener("DOMContentLoaded", watch) : watch();
	})`, len(want)))
	require.Equal(t, want, strings.Split(got, "\n"))
}

// line passes connections on to a server, and can cut them.
type line struct {
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
}

func startLine(t *testing.T, server string) *line {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &line{listener: listener}
	t.Cleanup(func() { _ = listener.Close(); l.cut() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			if err != nil {
				_ = near.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, near, far)
			l.mu.Unlock()
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}
			go pass(near, far)
			go pass(far, near)
		}
	}()
	return l
}

func (l *line) addr() string { return l.listener.Addr().String() }

// cut closes all connections that are open.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.open {
		_ = conn.Close()
	}
	l.open = nil
}
