package main

import (
	"flag"
	"fmt"
	"strconv"
)

// An offset is a flag for one, which may be left out.
type offset struct {
	value uint64
	given bool
}

var _ flag.Value = &offset{}

// String implements flag.Value.
func (o *offset) String() string {
	if o == nil || !o.given {
		return ""
	}
	return strconv.FormatUint(o.value, 10)
}

// Set implements flag.Value.
func (o *offset) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not an offset: use a whole number", text)
	}
	o.value, o.given = n, true
	return nil
}
