package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"time"
	"unicode/utf8"

	proglog "github.com/proglog/proglog/sdk/go"
)

// recordWriter writes one record in a format.
type recordWriter func(*bufio.Writer, *proglog.Record) error

// newRecordWriter returns the writer of a format; nil if there is no such
// format.
func newRecordWriter(format string) recordWriter {
	switch format {
	case formatLines:
		return writeLine
	case formatDelimited:
		return writeDelimited
	case formatJSON:
		return writeJSON
	}
	return nil
}

func writeLine(w *bufio.Writer, r *proglog.Record) error {
	_, _ = w.Write(r.Value) // the writer keeps its error for the next call
	return w.WriteByte('\n')
}

func writeDelimited(w *bufio.Writer, r *proglog.Record) error {
	_, _ = w.Write(binary.AppendUvarint(w.AvailableBuffer(), uint64(len(r.Value))))
	_, err := w.Write(r.Value)
	return err
}

// jsonRecord is a record as JSON. A value has exactly one of two keys: text if it
// is UTF-8, or else value, which is base64 as it is on the wire.
type jsonRecord struct {
	Offset  uint64       `json:"offset"`
	Time    time.Time    `json:"time"`
	Headers []jsonHeader `json:"headers,omitempty"`
	jsonValue
}

type jsonHeader struct {
	Name string `json:"name"`
	jsonValue
}

type jsonValue struct {
	Text  *string `json:"text,omitempty"`
	Value []byte  `json:"value,omitempty"`
}

func newJSONValue(b []byte) jsonValue {
	if !utf8.Valid(b) {
		return jsonValue{Value: b}
	}
	text := string(b)
	return jsonValue{Text: &text}
}

func writeJSON(w *bufio.Writer, r *proglog.Record) error {
	j := jsonRecord{Offset: r.Offset, Time: r.Time, jsonValue: newJSONValue(r.Value)}
	for _, h := range r.Headers {
		j.Headers = append(j.Headers, jsonHeader{h.Name, newJSONValue(h.Value)})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(j)
}
