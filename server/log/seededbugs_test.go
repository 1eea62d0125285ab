//go:build seededbugs

package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/log/internal/bug"
)

// catches says which test has to fail when a bug is planted.
var catches = []struct {
	bug  bug.Bug
	test string
}{
	{bug.AckBeforeSync, "TestCrashAtEveryCall"},
	{bug.SyncSkipped, "TestCrashAnywhere"},
	{bug.SegmentNotInDir, "TestCrashAtEveryCall"},
	{bug.JournalNotInDir, "TestCrashAtEveryCall"},
	{bug.RenameNotSynced, "TestCrashAtEveryCall"},
	{bug.JournalFreedEarly, "TestJournalFileIsReusedOnlyWhenNothingNeedsIt"},
	{bug.TableBeforeSegments, "TestCrashAtEveryCall"},
	{bug.SharedBlock, "TestCrashAnywhere"},
	{bug.CutTakenLate, "TestCrashAtEveryCall"},
	{bug.ListedForLong, "TestCrashAnywhere"},
	{bug.SavedTooFar, "TestWhatTheJournalStillHasIsNotDamaged"},
	{bug.LetGo, "TestWrittenBehindTheSyncOfAllFiles"},
	{bug.GapWritten, "TestBlocksOfACheckpointAreNotWrittenAgain"},
	{bug.ReadersAhead, "TestReadersSeeOnlyWhatIsDurable"},
	{bug.OffsetReused, "TestDeletedFilesAreRemoved"},
	{bug.PayloadNotChecked, "TestFlippedBitCostsItsRangeOnly"},
	{bug.ChecksumWithoutPlace, "TestFlippedBitCostsItsRangeOnly"},
	{bug.NonceLeftOut, "TestFrameInAValueIsNotBelieved"},
	{bug.NonceLeftOut, "TestFramesOfAnEarlierFileAreNotBelieved"},
	{bug.IndexTrusted, "TestWrongIndexIsMadeAgain"},
	{bug.IndexCacheUnbounded, "TestIndexCacheIsBounded"},
	{bug.EdgeDropped, "TestTrimKeepsEveryRecordAtTheEdges"},
	{bug.ProducersForgotten, "TestCrashAnywhere"},
	{bug.SyncRetried, "TestFailedSyncEndsAppendsUntilARestart"},
	{bug.AppendsGoOn, "TestFailedSyncEndsAppendsUntilARestart"},
	{bug.FullIgnored, "TestEveryCallFails/one_log"},
	{bug.RewrittenInPlace, "TestSegmentIsCutBeforeItIsWrittenAgain"},
	{bug.JournalNotCounted, "TestSpaceForTheJournalIsKeptFree"},
	{bug.NoLock, "TestOpenRefusesWhatIsNotItsOwn"},
	{bug.CutAtFirstBadGroup, "TestRecoveryRefusesProvenDamage"},
	{bug.GroupProofIgnored, "TestRecoveryRefusesProvenDamage"},
	{bug.HeaderProofIgnored, "TestDamageInTheLastJournalFile"},
	{bug.TornGroupApplied, "TestCrashAnywhere"},
	{bug.ChainIgnored, "TestReplacedSettingsAreRefused"},
	{bug.SameRange, "TestRecoveryGoesOnInAnotherFile"},
	{bug.ThirdLogDropped, "TestCrashAtEveryCall"},
	{bug.SecondBatchForgotten, "TestCrashAtEveryCall"},
	{bug.NotIdempotent, "TestCrashAtEveryCallOfRecovery"},
}

// How long a test may take to catch a bug, and to pass without one.
const bugBudget = 5 * time.Second // of processor time

// Each planted bug is caught by the test that is said to catch it, soon; and
// those tests pass when none is planted. So what they look for can be found.
//
// Method: this very binary runs the test again, with the bug in the environment.
// What is random begins at a fixed seed, and tries a tenth of what it does else.
func TestSeededBugs(t *testing.T) {
	if os.Getenv("PROGLOG_BUG") != "" || os.Getenv("PROGLOG_BUG_CHILD") != "" {
		t.Skip("SKIP: this is the run of a planted bug")
	}
	clean := map[string]bool{}
	for _, c := range catches {
		if clean[c.test] {
			continue
		}
		clean[c.test] = true
		t.Run("none/"+c.test, func(t *testing.T) {
			out, took, err := runPlanted("", c.test)
			require.NoError(t, err, "%s", out)
			require.Contains(t, out, "--- PASS: "+c.test)
			t.Logf("passes in %v", took)
		})
	}
	var table strings.Builder
	table.WriteString("| bug | caught by | after |\n| --- | --- | --- |\n")
	var rows []string
	for _, c := range catches {
		row := fmt.Sprintf("| `%s`: %s | `%s` |", c.bug, says(t, c.bug), c.test)
		rows = append(rows, row)
		t.Run(string(c.bug)+"/"+c.test, func(t *testing.T) {
			out, took, err := runPlanted(c.bug, c.test)
			var exit *exec.ExitError
			require.True(t, errors.As(err, &exit), "the test passes: it does not catch the bug\n%s", out)
			require.Less(t, took, bugBudget)
			require.True(t, strings.Contains(out, "--- FAIL: "+c.test) || strings.Contains(out, "panic: "), "%s", out)
			fmt.Fprintf(&table, "%s %.2f s |\n", row, took.Seconds())
			t.Logf("caught in %v", took)
		})
	}
	page, err := os.ReadFile("BUGS.md")
	require.NoError(t, err)
	if os.Getenv("PROGLOG_UPDATE") != "" {
		before, rest, found := strings.Cut(string(page), "| bug | caught by |")
		require.True(t, found)
		_, after, _ := strings.Cut(rest, "\n\n")
		if after != "" {
			after = "\n" + after
		}
		require.NoError(t, os.WriteFile("BUGS.md", []byte(before+table.String()+after), 0o644))
		return
	}
	for _, row := range rows {
		require.Contains(t, string(page), row, "BUGS.md is not up to date: run this test with PROGLOG_UPDATE=1")
	}
}

// says is what the source says of a bug.
func says(t *testing.T, b bug.Bug) string { return declaredBugs(t)[string(b)] }

// runPlanted runs a test with a bug, in a process of its own. It took so much
// processor time: what else the machine does is no fault of the test.
func runPlanted(planted bug.Bug, test string) (out string, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 24*bugBudget)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+strings.ReplaceAll(test, "/", "$/^")+"$", "-test.v", "-test.short", "-test.failfast")
	child.Env = append(os.Environ(), "PROGLOG_BUG="+string(planted), "PROGLOG_BUG_CHILD=1", "PROGLOG_SEED=1", "PROGLOG_CRASHES=20000", "PROGLOG_LEDGER=")
	var b bytes.Buffer
	child.Stdout, child.Stderr = &b, &b
	err = child.Run()
	if p := child.ProcessState; p != nil {
		took = p.UserTime() + p.SystemTime()
	}
	return b.String(), took, err
}

// Every bug that can be planted has a test that catches it.
func TestEverySeededBugIsCaught(t *testing.T) {
	caught := map[string]bool{}
	for _, c := range catches {
		caught[string(c.bug)] = true
	}
	all := declaredBugs(t)
	require.GreaterOrEqual(t, len(all), 16)
	for b := range all {
		require.True(t, caught[b], "no test is said to catch %s", b)
	}
}
