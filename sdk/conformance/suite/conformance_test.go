package suite

import (
	"errors"
	"flag"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	// binEnv names the environment variable that holds the path of the server's
	// binary; make test sets it.
	binEnv = "PROGLOG_BIN"
	// atOnce is how many cases run at a time. Most of them wait most of the time.
	atOnce = "6"

	casesDir    = "../cases"
	adapterFile = "../adapters/adapters.json"
	parityFile  = "../parity.json"
	pageFile    = "../../README.md"
)

var (
	update = flag.Bool("update", false, "write what the SDKs showed into the parity table")
	only   = flag.String("adapter", "", "run the adapter of this name only; pairs still take all")
)

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

func load(t *testing.T) ([]*Case, []*AdapterSpec) {
	t.Helper()
	cases, err := LoadCases(casesDir)
	require.NoError(t, err)
	specs, err := LoadAdapters(adapterFile)
	require.NoError(t, err)
	return cases, specs
}

// Goal: every SDK that can be run here shows every behaviour, and the parity table
// says what they showed.
func TestConformance(t *testing.T) {
	server := bin(t)
	cases, specs := load(t)
	stored, err := LoadParity(parityFile)
	require.NoError(t, err)

	missing := map[string]error{}
	for _, spec := range specs {
		if err := spec.Prepare(t.Context(), t.TempDir()); err != nil {
			missing[spec.Name] = err
		}
	}
	for _, spec := range specs {
		if *only != "" && *only != spec.Name {
			continue
		}
		result := newTally()
		t.Run(spec.Name, func(t *testing.T) {
			if err := missing[spec.Name]; err != nil {
				skip(t, err)
			}
			conform(t, server, cases, spec, others{specs, missing}, result)
		})
		if len(result.ran) < len(cases) {
			continue // some did not run, by choice, or failed
		}
		if *update {
			stored[spec.Name] = result.cells
			require.NoError(t, stored.Store(parityFile))
			continue
		}
		assert.Equal(t, stored[spec.Name], result.cells,
			"the parity table says something else of %s: run this test with -update", spec.Name)
	}
	if *update {
		page, err := os.ReadFile(pageFile)
		require.NoError(t, err)
		text, err := inPage(string(page), stored.Table(cases, specs))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(pageFile, []byte(text), 0o644))
	}
}

// skip skips a test whose adapter is missing, or fails it where everything has to
// be there.
func skip(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, errMissing)
	if strict := os.Getenv("STRICT"); strict != "" && strict != "0" {
		t.Fatalf("%v, and STRICT is set", err)
	}
	t.Skipf("%v", err)
}

// conform runs all cases with one adapter.
func conform(t *testing.T, server string, cases []*Case, spec *AdapterSpec, all others, result *tally) {
	for name := range spec.Known {
		require.NotNil(t, named(cases, name), "%s: known: there is no case %q", spec.Name, name)
	}
	var mu sync.Mutex
	add := func(c *Case, why string) {
		mu.Lock()
		defer mu.Unlock()
		result.add(c, why)
	}
	for _, c := range cases {
		t.Run(c.ID(), func(t *testing.T) {
			t.Parallel()
			if why := spec.lack(c.needs("a")); why != "" {
				t.Logf("%s lacks it: %s", spec.Name, why)
				add(c, why)
				return
			}
			err := runAll(t, server, c, spec, all)
			if why, ok := spec.Known[c.ID()]; ok {
				require.Error(t, err, "it passes now: take it out of %s", adapterFile)
				t.Logf("a known failure: %s", why)
				add(c, why)
				return
			}
			require.NoError(t, err)
			if c.Pair && len(all.missing) > 0 {
				return // the column is not complete
			}
			add(c, "")
		})
	}
}

// others are all adapters, with those that cannot be run here.
type others struct {
	specs   []*AdapterSpec
	missing map[string]error // by name, why
}

// runAll runs a case, one for pairs with every other adapter, and itself. A pair
// whose other half is missing is skipped by name.
func runAll(t *testing.T, server string, c *Case, spec *AdapterSpec, all others) error {
	if !c.Pair {
		run := Run{Case: c, Bin: server, A: spec, Dir: t.TempDir()}
		return run.Do(t.Context())
	}
	var failure error
	for _, other := range all.specs {
		if why := all.missing[other.Name]; why != nil {
			t.Run("with "+other.Name, func(t *testing.T) { skip(t, why) })
			continue
		}
		if other.lack(c.needs("b")) != "" {
			continue // it is a row of the other's column
		}
		run := Run{Case: c, Bin: server, A: spec, B: other, Dir: t.TempDir()}
		failure = errors.Join(failure, run.Do(t.Context()))
	}
	return failure
}

func named(cases []*Case, id string) *Case {
	for _, c := range cases {
		if c.ID() == id {
			return c
		}
	}
	return nil
}

// Goal: the parity table is the one of the stored results, and these speak of the
// cases that there are. Whether they are true the suite itself checks.
func TestParityTable(t *testing.T) {
	cases, specs := load(t)
	stored, err := LoadParity(parityFile)
	require.NoError(t, err)
	require.NotEmpty(t, stored)
	require.NoError(t, stored.Check(cases, specs))
	page, err := os.ReadFile(pageFile)
	require.NoError(t, err)
	want, err := inPage(string(page), stored.Table(cases, specs))
	require.NoError(t, err)
	assert.Equal(t, want, string(page), "run the suite with -update")
}
