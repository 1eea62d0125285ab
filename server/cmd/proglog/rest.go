package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// restInterval is how often the server looks whether it is at rest.
	restInterval = 20 * time.Second
	// restBytes is how much a server at rest allocates in that time, at most: about
	// what the heartbeats of a thousand tails do.
	restBytes = 16 << 20
	// garbageBytes is from how much on it is worth to give memory back.
	garbageBytes = 32 << 20
)

// giveBackAtRest gives memory back to the system when a server that has worked is
// at rest, until the context ends. Go's runtime keeps what it may need for as much
// garbage as there was before: ten thousand tails that attached and then wait kept
// 70 MB so, for ever.
func giveBackAtRest(ctx context.Context) {
	ticker := time.NewTicker(restInterval)
	defer ticker.Stop()
	var r rest
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if r.begins(allocated()) {
			debug.FreeOSMemory()
			r.given = allocated()
		}
	}
}

// allocated returns how many bytes were ever allocated.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// A rest tells when a process is at rest, by what it has ever allocated.
type rest struct{ last, given uint64 }

// begins says whether the process has been at rest since it was asked last, and
// has left garbage since memory was given back.
func (r *rest) begins(allocated uint64) bool {
	quiet := allocated-r.last < restBytes
	r.last = allocated
	return quiet && allocated-r.given >= garbageBytes
}
