package rpc

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// checkHost refuses requests that did not mean this server. On loopback there
// is nothing but the address between a browser's page and the log: a page whose
// name has been pointed at 127.0.0.1 (DNS rebinding) sends its own name as
// Host. The answer is 403, since no other connection would be answered better.
func checkHost(next http.Handler, listenHost string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocalHost(r.Host, listenHost) {
			http.Error(w, "this server listens on loopback and answers only to localhost, a loopback address "+
				"or the name that it listens on: the request's Host is none of them", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLocalHost says whether a Host header, with or without a port, names
// loopback or listenHost.
func isLocalHost(host, listenHost string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if name == "" {
		return false
	}
	if strings.EqualFold(name, "localhost") || strings.EqualFold(name, listenHost) {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}
