package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/sdk/conformance/proglogtest"
)

// Goal: what a newcomer copies works, and prints what it seems to print, against
// the real server; a second time too, when the log is no longer empty.
func TestQuickstart(t *testing.T) {
	server := proglogtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	for _, want := range []string{
		"produced 0\nproduced 1 to 2\n0: hello\n1: how are you?\n2: goodbye\n",
		"produced 3\nproduced 4 to 5\n3: hello\n4: how are you?\n5: goodbye\n",
	} {
		var out strings.Builder
		require.NoError(t, run(ctx, server.URL(), &out))
		assert.Equal(t, want, out.String())
	}
}
