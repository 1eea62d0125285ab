package proglog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect/v2"
)

// addHeaders puts the headers of the configuration on every call.
func (c *clientConfig) addHeaders(next connect.ClientFunc) connect.ClientFunc {
	return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
		info, ok := connect.CallInfoForClientContext(ctx)
		if !ok {
			return next(ctx, spec)
		}
		header := info.RequestHeader()
		header.Set("User-Agent", c.userAgent)
		for name, values := range c.headers {
			for _, v := range values {
				header.Add(name, v)
			}
		}
		if c.token != nil {
			token, err := c.token(ctx)
			if err != nil && ctx.Err() != nil {
				e := notSent(ctx)
				e.cause = errors.Join(err, e.cause)
				return nil, e
			}
			if err != nil {
				e := refused(CodeUnauthenticated, ReasonUnspecified, "get a token: %v", err)
				e.cause = err
				return nil, e
			}
			if err := checkToken(token); err != nil {
				return nil, refused(CodeInvalidArgument, ReasonUnspecified, "the token cannot be sent: %v", err)
			}
			header.Set("Authorization", "Bearer "+token)
		}
		return next(ctx, spec)
	}
}

// checkHeader says why a header cannot be sent; nil if it can.
func checkHeader(name, value string) error {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case name == "" || strings.ContainsFunc(name, notOfToken):
		return fmt.Errorf("%q is not the name of a header", name)
	case ownHeaders[canonical] || strings.HasPrefix(canonical, "Connect-") || strings.HasPrefix(canonical, "Grpc-"):
		return fmt.Errorf("the header %q belongs to the protocol", name)
	}
	if err := checkHeaderValue(value); err != nil {
		return fmt.Errorf("the header %q: %w", name, err)
	}
	return nil
}

// ownHeaders are those by which requests are framed and understood.
var ownHeaders = map[string]bool{
	"Accept-Encoding": true, "Connection": true, "Content-Encoding": true, "Content-Length": true,
	"Content-Type": true, "Host": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true,
	"Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// checkHeaderValue says why a value cannot be sent, without telling the value:
// it may be a secret. Only ASCII means the same everywhere.
func checkHeaderValue(value string) error {
	for i := range len(value) {
		if c := value[i]; c != '\t' && (c < ' ' || c > '~') {
			return fmt.Errorf("byte %d of the value, %#02x, is not printable ASCII", i, c)
		}
	}
	return nil
}

// checkToken says why a bearer token cannot be sent.
func checkToken(token string) error {
	if token == "" {
		return fmt.Errorf("it is empty")
	}
	return checkHeaderValue(token)
}

// notOfToken says whether the name of a header may not have this character.
func notOfToken(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return r > '~' || !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
