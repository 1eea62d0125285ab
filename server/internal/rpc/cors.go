package rpc

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// What a page of an allowed origin may send and see: what the protocols Connect
// and gRPC-Web need, and nothing else. Credentials are never allowed: there is
// nothing here that a cookie could unlock.
const (
	corsMethods = "GET, POST"
	corsHeaders = "Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-User-Agent"
	corsExposed = "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin"
	// corsMaxAge is how many seconds a browser may remember an answer to its
	// preflight. None remembers it for more than a day, Chromium for two hours.
	corsMaxAge = "7200"
)

// CheckOrigins reports [Options.AllowOrigins] that no browser would send, and
// says what to write.
func CheckOrigins(origins []string) error {
	for _, o := range origins {
		switch {
		case o == "*" && len(origins) > 1:
			return errors.New("* allows every origin: leave the others out, or *")
		case o == "*":
		default:
			if err := checkOrigin(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkOrigin reports a text that is not an origin as browsers write it.
func checkOrigin(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("%q is no origin: write SCHEME://HOST or SCHEME://HOST:PORT, such as https://app.example, or * for all", text)
	}
	port := u.Port()
	n, portErr := strconv.ParseUint(port, 10, 16)
	ascii := strings.IndexFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`*,"'<>`, r) }) < 0
	switch exact := strings.ToLower(u.Scheme + "://" + u.Host); {
	case strings.Contains(u.Host, "*"):
		return fmt.Errorf("%q has a * in it: name each origin, or use * alone for all", text)
	case !ascii:
		return fmt.Errorf("%q is not an origin as browsers send it: write its host in ASCII (xn--…)", text)
	case port == "" && strings.HasSuffix(u.Host, ":"), port != "" && (portErr != nil || strconv.FormatUint(n, 10) != port):
		return fmt.Errorf("%q has no valid port", text)
	case u.Scheme == "http" && port == "80", u.Scheme == "https" && port == "443":
		return fmt.Errorf("%q has the port that browsers leave out: write %s", text, strings.TrimSuffix(exact, ":"+port))
	case text != exact:
		return fmt.Errorf("%q is not an origin as browsers send it: write %s", text, exact)
	}
	return nil
}

// cors lets pages of the allowed origins call the server (CORS). It stands
// before everything else, so that a page can read every answer, also a refusal.
// It is small enough to be no dependency: the lists are constants, and there are
// no patterns and no credentials.
type cors struct {
	origins []string // or "*" alone
	any     bool
}

func newCORS(origins []string) *cors {
	return &cors{origins, slices.Contains(origins, "*")}
}

// allows says whether pages of an origin may call.
func (c *cors) allows(origin string) bool {
	return origin != "" && (c.any || slices.Contains(c.origins, origin))
}

// mark puts the headers on every answer.
func (c *cors) mark(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		allowed := "*"
		if !c.any {
			h.Add("Vary", "Origin") // caches have to tell origins apart, and those without
			allowed = r.Header.Get("Origin")
		}
		if c.allows(r.Header.Get("Origin")) {
			h.Set("Access-Control-Allow-Origin", allowed)
			if !isPreflight(r) {
				h.Set("Access-Control-Expose-Headers", corsExposed)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// preflights answers the question that a browser asks before a call.
func (c *cors) preflights(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isPreflight(r):
			next.ServeHTTP(w, r)
		case !c.allows(r.Header.Get("Origin")):
			http.Error(w, "pages of this origin may not call this server: see --allow-origin", http.StatusForbidden)
		default:
			h := w.Header()
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", corsHeaders)
			h.Set("Access-Control-Max-Age", corsMaxAge)
			w.WriteHeader(http.StatusNoContent)
		}
	})
}

// isPreflight recognises the question of a browser.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}
