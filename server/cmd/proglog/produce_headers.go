package main

import (
	"flag"
	"fmt"
	"strings"
	"unicode/utf8"

	proglog "github.com/proglog/proglog/sdk/go"
)

// headers is a flag for headers of a record, one each time that it is given.
type headers []proglog.Header

var _ flag.Value = &headers{}

// String implements flag.Value.
func (h *headers) String() string {
	if h == nil {
		return ""
	}
	texts := make([]string, len(*h))
	for i, header := range *h {
		texts[i] = header.Name + "=" + string(header.Value)
	}
	return strings.Join(texts, " ")
}

// Set implements flag.Value. The first equals sign ends the name; all behind it is
// the value.
func (h *headers) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || !utf8.ValidString(name) {
		return fmt.Errorf("%q is not a header: use NAME=VALUE, with a name in UTF-8", text)
	}
	*h = append(*h, proglog.Header{Name: name, Value: []byte(value)})
	return nil
}
