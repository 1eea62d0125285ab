package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxLine is the longest line that the input has, in bytes: the server's default
// limit of a value.
const maxLine = 1 << 20

// input is the text that goes through the log: a file of lines, each of which
// ends in a newline.
type input struct {
	path  string
	bytes int64
	lines uint64

	files   int // that it was made of, counted again when they are repeated
	empty   int // lines without a byte
	binary  int // lines that are not UTF-8
	longest int // bytes of the longest line
	left    int // lines over maxLine that were left out
	sum     []byte
}

// String says what the input is made of.
func (in *input) String() string {
	return fmt.Sprintf("%d bytes, %d lines of %d files; %d lines are empty, %d are not UTF-8, the longest has %d bytes;\n"+
		"            %d longer than a value may be were left out; sha256 %x",
		in.bytes, in.lines, in.files, in.empty, in.binary, in.longest, in.left, in.sum)
}

// defaultSources names the system's logs and Go's own sources, which are there
// wherever this program is built.
func defaultSources(ctx context.Context) ([]string, error) {
	logs, err := filepath.Glob("/var/log/*.log")
	if err != nil {
		return nil, err
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("ask go where its sources are: %w", err)
	}
	return append(logs, filepath.Join(strings.TrimSpace(string(root)), "src")), nil
}

// makeInput writes size bytes or up to a line more to path: the text files among
// sources and below them, joined in an order that is always the same, and from the
// start again until there is enough.
func makeInput(path string, size int64, sources []string) (in *input, err error) {
	texts, err := findTexts(sources)
	if err != nil {
		return nil, err
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	sum := sha256.New()
	j := joiner{input: input{path: path}, size: size, out: bufio.NewWriterSize(io.MultiWriter(file, sum), 1<<20)}
	for j.bytes < size {
		before := j.bytes
		for _, name := range texts {
			if err := j.add(name); err != nil {
				return nil, err
			}
		}
		if j.bytes == before {
			return nil, fmt.Errorf("no text that can be read in %q", sources)
		}
	}
	if err := j.out.Flush(); err != nil {
		return nil, err
	}
	j.input.sum = sum.Sum(nil)
	return &j.input, nil
}

// findTexts lists the regular files among sources and below them, in the order of
// sources and below each in that of names, without those that may not be read.
func findTexts(sources []string) ([]string, error) {
	var found []string
	for _, source := range sources {
		err := filepath.WalkDir(source, func(name string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrPermission) {
				return nil
			}
			if err == nil && entry.Type().IsRegular() {
				found = append(found, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// joiner writes an input and counts what goes into it.
type joiner struct {
	input
	size int64
	out  *bufio.Writer
}

// add appends the lines of a file as long as there is room. A file with a NUL
// byte is no text; one that may not be read is left out.
func (j *joiner) add(name string) error {
	if j.bytes >= j.size {
		return nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil
	}
	j.files++
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case j.bytes >= j.size:
			return nil
		case len(line) > maxLine:
			j.left++
			continue
		case len(line) == 0:
			j.empty++
		case !utf8.Valid(line):
			j.binary++
		}
		j.longest = max(j.longest, len(line))
		j.lines++
		j.bytes += int64(len(line)) + 1
		_, _ = j.out.Write(line) // the writer keeps its error for the next call
		if err := j.out.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}
