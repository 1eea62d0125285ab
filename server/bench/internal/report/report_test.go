package report

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Goal: figures have three digits, and no figure is no number.
func TestFormat(t *testing.T) {
	for want, got := range map[string]string{
		"1.50M":    Count(1_500_000),
		"12.3k":    Count(12_345),
		"999":      Count(999),
		"1.00k":    Count(999.9),
		"–":        Count(math.NaN()),
		"123":      Micros(123.4),
		"0.87x":    Ratio(0.871),
		"16.8x":    Ratio(16.84),
		"64.0":     Megabytes(64e6),
		"100 B":    Size(100),
		"64 KiB":   Size(64 << 10),
		"1 MiB":    Size(1 << 20),
		"1536 B":   Size(1536),
		"50 %":     Percent(0.5),
		"2.50 MiB": Bytes(5 << 19),
	} {
		assert.Equal(t, want, got)
	}
}

// Goal: the deepest mount above a path is its file system.
func TestMountOf(t *testing.T) {
	const mounts = `22 1 0:1 / / rw,relatime - ext4 /dev/root rw
23 22 0:2 / /data rw,noatime shared:1 - xfs /dev/sdb rw
24 22 0:3 / /tmp rw - tmpfs tmpfs rw
25 22 0:4 / /with\040space rw - btrfs /dev/sdc rw
short line`
	for path, want := range map[string]string{
		"/home/x":       "ext4 (rw,relatime) on /dev/root",
		"/data":         "xfs (rw,noatime) on /dev/sdb",
		"/data/a":       "xfs (rw,noatime) on /dev/sdb",
		"/database":     "ext4 (rw,relatime) on /dev/root",
		"/with space/a": "btrfs (rw) on /dev/sdc",
	} {
		assert.Equal(t, want, mountOf(path, mounts), path)
	}
	assert.Contains(t, mountOf("/tmp/a/b", mounts), "tmpfs (rw) on tmpfs, which is memory")
	assert.Equal(t, unknown, mountOf("/", ""))
}

// Goal: text and Markdown show all that a report has.
func TestReport(t *testing.T) {
	r := Report{Title: "figures", Sections: []Section{
		{Notes: []string{"a fact"}},
		{Title: "Table", Head: []string{"a", "b"}, Rows: [][]string{{"1", "x|y"}}},
	}}
	var text, markdown strings.Builder
	require.NoError(t, r.Text(&text))
	assert.Equal(t, "figures\na fact\n\nTable\n-----\na  b\n1  x|y\n", text.String())
	require.NoError(t, r.Markdown(&markdown, "p.svg"))
	assert.Equal(t, "# figures\n\n![curves](p.svg)\n\n- a fact\n\n## Table\n\n| a | b |\n| --- | --- |\n| 1 | x\\|y |\n", markdown.String())
}

// Goal: a picture is well-formed XML whatever the curves have, and every point
// is inside it.
func TestSVG(t *testing.T) {
	for name, charts := range map[string][]Chart{
		"none":           nil,
		"no curve":       {{Title: "<empty>", Base: 2}},
		"one point":      {{Base: 2, Curves: []Curve{{Name: "a & b", Points: []Point{{1, 1}}}}}},
		"no figure":      {{Base: 2, Curves: []Curve{{Points: []Point{{0, 1}, {1, math.NaN()}, {2, 5}}}}}},
		"several curves": {{Base: 2, Curves: []Curve{{Points: []Point{{1, 10}, {256, 1e6}}}, {Points: []Point{{4, 3}}}}}, {Base: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, SVG(&b, charts))
			assert.NotContains(t, b.String(), "NaN")
			assert.NotContains(t, b.String(), "Inf")
			d := xml.NewDecoder(&b)
			for {
				_, err := d.Token()
				if err == io.EOF {
					return
				}
				require.NoError(t, err)
			}
		})
	}
}

// Goal: an axis puts the ends of its span at its own ends, and powers between
// them at even distances.
func TestAxis(t *testing.T) {
	c := Chart{Curves: []Curve{{Points: []Point{{1, 100}, {8, 20_000}}}}}
	x := c.axis(func(p Point) float64 { return p.X }, 2, 0, 300)
	assert.Equal(t, []float64{1, 2, 4, 8}, x.ticks())
	assert.InDelta(t, 0, x.place(1), 1e-6)
	assert.InDelta(t, 100, x.place(2), 1e-6)
	assert.InDelta(t, 300, x.place(8), 1e-6)
	y := c.axis(func(p Point) float64 { return p.Y }, 10, 300, 0)
	assert.Equal(t, []float64{100, 1000, 10000, 100000}, y.ticks())
	assert.InDelta(t, 300, y.place(100), 1e-6)
	for want, v := range map[string]float64{"0.1": 0.1, "1": 1, "1024": 1024, "10k": 1e4, "100k": 1e5, "1M": 1e6} {
		assert.Equal(t, want, tick(v))
	}
}
