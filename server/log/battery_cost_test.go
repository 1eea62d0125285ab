package log

import (
	"context"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/proglog/proglog/server/log/internal/frame"
	"github.com/proglog/proglog/server/log/internal/segment"
)

// A fault changes files; what it does not name stays.
type fault struct {
	text  string
	files map[string][]byte // new contents; nil: gone
	bit   *flippedBit       // instead of files
	costs *cost             // just what it costs, if that is known
}

// A flippedBit is a byte of a file with its new value.
type flippedBit struct {
	name  string
	pos   int64
	value byte
}

// A cost is what one flipped bit of a segment costs: the records of its frame.
type cost struct {
	log         string
	first, next uint64 // none if they are the same
}

// A frameSpan is where the bytes of a frame that have a checksum are.
type frameSpan struct {
	from, to int64
	cost
}

// findFrames lists the frames that a flipped bit can cost: those that recovery
// does not write anew.
func (s *specimen) findFrames(t testing.TB) {
	t.Helper()
	src, err := openSource(s.fs.CrashKeepNone())
	require.NoError(t, err)
	defer src.close()
	require.NoError(t, src.survey(context.Background()))
	require.Empty(t, src.report.Files)
	s.owner, s.frames = map[string]string{}, map[string][]frameSpan{}
	for _, l := range src.logs {
		for _, g := range l.segments {
			name := path.Join(segmentsDir, g.name)
			s.owner[name], s.owner[strings.TrimSuffix(name, ".seg")+".idx"] = l.meta.name, l.meta.name
			if l.row == nil || !g.there {
				continue
			}
			end := int64(0)
			for i, row := range l.row.segments {
				if row.spec == g.Spec {
					if end = row.end; i == len(l.row.segments)-1 {
						end = l.row.position
					}
				}
			}
			require.NoError(t, src.set.Existing(g.Spec, g.size).Pieces(func(p *segment.Piece) bool {
				if p.HeaderWhole() && p.Position < end {
					s.frames[name] = append(s.frames[name], frameSpan{
						p.Position, p.Position + frame.HeaderSize + int64(p.Header.Length),
						cost{l.meta.name, max(p.Header.Base, l.meta.first), max(p.Header.Next(), l.meta.first)},
					})
				}
				return true
			}))
		}
	}
}

// costs is what a flipped bit costs in a file of a log; nil if no log has it.
func (s *specimen) costs(name string, pos int64) *cost {
	log, owned := s.owner[name]
	if !owned {
		return nil
	}
	for _, f := range s.frames[name] {
		if pos >= f.from && pos < f.to {
			return &f.cost
		}
	}
	return &cost{log: log}
}

// holds says whether what readers find damaged is just that.
func (c *cost) holds(damaged []LostRange) error {
	if c.first == c.next && len(damaged) == 0 ||
		len(damaged) == 1 && damaged[0].First == c.first && damaged[0].Next == c.next {
		return nil
	}
	return fmt.Errorf("it costs %+v, and should cost %d to %d", damaged, c.first, c.next)
}
