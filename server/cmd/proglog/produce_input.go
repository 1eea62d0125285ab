package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// Formats of produce and consume.
const (
	formatLines     = "lines"
	formatFile      = "file"
	formatJSON      = "json"
	formatDelimited = "delimited"
)

// formatTwin tells where a format that is wrong came from, if that is the variable
// which produce and consume share: json is right for one of them only, and so is
// file. A flag wins over it.
func formatTwin(format string) string {
	name := envName("format")
	if os.Getenv(name) != format {
		return ""
	}
	return fmt.Sprintf(" (%s, which produce and consume share, says so; --format wins over it)", name)
}

// inputBuffer is how much of an input is read at once.
const inputBuffer = 256 << 10

// recordReader cuts an input into values. next returns the next one, which is
// valid until the call after, and io.EOF behind the last.
type recordReader interface {
	next() ([]byte, error)
}

// newRecordReader returns the reader of a format; values may have limit bytes.
func newRecordReader(format string, r io.Reader, limit int) recordReader {
	switch format {
	case formatFile:
		return &fileReader{r: r, limit: limit}
	case formatDelimited:
		return &delimitedReader{r: bufio.NewReaderSize(r, inputBuffer), limit: limit}
	default:
		return &lineReader{r: bufio.NewReaderSize(r, inputBuffer), limit: limit}
	}
}

// errTooLong reports a value over the limit.
func errTooLong(limit int) error {
	return fmt.Errorf("it has more than %d bytes, the limit of a value: --max-value-bytes sets it, here and for `proglog serve`", limit)
}

// lineReader makes a value of each line, without the newline that ends it. What
// follows the last newline is a line too, unless it is empty.
type lineReader struct {
	r     *bufio.Reader
	limit int
	long  []byte // a line that does not fit the buffer
}

func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.join(line)
	}
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, io.EOF
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case err == nil:
		line = line[:len(line)-1]
	}
	if len(line) > l.limit {
		return nil, errTooLong(l.limit)
	}
	return line, nil
}

// join collects a line that is longer than the buffer, but not beyond the limit.
func (l *lineReader) join(part []byte) ([]byte, error) {
	l.long = append(l.long[:0], part...)
	for {
		part, err := l.r.ReadSlice('\n')
		l.long = append(l.long, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.long, err
		}
		if len(l.long) > l.limit {
			return nil, errTooLong(l.limit)
		}
	}
}

// fileReader makes one value of the whole input.
type fileReader struct {
	r     io.Reader
	limit int
	done  bool
}

func (f *fileReader) next() ([]byte, error) {
	if f.done {
		return nil, io.EOF
	}
	f.done = true
	value, err := io.ReadAll(io.LimitReader(f.r, int64(f.limit)+1))
	if err == nil && len(value) > f.limit {
		err = errTooLong(f.limit)
	}
	return value, err
}

// delimitedReader reads values that each have their length in front, as an
// unsigned varint: the way protobuf streams are delimited.
type delimitedReader struct {
	r     *bufio.Reader
	limit int
	buf   []byte
}

func (d *delimitedReader) next() ([]byte, error) {
	n, err := binary.ReadUvarint(d.r)
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the input ends within its length")
	case err != nil:
		return nil, fmt.Errorf("read its length: %w", err)
	case n > uint64(d.limit):
		return nil, errTooLong(d.limit)
	}
	if uint64(cap(d.buf)) < n {
		d.buf = make([]byte, n)
	}
	d.buf = d.buf[:n]
	if got, err := io.ReadFull(d.r, d.buf); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("the input ends after %d of its %d bytes", got, n)
	} else if err != nil {
		return nil, err
	}
	return d.buf, nil
}
