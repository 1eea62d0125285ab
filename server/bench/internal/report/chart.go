package report

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// A Chart is curves over two axes, both logarithmic.
type Chart struct {
	Title, X, Y string
	Base        float64 // of the x axis: each of its lines is so many times the one before; that of y is 10
	Curves      []Curve
}

// A Curve has a name and points in the order of x. Points that are not above
// zero are left out.
type Curve struct {
	Name   string
	Points []Point
}

// A Point is one place of a curve.
type Point struct{ X, Y float64 }

// Sizes of a chart in the picture.
const (
	chartWidth, chartHeight               = 560, 360
	plotLeft, plotRight, plotTop, plotEnd = 70, 150, 40, 50
)

// SVG draws charts below each other. The picture needs nothing but itself.
func SVG(w io.Writer, charts []Chart) error {
	var b strings.Builder
	height := chartHeight * max(1, len(charts))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", chartWidth, height)
	for i := range charts {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)">`+"\n", i*chartHeight)
		charts[i].draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// colours are told apart also by those who do not see all of them.
func colours() []string {
	return []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"}
}

func (c *Chart) draw(b *strings.Builder) {
	text := func(x, y float64, attributes, s string) {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" %s>%s</text>`+"\n", x, y, attributes, html.EscapeString(s))
	}
	const right, bottom = chartWidth - plotRight, chartHeight - plotEnd
	text(plotLeft, 22, `font-size="14" font-weight="bold"`, c.Title)
	x := c.axis(func(p Point) float64 { return p.X }, c.Base, plotLeft, right)
	y := c.axis(func(p Point) float64 { return p.Y }, 10, bottom, plotTop)
	for _, v := range x.ticks() {
		at := x.place(v)
		fmt.Fprintf(b, `<path d="M%.1f %d V%d" stroke="#ddd"/>`+"\n", at, plotTop, bottom)
		text(at, bottom+16, `text-anchor="middle"`, tick(v))
	}
	for _, v := range y.ticks() {
		at := y.place(v)
		fmt.Fprintf(b, `<path d="M%d %.1f H%d" stroke="#ddd"/>`+"\n", plotLeft, at, right)
		text(plotLeft-6, at+4, `text-anchor="end"`, tick(v))
	}
	text((plotLeft+right)/2, chartHeight-14, `text-anchor="middle"`, c.X)
	text(0, 0, fmt.Sprintf(`transform="translate(16 %d) rotate(-90)" text-anchor="middle"`, (plotTop+bottom)/2), c.Y)
	for i, curve := range c.Curves {
		colour := colours()[i%len(colours())]
		var path []string
		for _, p := range curve.Points {
			if p.X > 0 && p.Y > 0 {
				path = append(path, fmt.Sprintf("%.1f %.1f", x.place(p.X), y.place(p.Y)))
			}
		}
		fmt.Fprintf(b, `<path d="M%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(path, " L"), colour)
		at := float64(plotTop + 12 + 18*i)
		fmt.Fprintf(b, `<path d="M%d %.1f h20" stroke="%s" stroke-width="3"/>`+"\n", right+12, at-4, colour)
		text(right+38, at, "", curve.Name)
	}
}

// An axis places values between two ends of the picture.
type axis struct {
	base, low, high float64 // exponents of base
	from, to        float64
}

// axis spans what the curves have, up to whole powers of the base.
func (c *Chart) axis(of func(Point) float64, base, from, to float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, curve := range c.Curves {
		for _, p := range curve.Points {
			if p.X > 0 && p.Y > 0 {
				e := math.Log(of(p)) / math.Log(base)
				low, high = min(low, e), max(high, e)
			}
		}
	}
	if low > high {
		low, high = 0, 1
	}
	const fuzz = 1e-9 // a whole power is not always whole as a logarithm
	low, high = math.Floor(low+fuzz), math.Ceil(high-fuzz)
	return axis{base: base, low: low, high: max(high, low+1), from: from, to: to}
}

func (a axis) place(v float64) float64 {
	e := math.Log(v) / math.Log(a.base)
	return a.from + (e-a.low)/(a.high-a.low)*(a.to-a.from)
}

func (a axis) ticks() []float64 {
	var t []float64
	for e := a.low; e <= a.high; e++ {
		t = append(t, math.Pow(a.base, e))
	}
	return t
}

// tick is a value beside an axis.
func tick(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}
