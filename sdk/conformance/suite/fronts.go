package suite

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// fronts are what a case may put before the proxy: each is made when a step first
// names its address, a variable.
//
//	$tls          TLS with a certificate of $ca
//	$tls_named    TLS with a certificate of $ca that is for another name
//	$http1        TLS, then a reverse proxy that speaks HTTP/1.1 to clients and HTTP/2 onwards
//	$redirect     answers every call with a redirect to $recorder
//	$unavailable  answers every call with 503, and notes when it came
//
// $ca and $other_ca are certificates of authorities in PEM, the second one of
// nobody here.
type fronts struct {
	target   string // the proxy's address
	recorder string // its URL

	ca, other *authority
	made      map[string]string // by variable: its URL
	closers   []func()

	mu    sync.Mutex
	tries []time.Time // when $unavailable was called
}

func newFronts(target, recorder string) *fronts {
	return &fronts{target: target, recorder: recorder, made: map[string]string{}}
}

// value returns the value of a variable that belongs to a front.
func (f *fronts) value(name string) (value string, known bool, err error) {
	switch name {
	case "ca", "other_ca":
		if err = f.authorities(); err != nil {
			return "", true, err
		}
		if name == "ca" {
			return f.ca.pem, true, nil
		}
		return f.other.pem, true, nil
	case "tls", "tls_named", "http1", "redirect", "unavailable":
	default:
		return "", false, nil
	}
	if url, ok := f.made[name]; ok {
		return url, true, nil
	}
	url, err := f.make(name)
	f.made[name] = url
	return url, true, err
}

func (f *fronts) authorities() (err error) {
	if f.ca != nil {
		return nil
	}
	if f.ca, err = newAuthority("the one of the server"); err != nil {
		return err
	}
	f.other, err = newAuthority("another one")
	return err
}

func (f *fronts) make(name string) (string, error) {
	if err := f.authorities(); err != nil {
		return "", err
	}
	switch name {
	case "tls", "tls_named":
		cert, err := f.ca.issue([]string{"localhost"}, net.IPv4(127, 0, 0, 1))
		if name == "tls_named" {
			cert, err = f.ca.issue([]string{"elsewhere.example"})
		}
		if err != nil {
			return "", err
		}
		front, err := newTLSFront(cert, f.target)
		if err != nil {
			return "", err
		}
		f.closers = append(f.closers, front.close)
		return "https://" + front.addr, nil
	case "http1":
		cert, err := f.ca.issue([]string{"localhost"}, net.IPv4(127, 0, 0, 1))
		if err != nil {
			return "", err
		}
		return f.serve(f.onwards(), &tls.Config{Certificates: []tls.Certificate{cert}})
	case "redirect":
		return f.serve(http.RedirectHandler(f.recorder+"/elsewhere", http.StatusTemporaryRedirect), nil)
	default: // unavailable
		return f.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			f.mu.Lock()
			f.tries = append(f.tries, time.Now())
			f.mu.Unlock()
			w.WriteHeader(http.StatusServiceUnavailable)
		}), nil)
	}
}

// onwards is a reverse proxy to the server behind the proxy, over HTTP/2.
func (f *fronts) onwards() http.Handler {
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: plain}
	f.closers = append(f.closers, transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: f.target}) },
	}
}

// serve serves calls: over TLS only in HTTP/1.1, without it also in HTTP/2.
func (f *fronts) serve(handler http.Handler, secure *tls.Config) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(secure == nil)
	server := &http.Server{Handler: handler, Protocols: protocols, TLSConfig: secure, ErrorLog: log.New(io.Discard, "", 0)}
	scheme := "http://"
	run := func() error { return server.Serve(listener) }
	if secure != nil {
		scheme = "https://"
		run = func() error { return server.ServeTLS(listener, "", "") }
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = run()
	}()
	f.closers = append(f.closers, func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = server.Shutdown(ctx)
		_ = server.Close()
		<-ended
	})
	return scheme + listener.Addr().String(), nil
}

// backoff checks how the tries at $unavailable were spread: calls one after
// another, each with so many tries, whose pauses are drawn from 0 to a bound that
// doubles from low up to high. With four calls, what it asks of chance fails about
// once in a million correct runs. Of the clock it asks that not each first pause is
// late by half of high.
func (f *fronts) backoff(calls, attempts int, low, high time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.tries) != calls*attempts {
		return fmt.Errorf("%d calls were tried %d times in all, not %d times each", calls, len(f.tries), attempts)
	}
	shortFirst, longLate, belowBound := false, false, false
	for n := range f.tries {
		k := n % attempts // the pauses before it in its call, from 1 on
		if k == 0 {
			continue
		}
		pause, bound := f.tries[n].Sub(f.tries[n-1]), min(low<<(k-1), high)
		shortFirst = shortFirst || k == 1 && pause < low+high/2
		longLate = longLate || bound >= high/2 && pause > 2*low
		belowBound = belowBound || k > 1 && pause < bound*3/5
	}
	switch {
	case !shortFirst:
		return errors.New("every first pause is long: the pauses do not grow")
	case !longLate:
		return errors.New("every last pause is short: the pauses do not grow")
	case !belowBound:
		return errors.New("no pause is below its bound: nothing is drawn")
	}
	return nil
}

func (f *fronts) close() {
	for _, end := range f.closers {
		end()
	}
}
