package proglog

import (
	"context"
	"sync"
)

// life is what runs on behalf of a client, and ends with it.
type life struct {
	mu      sync.Mutex
	over    bool
	running map[*context.Context]context.CancelCauseFunc
}

// join returns a context that ends with the client too.
func (l *life) join(ctx context.Context) (joined context.Context, leave func()) {
	joined, cancel := context.WithCancelCause(ctx)
	key := &joined
	l.mu.Lock()
	if l.over {
		cancel(ErrClosed)
	} else {
		l.running[key] = cancel
	}
	l.mu.Unlock()
	return joined, func() {
		l.mu.Lock()
		delete(l.running, key)
		l.mu.Unlock()
		cancel(nil)
	}
}

// end ends everything: when it returns, every context has, so that whatever fails
// from then on knows why.
func (l *life) end() {
	l.mu.Lock()
	running := l.running
	l.over, l.running = true, nil
	l.mu.Unlock()
	for _, cancel := range running {
		cancel(ErrClosed)
	}
}

func (l *life) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}
