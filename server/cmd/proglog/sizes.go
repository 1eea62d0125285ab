package main

import (
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A size is a flag for a count or a number of bytes: 1048576, 1MiB or 1024KiB.
type size[T int | int64] struct{ value *T }

func newSize[T int | int64](p *T, value T) size[T] {
	*p = value
	return size[T]{p}
}

var _ flag.Value = size[int]{}

// String implements flag.Value: the shortest form that is exact.
func (s size[T]) String() string {
	if s.value == nil {
		return ""
	}
	n := int64(*s.value)
	for _, u := range units() {
		if n != 0 && n%u.bytes == 0 {
			return fmt.Sprint(n/u.bytes, u.suffix)
		}
	}
	return fmt.Sprint(n)
}

// Set implements flag.Value.
func (s size[T]) Set(text string) error {
	scale := int64(1)
	digits := text
	for _, u := range units() {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			digits, scale = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/scale || int64(T(n*scale)) != n*scale {
		return fmt.Errorf("%q is not a size: use a number of bytes, or one with KiB, MiB or GiB", text)
	}
	*s.value = T(n * scale)
	return nil
}

type unit struct {
	suffix string
	bytes  int64
}

func units() []unit {
	return []unit{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

// A count is a flag for a number of things.
type count struct{ value *int }

func newCount(p *int, value int) count {
	*p = value
	return count{p}
}

var _ flag.Value = count{}

// String implements flag.Value.
func (c count) String() string {
	if c.value == nil {
		return ""
	}
	return strconv.Itoa(*c.value)
}

// Set implements flag.Value.
func (c count) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return fmt.Errorf("%q is not a count: use a whole number", text)
	}
	*c.value = int(n)
	return nil
}
