package main

import (
	"fmt"
	"strings"

	"github.com/proglog/proglog/server/bench/internal/growth"
	"github.com/proglog/proglog/server/bench/internal/measure"
	"github.com/proglog/proglog/server/bench/internal/peer"
	"github.com/proglog/proglog/server/bench/internal/report"
)

// sections are the tables for everybody.
func sections(r *results, facts []string) []report.Section {
	all := []report.Section{
		{Notes: facts},
		{Title: "Peers", Rows: peerRows(r)},
		goalTable(r),
		contestTable(r, groupOne, "One writer", "A single goroutine appends batches: its latency is the disk's. \"bare\" is the peer on equally prepared space."),
		contestTable(r, groupStores, "Stores in a process", "256 goroutines append one record at a time, each ack stands on a sync. Records have their time in front."),
		contestTable(r, groupAppend, "Append",
			"Goroutines append one record at a time, each to a log chosen at random, and wait for the ack. Each log has a record before the first round. A bare loop has neither logs nor groups: each goroutine syncs a file of its own.",
			"Runs are short: what our engine writes to segments behind the ack is written out between runs, at nobody's expense. \"sustained\" below pays for it."),
		contestTable(r, groupCurve, "Group commit", "100 B records, one log, more and more goroutines."),
		contestTable(r, groupLogs, "Number of logs", "100 B records, 256 goroutines, more and more logs."),
		entrantTable(r, groupMany, "Many logs against one", "Our engine beside itself, 256 goroutines. A sustained run is long enough for checkpoints."),
		entrantTable(r, groupBeside, "A small writer beside a bulk writer", "One goroutine appends 100 B to a log; beside it 16 append 64 KiB to another. Figures are the small one's."),
		checkpointTable(r),
		memoryTable(r),
		readTable(r),
		sizeTable(r),
		wireTable(r, groupCall, "Calls over the wire", "Callers append one record to a call and wait for its ack. Servers are processes of their own; the bench's own CPU is that of their client, and of the harness. \"rounds differ\" and \"spread\" are the largest divided by the smallest."),
		partsTable(r),
		wireTable(r, groupPump, "A pipelined producer", "One producer, 4,096 records in flight; a latency is from a record's hand-over to its ack, so most of it is the queue; one of more than 4.3 s counts as 4.3 s."),
		wireTable(r, groupStream, "A consumer from the first record on", "One consumer reads a whole log, again and again."),
		followTable(r),
		sdkTable(r),
	}
	return full(all)
}

// full leaves out what has nothing to show.
func full(all []report.Section) []report.Section {
	var kept []report.Section
	for _, s := range all {
		if len(s.Rows) > 0 || s.Title == "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// peerRows has a row for each peer that took part, in the order in which they came.
func peerRows(r *results) [][]string {
	var rows [][]string
	seen := map[string]bool{}
	add := func(outcomes []measure.Outcome) {
		for _, o := range outcomes {
			if key := o.Peer + o.About; !seen[key] {
				seen[key] = true
				rows = append(rows, []string{o.Peer, o.About})
			}
		}
	}
	for _, c := range r.contests {
		add(c.outcomes)
	}
	for _, c := range r.readings {
		add(c.outcomes)
	}
	return rows
}

// contestTable has a row for each contest of a group: what the first entrant
// reached, and how that compares with the others.
func contestTable(r *results, group, title string, notes ...string) report.Section {
	s := report.Section{Title: title, Notes: notes}
	for _, c := range r.contests {
		if c.group != group {
			continue
		}
		first := c.outcomes[0]
		if s.Head == nil {
			s.Head = append([]string{"logs", "goroutines", "batch", "value"}, figureHead()...)
			for _, o := range c.outcomes[1:] {
				s.Head = append(s.Head, "rate / "+o.Label, "p50 / "+o.Label)
			}
			s.Head = append(s.Head, "rounds differ", "others")
		}
		row := append(loadRow(first.Load), figureRow(first.Series)...)
		for _, o := range c.outcomes[1:] {
			row = append(row, report.Ratio(first.Series.Ratio(o.Series, measure.Rate)), report.Ratio(first.Series.Ratio(o.Series, measure.Latency50)))
		}
		row = append(row, report.Ratio(measure.Spread(first.Series.Each(measure.Rate))), report.Percent(first.Series.Median(measure.Others)))
		s.Rows = append(s.Rows, row)
	}
	return s
}

// entrantTable has a row for each entrant of a group's contests, which are all
// compared with one of them.
func entrantTable(r *results, group, title string, notes ...string) report.Section {
	s := report.Section{Title: title, Notes: notes}
	s.Head = append(append([]string{"", "value"}, figureHead()...), "rate / compared", "p50 / compared", "compared with", "beside MB/s", "others")
	for _, c := range r.contests {
		if c.group != group {
			continue
		}
		for i, o := range c.outcomes {
			row := append([]string{c.part() + o.Label, report.Size(o.Load.ValueBytes)}, figureRow(o.Series)...)
			if with := c.outcomes[o.Against]; o.Against == i {
				row = append(row, "", "", "")
			} else {
				row = append(row, report.Ratio(o.Series.Ratio(with.Series, measure.Rate)), report.Ratio(o.Series.Ratio(with.Series, measure.Latency50)), with.Label)
			}
			s.Rows = append(s.Rows, append(row, besideOf(o), report.Percent(o.Series.Median(measure.Others))))
		}
	}
	return s
}

// part is the middle of the contest's name, if it has one.
func (c contest) part() string {
	if f := strings.Split(c.name, "/"); len(f) == 3 {
		return f[1] + ": "
	}
	return ""
}

func besideOf(o measure.Outcome) string {
	if b := o.Series.Median(measure.Beside); b > 0 {
		return report.Megabytes(b)
	}
	return ""
}

func loadRow(l peer.Load) []string {
	return []string{fmt.Sprint(l.Logs), fmt.Sprint(l.Writers), fmt.Sprint(l.Batch), report.Size(l.ValueBytes)}
}

func figureHead() []string {
	return []string{"records/s", "MB/s", "p50 µs", "p99 µs", "p99.9 µs", "allocs/call", "CPU µs/record"}
}

func figureRow(s measure.Series) []string {
	return []string{
		report.Count(s.Median(measure.Rate)), report.Megabytes(s.Median(measure.Throughput)),
		report.Micros(s.Median(measure.Latency50)), report.Micros(s.Median(measure.Latency99)), report.Micros(s.Median(measure.Latency999)),
		report.Micros(s.Median(measure.Allocs)), report.Micros(s.Median(measure.CPU)),
	}
}

// readTable has a row for each way to read.
func readTable(r *results) report.Section {
	s := report.Section{
		Title: "Read",
		Notes: []string{
			"One log, written in batches, read from the page cache. A call is a run, or one record. Beside it, preads of the same sizes from a file of bare values, which checks nothing.",
		},
		Head: append(append([]string{"value", "", "readers"}, figureHead()...), "rate / file per log", "p50 / file per log", "rate / book's design", "rounds differ", "others"),
	}
	for _, c := range r.readings {
		ours, raw, book := c.outcomes[0].Series, c.outcomes[1].Series, c.outcomes[2].Series
		row := append([]string{report.Size(c.valueBytes), c.way.Name, fmt.Sprint(c.way.Readers)}, figureRow(ours)...)
		s.Rows = append(s.Rows, append(row,
			report.Ratio(ours.Ratio(raw, measure.Rate)), report.Ratio(ours.Ratio(raw, measure.Latency50)), report.Ratio(ours.Ratio(book, measure.Rate)),
			report.Ratio(measure.Spread(ours.Each(measure.Rate))), report.Percent(ours.Median(measure.Others))))
	}
	return s
}

// sizeTable has a row for each size of a log that grows.
func sizeTable(r *results) report.Section {
	s := report.Section{
		Title: "A log that grows",
		Notes: []string{
			fmt.Sprintf("One log of %s values. Appends are of %d at a time, beside write + fdatasync of the same bytes on prepared space; reads are of one at random, checked, beside preads of as many bytes from the log's own files. The heap is that of the log opened anew, after a round of reads all over it and two collections (pools keep what they hold over one), so that nothing waits for its segment, which has a limit and a table of its own; it is without what the process had before.",
				report.Size(growth.SizeValueBytes), growth.SizeBatch),
		},
		Head: []string{"size", "appended records/s", "beside raw I/O", "rounds differ", "random reads/s", "beside raw I/O", "rounds differ", "heap"},
	}
	for _, one := range r.grown {
		s.Rows = append(s.Rows, []string{
			report.Bytes(one.Bytes),
			report.Count(one.Append), report.Ratio(measure.Median(one.AppendRaw)), report.Ratio(measure.Spread(one.AppendRaw)),
			report.Count(one.Read), report.Ratio(measure.Median(one.ReadRaw)), report.Ratio(measure.Spread(one.ReadRaw)),
			report.Bytes(one.Heap),
		})
	}
	return s
}

// everyone has a row for each entrant of each contest.
func everyone(r *results) report.Section {
	s := report.Section{
		Title: "Every entrant",
		Notes: []string{"Medians of the rounds. Setup is the time to open it, to make its logs and to put a record into each."},
		Head:  append(append([]string{"cell", "entrant"}, figureHead()...), "beside MB/s", "setup"),
	}
	add := func(name string, outcomes []measure.Outcome) {
		for _, o := range outcomes {
			row := append([]string{name, o.Label}, figureRow(o.Series)...)
			if o.Unavailable != "" {
				row[1] += ": " + o.Unavailable
			}
			s.Rows = append(s.Rows, append(row, besideOf(o), round(o.Setup)))
		}
	}
	for _, c := range r.contests {
		add(c.name, c.outcomes)
	}
	for _, c := range r.readings {
		add(fmt.Sprintf("read/value=%s, %s, readers=%d", short(c.valueBytes), c.way.Name, c.way.Readers), c.outcomes)
	}
	return s
}
