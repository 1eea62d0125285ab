package rpc

import (
	"net/http"
	"strings"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
)

// procedureMux has a handler for each procedure, and answers for those that do
// not exist.
type procedureMux struct {
	*http.ServeMux
	errors *connecthttp.ErrorWriter
}

func newProcedureMux(errors *connecthttp.ErrorWriter) *procedureMux {
	m := &procedureMux{http.NewServeMux(), errors}
	m.ServeMux.Handle("/", m.unknown("this service", false))
	return m
}

// Handle adds a handler that the protocol library made. Its own answer for the
// unknown methods of a service is not taken: over HTTP/1.1 that is a complaint
// about the version of HTTP.
func (m *procedureMux) Handle(pattern string, handler http.Handler) {
	if strings.HasSuffix(pattern, "/") {
		handler = m.unknown("this method", true)
	}
	m.ServeMux.Handle(pattern, handler)
}

// unknown answers a path without a procedure: a client that meets an older
// server learns that in its own protocol. A path that belongs to no service is
// 404, but for gRPC's clients, which understand nothing else.
func (m *procedureMux) unknown(what string, service bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ours := service && r.Method == http.MethodPost || isGRPC(r)
		if !ours || !m.errors.IsSupported(r) {
			http.NotFound(w, r)
			return
		}
		err := judge(unsupported(what)).wire(true, nil)
		_ = m.errors.Write(w, r, err) // it fails only if the client has gone
	})
}

// isGRPC says whether a request is gRPC's or gRPC-Web's.
func isGRPC(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// checkTimeout refuses a timeout of Connect that is no number, of which the
// protocol library would tell in terms of its own.
func checkTimeout(next http.Handler, errors *connecthttp.ErrorWriter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timeout := r.Header.Get("Connect-Timeout-Ms")
		digits := strings.Trim(timeout, "0123456789") == "" && len(timeout) <= 10
		if digits || isGRPC(r) || !errors.IsSupported(r) {
			next.ServeHTTP(w, r)
			return
		}
		err := connect.NewError(connect.CodeInvalidArgument, "the timeout is not a number of milliseconds with at most ten digits")
		_ = errors.Write(w, r, err) // it fails only if the client has gone
	})
}
