// Testsum reads the events of go test -json from standard input and prints what
// a person wants to see of them: a line for each package, why a test was skipped,
// all output of what failed, and the counts on one line at the end. It exits
// with 1 if anything failed or, with -strict, was skipped.
//
// A test that has subtests counts as its subtests do, and by itself only if it
// fails while they pass.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	strict := flag.Bool("strict", false, "a skipped test is a failure")
	counts := flag.String("counts", "", "also write the closing line to this `file`")
	flag.Parse()

	s := newSummary(os.Stdout)
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(1)
	}
	total := s.close()
	fmt.Println(total)
	if *counts != "" {
		if err := os.WriteFile(*counts, []byte(total.String()+"\n"), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "testsum:", err)
			os.Exit(1)
		}
	}
	if total.failed > 0 || *strict && total.skipped > 0 {
		os.Exit(1)
	}
}
