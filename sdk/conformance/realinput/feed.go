package main

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
)

// A feed is a file as the input of a produce whose server is going to be killed.
// Its end is held back until then, so that produce cannot be done before.
type feed struct {
	io.Reader
	file    *os.File
	release func() // lets the end through; more calls do nothing
}

// newFeed opens a file, of which the last tenth is held back until release.
func newFeed(ctx context.Context, path string) (*feed, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	free := info.Size() / 10 * 9
	held := make(chan struct{})
	f := &feed{file: file, release: sync.OnceFunc(func() { close(held) })}
	f.Reader = io.MultiReader(
		io.NewSectionReader(file, 0, free),
		barrier{ctx, held},
		io.NewSectionReader(file, free, info.Size()-free),
	)
	return f, nil
}

// barrier is a reader of nothing that ends when its channel is closed.
type barrier struct {
	ctx  context.Context
	open <-chan struct{}
}

// Read waits for the barrier to open.
func (b barrier) Read([]byte) (int, error) {
	select {
	case <-b.open:
		return 0, io.EOF
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}
