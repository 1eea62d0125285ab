package examples

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chromium is a headless browser with one tab, driven over a pair of pipes: each
// message is JSON with a zero byte behind it.
type chromium struct {
	t       *testing.T
	to      io.Writer
	answers chan answer
	id      int
	session string // of the tab
}

type answer struct {
	ID     int
	Result json.RawMessage
	Error  *struct{ Message string }
}

// startChromium starts it, and skips the test if there is none. The end of the test
// ends it.
func startChromium(t *testing.T) *chromium {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium on this machine")
	}
	theirIn, to, err := os.Pipe()
	require.NoError(t, err)
	from, theirOut, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	cmd.SysProcAttr = ownGroup()
	var stderr lockedBuffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = timeout
	require.NoError(t, cmd.Start())
	require.NoError(t, theirIn.Close())
	require.NoError(t, theirOut.Close())

	c := &chromium{t: t, to: to, answers: make(chan answer, 1024)}
	go func() {
		defer close(c.answers)
		for messages := bufio.NewReader(from); ; {
			text, err := messages.ReadBytes(0)
			if err != nil {
				return
			}
			var a answer
			if json.Unmarshal(text[:len(text)-1], &a) == nil && a.ID != 0 { // the others are news
				c.answers <- a
			}
		}
	}()
	t.Cleanup(func() {
		// Asked to, it ends with all its processes and writes no more files.
		_, _ = io.WriteString(to, `{"id":1000000,"method":"Browser.close"}`+"\x00")
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(timeout):
			_ = signalGroup(cmd, syscall.SIGKILL)
			<-ended
		}
		_ = to.Close()
		_ = from.Close()
		if t.Failed() {
			t.Logf("Chromium wrote:\n%s", stderr.String())
		}
	})

	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	c.call("Target.getTargets", nil, &targets)
	for _, target := range targets.TargetInfos {
		if target.Type == "page" {
			var attached struct{ SessionID string }
			c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
			c.session = attached.SessionID
		}
	}
	require.NotEmpty(t, c.session, "Chromium has no tab")
	return c
}

// call sends a command to the browser, or to its tab once there is a session, and
// reads its result.
func (c *chromium) call(method string, params map[string]any, result any) {
	c.t.Helper()
	c.id++
	message := map[string]any{"id": c.id, "method": method, "params": params}
	if params == nil {
		delete(message, "params")
	}
	if c.session != "" {
		message["sessionId"] = c.session
	}
	text, err := json.Marshal(message)
	require.NoError(c.t, err)
	_, err = c.to.Write(append(text, 0))
	require.NoError(c.t, err)
	limit := time.After(timeout)
	for {
		select {
		case a, ok := <-c.answers:
			require.Truef(c.t, ok, "Chromium has gone at %s", method)
			if a.ID != c.id {
				continue
			}
			require.Nilf(c.t, a.Error, "%s: %v", method, a.Error)
			if result != nil {
				require.NoError(c.t, json.Unmarshal(a.Result, result))
			}
			return
		case <-limit:
			require.FailNow(c.t, "Chromium does not answer", "%s within %v", method, timeout)
		}
	}
}

// open shows a page.
func (c *chromium) open(url string) {
	c.t.Helper()
	var loaded struct{ ErrorText string }
	c.call("Page.navigate", map[string]any{"url": url}, &loaded)
	require.Empty(c.t, loaded.ErrorText)
}

// eval runs a script in the page, waits for its promise, and returns the string that
// it gives.
func (c *chromium) eval(script string) string {
	c.t.Helper()
	var result struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	params := map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}
	c.call("Runtime.evaluate", params, &result)
	require.Nilf(c.t, result.ExceptionDetails, "%s\n%v", script, result.ExceptionDetails)
	text, _ := result.Result.Value.(string)
	return text
}
