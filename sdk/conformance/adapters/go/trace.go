package main

import (
	"io"
	"net/http"
	"path"
	"sync"

	proglog "github.com/proglog/proglog/sdk/go"
)

// trace is what a user's layer around the transport saw of a client's tries.
type trace struct {
	mu   sync.Mutex
	open int
	done []any
}

// trace returns a layer that notes the tries of a client.
func (a *adapter) trace(client string) func(http.RoundTripper) http.RoundTripper {
	t := &trace{}
	a.mu.Lock()
	a.traces[client] = t
	a.mu.Unlock()
	return func(next http.RoundTripper) http.RoundTripper {
		if a.wrong.way == neverTraces {
			return next
		}
		return roundTripper(func(req *http.Request) (*http.Response, error) { return t.roundTrip(next, req) })
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (t *trace) roundTrip(next http.RoundTripper, req *http.Request) (*http.Response, error) {
	t.mu.Lock()
	t.open++
	t.mu.Unlock()
	method := path.Base(req.URL.Path)
	res, err := next.RoundTrip(req)
	if err != nil {
		t.end(method, proglog.CodeUnavailable.String())
		return nil, err
	}
	res.Body = &tracedBody{ReadCloser: res.Body, end: sync.OnceFunc(func() { t.end(method, codeOf(res.StatusCode)) })}
	return res, nil
}

func (t *trace) end(method, code string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.done = append(t.done, map[string]any{"method": method, "code": code})
}

// codeOf is what HTTP tells of a failed call, and it tells little.
func codeOf(status int) string {
	switch status {
	case http.StatusOK:
		return ""
	case http.StatusNotFound:
		return proglog.CodeNotFound.String()
	case http.StatusServiceUnavailable:
		return proglog.CodeUnavailable.String()
	}
	return proglog.CodeUnknown.String()
}

// tracedBody ends a try when its answer is read or given up.
type tracedBody struct {
	io.ReadCloser
	end func()
}

// Read ends the try behind the last byte.
func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

// Close ends the try.
func (b *tracedBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

// traced tells the tries of a client that ended, in this order, and how many have
// not.
func (a *adapter) traced(c *command) (any, error) {
	a.mu.Lock()
	t := a.traces[c.Client]
	a.mu.Unlock()
	if t == nil {
		return nil, misuse("client %q has no trace", c.Client)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return map[string]any{"calls": append([]any{}, t.done...), "open": t.open}, nil
}
