// Package origin holds the promise to the first clients of log.v1: a stock gRPC
// client generated from the origin's four RPCs and five messages works against
// the server of today, unchanged. Its tests drive the built binary.
package origin
