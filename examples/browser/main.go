// Browser serves a page that tails a log live, in one of two ways. A browser lets a page
// call only the server that it came from, unless the other server says otherwise.
//
// Without a flag the page is plain ES modules that speak Connect with fetch: no build, no
// packages. This server passes the calls of the page on to proglog, and only those. Start
// a server with make run, then: go run ./examples/browser
//
// With --sdk DIR the page uses the SDK that is built in DIR, and calls proglog itself,
// which has to allow it. There is no bundler: an import map names the files. Start a
// server with: proglog serve --allow-origin http://127.0.0.1:8401
// then: npm ci --prefix sdk/typescript && npm run build --prefix sdk/typescript
// and: go run ./examples/browser --sdk sdk/typescript
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
	"path/filepath"
	"time"
)

//go:embed page sdk-page
var files embed.FS

// headerTimeout is how long a request's header may take.
const headerTimeout = 10 * time.Second

func main() {
	addr := flag.String("addr", "http://127.0.0.1:8400", "the server")
	listen := flag.String("listen", "127.0.0.1:8401", "the address to serve the page at")
	sdk := flag.String("sdk", "", "the folder of the SDK; with it the page calls the server itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *addr, *listen, *sdk)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr, listen, sdk string) error {
	server, err := url.Parse(addr)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}

	mux, path, err := proxied(server)
	if sdk != "" {
		mux, path, err = direct(server, sdk)
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	web := &http.Server{
		Handler:           ownHost(listener.Addr().String(), mux),
		ReadHeaderTimeout: headerTimeout,
	}
	context.AfterFunc(ctx, func() { web.Close() })
	fmt.Printf("open http://%s%s\n", listener.Addr(), path)
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// proxied serves the page without an SDK, and its calls.
func proxied(server *url.URL) (mux *http.ServeMux, path string, err error) {
	page, err := fs.Sub(files, "page")
	if err != nil {
		return nil, "", err
	}
	mux = http.NewServeMux()
	mux.Handle("/", http.FileServerFS(page))
	calls := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(server) },
		FlushInterval: -1, // a record goes out when it comes
	}
	for _, method := range []string{"GetLog", "ConsumeStream", "Produce"} {
		mux.Handle("POST /log.v1.Log/"+method, calls)
	}
	return mux, "", nil
}

// direct serves the page with the SDK, which learns from its address whom to call, and
// the modules that its import map names.
func direct(server *url.URL, sdk string) (mux *http.ServeMux, path string, err error) {
	page, err := fs.Sub(files, "sdk-page")
	if err != nil {
		return nil, "", err
	}
	mux = http.NewServeMux()
	mux.Handle("/", http.FileServerFS(page))
	for _, folder := range []string{"dist", "node_modules"} {
		prefix := "/modules/" + folder + "/"
		mux.Handle(prefix, http.StripPrefix(prefix, http.FileServer(http.Dir(filepath.Join(sdk, folder)))))
	}
	return mux, "/?server=" + url.QueryEscape(server.String()), nil
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
