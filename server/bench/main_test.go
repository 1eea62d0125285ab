package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/proglog/proglog/server/bench/internal/child"
)

// TestMain lets the binary of the tests be the children that cells start.
func TestMain(m *testing.M) {
	if was, err := child.Main(); was {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench child:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
