package report

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Drawings have one size in user units and are scaled by the page; at 480 units the
// lettering stays legible on a telephone.
const (
	plotWidth, plotHeight = 480.0, 290.0
	marginLeft            = 66.0
	marginRight           = 14.0
	marginBottom          = 42.0
	legendLine            = 18.0
	letterWidth           = 6.4 // generous mean of the 12-unit lettering
)

// canvas collects the elements of one drawing. Text goes through text and attributes
// through num or escape, so no string of the caller can open an element.
type canvas struct{ strings.Builder }

func newCanvas(width, height float64, title string) *canvas {
	c := &canvas{}
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" class="plot" role="img" viewBox="0 0 %s %s" aria-label="%s"><title>%s</title>`,
		num(width), num(height), escape(title), escape(title))
	return c
}

func (c *canvas) finish() string {
	c.WriteString("</svg>")
	return c.String()
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(c, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, escape(class), num(x1), num(y1), num(x2), num(y2))
}

func (c *canvas) rect(class string, x, y, width, height float64) {
	fmt.Fprintf(c, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`,
		escape(class), num(x), num(y), num(max(0, width)), num(max(0, height)))
}

// text writes s; anchor is start, middle or end.
func (c *canvas) text(class, anchor string, x, y float64, s string) {
	fmt.Fprintf(c, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, escape(class), escape(anchor), num(x), num(y), escape(s))
}

func (c *canvas) upright(x, y float64, s string) {
	fmt.Fprintf(c, `<text class="label" text-anchor="middle" transform="translate(%s %s) rotate(-90)">%s</text>`, num(x), num(y), escape(s))
}

// legend writes the names in rows and returns the height it took. Each name's mark is
// drawn by mark at a box of 18 by 10 units.
func (c *canvas) legend(names []string, mark func(i int, x, y float64)) float64 {
	x, y := marginLeft, 14.0
	for i, name := range names {
		width := 24 + letterWidth*float64(len([]rune(name))) + 14
		if x > marginLeft && x+width > plotWidth {
			x, y = marginLeft, y+legendLine
		}
		mark(i, x, y-9)
		c.text("label", "start", x+24, y, name)
		x += width
	}
	return y + 12
}

// num prints a coordinate. A value that is not finite becomes 0: a broken number may
// spoil a drawing, never the page.
func num(x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "0"
	}
	return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64)
}

// escape makes s safe as text and as a quoted attribute, in XML and in HTML;
// characters that XML forbids become U+FFFD.
func escape(s string) string {
	var b strings.Builder
	// A strings.Builder does not fail.
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

// scale maps values to coordinates.
type scale struct{ low, high, from, to float64 }

// at returns the coordinate of v, never outside the scale.
func (s scale) at(v float64) float64 {
	if s.high == s.low {
		return (s.from + s.to) / 2
	}
	share := (v - s.low) / (s.high - s.low)
	return s.from + max(0, min(1, share))*(s.to-s.from)
}

// ticks returns about count round numbers covering low to high: steps of 1, 2 or 5
// times a power of ten, the first <= low and the last >= high. It returns at least
// two; where the range has no such steps in float64, they are low and high or low+1.
func ticks(low, high float64, count int) []float64 {
	if !(high > low) {
		return []float64{low, low + 1}
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/float64(count))))
	for _, m := range []float64{5, 2} {
		if (high-low)/(step*m) >= float64(count)*0.7 {
			step *= m
			break
		}
	}
	first, last := math.Floor(low/step+1e-9), math.Ceil(high/step-1e-9)
	if !(last > first && last-first < 100) {
		return []float64{low, high}
	}
	var out []float64
	for i := first; i <= last; i++ {
		out = append(out, i*step)
	}
	return out
}

func tickText(v float64, percent bool) string {
	if percent {
		return strconv.FormatFloat(math.Round(v*1e4)/100, 'f', -1, 64) + " %"
	}
	for _, unit := range []struct {
		from, of float64
		name     string
	}{{1e9, 1e9, "G"}, {1e6, 1e6, "M"}, {1e4, 1e3, "k"}} { // as long numbers would run into the axis' name
		if math.Abs(v) >= unit.from && math.Abs(v) < 1e13 {
			return strconv.FormatFloat(v/unit.of, 'g', 4, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// finite returns the smallest and largest finite values, or 0 and 1.
func finite(rows ...[]float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, row := range rows {
		for _, v := range row {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	if low > high {
		return 0, 1
	}
	return low, high
}
