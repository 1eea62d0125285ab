// Browser serves a page that tails a log live. The page is plain ES modules that speak
// Connect with fetch: no build, no packages.
//
// A browser lets a page call only the server that it came from, unless the other
// server says otherwise, which proglog does not. So this server passes the calls of the
// page on to proglog, and only those.
//
// Start a server with make run, then: go run ./examples/browser
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"time"
)

//go:embed page
var files embed.FS

// headerTimeout is how long a request's header may take.
const headerTimeout = 10 * time.Second

func main() {
	addr := flag.String("addr", "http://127.0.0.1:8400", "the server")
	listen := flag.String("listen", "127.0.0.1:8401", "the address to serve the page at")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr, *listen)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, listen string) error {
	server, err := url.Parse(addr)
	if err != nil {
		return err
	}
	page, err := fs.Sub(files, "page")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(page))
	calls := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(server) },
		FlushInterval: -1, // a record goes out when it comes
	}
	for _, method := range []string{"GetLog", "ConsumeStream", "Produce"} {
		mux.Handle("POST /log.v1.Log/"+method, calls)
	}
	web := &http.Server{
		Handler:           ownHost(listener.Addr().String(), mux),
		ReadHeaderTimeout: headerTimeout,
	}
	context.AfterFunc(ctx, func() { web.Close() })
	fmt.Printf("open http://%s\n", listener.Addr())
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ownHost refuses requests to another name than this server's: a page from elsewhere
// whose name was pointed at this machine would otherwise reach the log.
func ownHost(addr string, next http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(addr)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != addr && r.Host != "localhost:"+port {
			http.Error(w, "open http://"+addr, http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
