package suite

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// recorder passes HTTP calls on to a server and keeps the headers of the last
// one. It is for what only headers show: who is calling, and by what right.
type recorder struct {
	addr    string
	server  *http.Server
	onwards *http.Transport

	mu      sync.Mutex
	headers map[string]any
	calls   []string      // the paths of all
	changed chan struct{} // closed and replaced when one more came
}

func newRecorder(target func() string) (*recorder, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	r := &recorder{
		addr: listener.Addr().String(), onwards: &http.Transport{Protocols: plain}, changed: make(chan struct{}),
	}
	proxy := &httputil.ReverseProxy{
		Transport: r.onwards, FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: target()}) },
	}
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	r.server = &http.Server{Protocols: both, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		headers := map[string]any{}
		for name, values := range req.Header {
			headers[strings.ToLower(name)] = strings.Join(values, ", ")
		}
		r.mu.Lock()
		r.headers = headers
		r.calls = append(r.calls, req.URL.Path)
		close(r.changed)
		r.changed = make(chan struct{})
		r.mu.Unlock()
		proxy.ServeHTTP(w, req)
	})}
	go func() { _ = r.server.Serve(listener) }()
	return r, nil
}

// last returns the headers of the last call, with names in lower case.
func (r *recorder) last() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.headers
}

// called waits until a method, such as "Log/Consume", was called n times. "any" is
// every one; 0 times is an error at once if it was called.
func (r *recorder) called(ctx context.Context, method string, n uint64) error {
	for {
		r.mu.Lock()
		changed, count := r.changed, uint64(0)
		for _, path := range r.calls {
			if method == "any" || strings.HasSuffix(path, "."+method) {
				count++
			}
		}
		r.mu.Unlock()
		if n == 0 && count > 0 {
			return fmt.Errorf("%d calls came", count)
		}
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d calls came in time, not %d", count, n)
		}
	}
}

func (r *recorder) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = r.server.Shutdown(ctx)
	_ = r.server.Close()
	r.onwards.CloseIdleConnections()
}
