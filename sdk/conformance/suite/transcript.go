package suite

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// lineLimit is how much of a line a transcript keeps.
const lineLimit = 400

// transcript is what happened in a case, for who has to find out why it failed.
type transcript struct {
	began time.Time
	mu    sync.Mutex
	lines []string
}

func newTranscript() *transcript { return &transcript{began: time.Now()} }

func (t *transcript) add(who string, text []byte) {
	line := string(text)
	if len(line) > lineLimit && !strings.HasSuffix(who, "stderr") {
		line = fmt.Sprintf("%s… (%d bytes)", line[:lineLimit], len(line))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%7.3fs %s %s", time.Since(t.began).Seconds(), who, line))
}

// String returns the lines; of very many, the first and the last.
func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if n := len(lines); n > 120 {
		lines = append(append(lines[:60:60], fmt.Sprintf("… %d lines …", n-120)), lines[n-60:]...)
	}
	return strings.Join(lines, "\n")
}
