package log

import (
	"fmt"
	"slices"
	"strings"
)

// A Stake is what damage puts in doubt of one log: acknowledged records from an
// offset on may have been in what is damaged, or behind it.
type Stake struct {
	Log  string `json:"log"`
	From uint64 `json:"from"`
}

// stakesShown is how many logs a text names; the fields have them all.
const stakesShown = 8

// StakeText names what is at stake, as the begin of a sentence; it is empty if there
// is nothing.
func StakeText(stakes []Stake) string {
	if len(stakes) == 0 {
		return ""
	}
	parts := make([]string, 0, stakesShown+1)
	for _, s := range stakes[:min(len(stakes), stakesShown)] {
		parts = append(parts, fmt.Sprintf("%s from offset %d on", shownLog(s.Log), s.From))
	}
	if n := len(stakes) - stakesShown; n > 0 {
		parts = append(parts, fmt.Sprintf("%d more logs", n))
	}
	return "acknowledged records of " + strings.Join(parts, ", of ")
}

func sortStakes(stakes []Stake) []Stake {
	slices.SortFunc(stakes, func(a, b Stake) int { return strings.Compare(a.Log, b.Log) })
	return stakes
}
