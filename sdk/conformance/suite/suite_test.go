package suite

import (
	"errors"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// binEnv names the environment variable that holds the path of the server's
// binary; make test sets it.
const binEnv = "PROGLOG_BIN"

// atOnce is how many cases run at a time. Most of them wait most of the time.
const atOnce = "6"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}

func bin(t *testing.T) string {
	t.Helper()
	path := os.Getenv(binEnv)
	if path == "" {
		t.Skipf("%s is not set: run make test, which builds the binary and sets it", binEnv)
	}
	return path
}

// skip skips a test, or fails it where everything has to be there.
func skip(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, errMissing)
	if strict := os.Getenv("STRICT"); strict != "" && strict != "0" {
		t.Fatalf("%v, and STRICT is set", err)
	}
	t.Skipf("%v", err)
}

// Goal: every SDK that can be run here shows every behaviour.
func TestConformance(t *testing.T) {
	server := bin(t)
	cases, err := LoadCases("../cases")
	require.NoError(t, err)
	specs, err := LoadAdapters("../adapters/adapters.json")
	require.NoError(t, err)
	missing := map[string]error{}
	var there []*AdapterSpec
	for _, spec := range specs {
		err := spec.Prepare(t.Context(), t.TempDir())
		if errors.Is(err, errMissing) {
			missing[spec.Name] = err
			continue
		}
		require.NoError(t, err)
		there = append(there, spec)
	}
	for _, spec := range specs {
		t.Run(spec.Name, func(t *testing.T) {
			if err := missing[spec.Name]; err != nil {
				skip(t, err)
			}
			for _, c := range cases {
				t.Run(c.ID(), func(t *testing.T) {
					t.Parallel()
					runs := []Run{{Case: c, Bin: server, A: spec, Dir: t.TempDir()}}
					if c.Pair {
						runs = nil
						for _, other := range there {
							runs = append(runs, Run{Case: c, Bin: server, A: spec, B: other, Dir: t.TempDir()})
						}
					}
					if why := spec.lack(c); why != "" {
						t.Logf("lacking: %s", why)
						return
					}
					for _, run := range runs {
						require.NoError(t, run.Do(t.Context()))
					}
				})
			}
		})
	}
}
