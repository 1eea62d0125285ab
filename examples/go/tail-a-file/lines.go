package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// maxLine is the longest line, in bytes: a server takes no larger value unless
	// it is told to.
	maxLine = 1 << 20
	// maxLines is how many lines go into one batch; a server takes no more.
	maxLines = 1000
)

// lines reads complete lines of a file that somebody else appends to.
type lines struct {
	file   *os.File
	buffer []byte
}

func openLines(path string) (*lines, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &lines{file, make([]byte, maxLine+1)}, nil
}

func (l *lines) close() { l.file.Close() }

// next returns the lines from a position on, without their newlines: some of
// those that are complete, or none if there is none yet. They are valid until the
// next call.
func (l *lines) next(position int64) ([][]byte, error) {
	info, err := l.file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < position {
		return nil, fmt.Errorf("%s has %d bytes, but %d of it are in the log: it was replaced, choose another log",
			l.file.Name(), info.Size(), position)
	}
	n, err := l.file.ReadAt(l.buffer, position)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var found [][]byte
	rest := l.buffer[:n]
	for len(found) < maxLines {
		line, after, complete := bytes.Cut(rest, []byte("\n"))
		if !complete {
			break // somebody is still writing it
		}
		found, rest = append(found, line), after
	}
	if len(found) == 0 && n == len(l.buffer) {
		return nil, fmt.Errorf("the line at position %d of %s is longer than %d bytes", position, l.file.Name(), maxLine)
	}
	return found, nil
}
