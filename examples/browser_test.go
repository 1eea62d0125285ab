package examples

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/sdk/conformance/proglogtest"
	proglog "github.com/proglog/proglog/sdk/go"
)

// Goal: a real browser shows what is in the log and what comes, appends what is
// typed, and goes on after a lost connection without a gap or a repeat: with a page
// that calls through a proxy of its own origin, and with one that uses the SDK and calls
// the server of another origin, which allows it.
func TestBrowser(t *testing.T) {
	proglogtest.Bin(t)
	readSources(t, "browser")
	program := goProgram("browser", "./browser")(t, "browser")
	t.Run("without an SDK", func(t *testing.T) {
		tab, line := startChromium(t), startLine(t)
		web := start(t, program, "--addr", "http://"+line.addr(), "--listen", "127.0.0.1:0")
		url := strings.TrimPrefix(web.read(1)[0], "open ")
		tails(t, tab, line, proglogtest.Start(t), url)
		web.interrupt()
	})
	t.Run("SDK", func(t *testing.T) {
		tab, line := startChromium(t), startLine(t)
		url, web := startSDKPage(t, program, line)
		tails(t, tab, line, proglogtest.Start(t, "--allow-origin", origin(t, url)), url)
		web.interrupt()
	})
}

// Goal: a page of an origin that the server does not allow reads nothing, and says so.
func TestBrowserOfAnotherOrigin(t *testing.T) {
	proglogtest.Bin(t)
	readSources(t, "browser")
	tab, line := startChromium(t), startLine(t)
	url, web := startSDKPage(t, goProgram("browser", "./browser")(t, "browser"), line)
	server := proglogtest.Start(t, "--allow-origin", "http://another.example")
	line.lead(server.Addr)
	tab.open(url)
	tab.eval(ready)
	got := tab.eval(`import("/modules/dist/browser.js").then(({ Client }) => {
		const client = new Client(new URLSearchParams(location.search).get("server"), { retry: { attempts: 1 } });
		return client.produce("from a page that may not").then(() => "appended", () => "refused");
	})`)
	assert.Equal(t, "refused", got)
	assert.Empty(t, values(t, server, ""))
	web.interrupt()
}

// Goal: the page says whether it is connected, also where there is no record that comes: on an
// empty log, and while the server is away.
func TestBrowserTellsItsState(t *testing.T) {
	proglogtest.Bin(t)
	readSources(t, "browser")
	tab, line := startChromium(t), startLine(t)
	url, web := startSDKPage(t, goProgram("browser", "./browser")(t, "browser"), line)
	server := proglogtest.Start(t, "--allow-origin", origin(t, url))
	line.lead(server.Addr)
	tab.open(url)
	says(t, tab, "live")
	line.lead("") // nowhere
	line.cut()
	says(t, tab, "reconnecting")
	line.lead(server.Addr)
	says(t, tab, "live")
	web.interrupt()
}

// startSDKPage serves the page that uses the SDK. It skips the test if the SDK is not
// built.
func startSDKPage(t *testing.T, program []string, line *line) (string, *process) {
	sdk := filepath.Join("..", "sdk", "typescript")
	for _, file := range []string{"dist/browser.js", "node_modules/@connectrpc/connect-web/package.json"} {
		if _, err := os.Stat(filepath.Join(sdk, file)); err != nil {
			t.Skip("the TypeScript SDK is not built, or its packages are not installed: make test does that, if it can")
		}
	}
	web := start(t, program, "--addr", "http://"+line.addr(), "--listen", "127.0.0.1:0", "--sdk", sdk)
	return strings.TrimPrefix(web.read(1)[0], "open "), web
}

// origin returns what a browser calls the origin of a page.
func origin(t *testing.T, page string) string {
	u, err := url.Parse(page)
	require.NoError(t, err)
	return u.Scheme + "://" + u.Host
}

// tails checks a page that tails the log of a server, which it reaches over a line.
func tails(t *testing.T, tab *chromium, line *line, server *proglogtest.Server, url string) {
	line.lead(server.Addr)
	client := connect(t, server)
	add := func(value string) {
		t.Helper()
		_, err := client.Produce(t.Context(), proglog.Record{Value: []byte(value)})
		require.NoError(t, err)
	}
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
	// A record may be shown before the page has caught up, and says so.
	says(t, tab, "live")
	assert.Equal(t, []string{"before", "while it is open", "from the page: ü", "after a lost connection"}, values(t, server, ""))
}

// ready waits until a page is loaded.
const ready = `new Promise((resolve) => document.readyState === "complete" ? resolve() : addEventListener("load", resolve))`

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

// says waits until the page says that it is in a state.
func says(t *testing.T, tab *chromium, state string) {
	t.Helper()
	tab.eval(ready)
	require.Equal(t, state, tab.eval(fmt.Sprintf(`new Promise((resolve) => {
		const state = document.getElementById("state");
		const look = () => state.textContent === %[1]q && resolve(%[1]q);
		new MutationObserver(look).observe(state, { childList: true, subtree: true, characterData: true });
		look();
	})`, state)))
}

// line passes connections on to a server, and can cut them.
type line struct {
	listener net.Listener
	mu       sync.Mutex
	server   string
	open     []net.Conn
}

// lead says to which server connections go.
func (l *line) lead(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
}

func startLine(t *testing.T) *line {
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
			l.mu.Lock()
			server := l.server
			l.mu.Unlock()
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
