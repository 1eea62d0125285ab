package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// envPrefix begins the environment twin of every flag.
const envPrefix = "PROGLOG_"

// envName returns the environment twin of a flag: --data-dir is
// PROGLOG_DATA_DIR.
func envName(flagName string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// newFlags returns a flag set whose help names the environment twin beside each
// flag. usage is the line after "Usage: proglog ".
func newFlags(name, usage string, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		w := fs.Output()
		fmt.Fprintf(w, "Usage: proglog %s\n\nFlags, each with its environment twin; a flag wins:\n", usage)
		fs.VisitAll(func(f *flag.Flag) {
			value, text := flag.UnquoteUsage(f)
			fmt.Fprintf(w, "  --%s %s\n      %s\n      %s", f.Name, value, text, envName(f.Name))
			if f.DefValue != "" {
				fmt.Fprintf(w, ", default %s", f.DefValue)
			}
			fmt.Fprintln(w)
		})
	}
	return fs
}

// parseFlags parses args and then sets what they left out from the environment.
// If the command cannot go on, ok is false and code is its exit code; the reason
// has been printed.
func parseFlags(fs *flag.FlagSet, args []string) (code int, ok bool) {
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK, false
	case err != nil:
		return exitUsage, false
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	code, ok = exitOK, true
	fs.VisitAll(func(f *flag.Flag) {
		value, set := os.LookupEnv(envName(f.Name))
		if given[f.Name] || !set || !ok {
			return
		}
		if err := fs.Set(f.Name, value); err != nil {
			fmt.Fprintf(fs.Output(), "proglog %s: %s: %v\n", fs.Name(), envName(f.Name), err)
			code, ok = exitUsage, false
		}
	})
	return code, ok
}

// A list is a flag for several texts: with commas between them, or given again.
type list struct{ values *[]string }

var _ flag.Value = (*list)(nil)

// String implements flag.Value.
func (l *list) String() string {
	if l.values == nil {
		return ""
	}
	return strings.Join(*l.values, ",")
}

// Set implements flag.Value. An empty text adds nothing.
func (l *list) Set(text string) error {
	if text == "" {
		return nil
	}
	for _, value := range strings.Split(text, ",") {
		*l.values = append(*l.values, strings.TrimSpace(value))
	}
	return nil
}
