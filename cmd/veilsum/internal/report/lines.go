package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Series is one named line of a [LinePlot]: Y[i] belongs to X[i] of the plot, and a
// value that is not finite leaves a gap.
type Series struct {
	Name string
	Y    []float64
}

// LinePlot draws up to four series over common positions. They differ in color, dash
// and marker, so the drawing reads without color too.
type LinePlot struct {
	// Title is read aloud, not drawn: the page writes its own headings.
	Title          string
	XLabel, YLabel string
	X              []float64
	Series         []Series
	// Limit draws a level line named LimitName. Left out while LimitName is empty.
	Limit     float64
	LimitName string
	// FromZero starts the vertical axis at zero.
	FromZero bool
	// LogX makes the horizontal axis logarithmic, lettered at the positions; all X are then above zero.
	LogX bool
	// Percent letters the vertical axis in per cent of 1.
	Percent bool
}

// SVG returns the drawing as one well-formed element.
func (p LinePlot) SVG() template.HTML {
	c := newCanvas(plotWidth, plotHeight, p.Title)
	top := c.legend(p.names(), func(i int, x, y float64) {
		c.line(p.class(i), x, y+5, x+18, y+5)
		if i < len(p.Series) {
			c.marker(i, x+9, y+5)
		}
	})
	xs, ys := p.scales(c, top)
	if p.LimitName != "" {
		c.line("limit", xs.from, ys.at(p.Limit), xs.to, ys.at(p.Limit))
	}
	for i, series := range p.Series {
		p.draw(c, i, series, xs, ys)
	}
	return template.HTML(c.finish()) //nolint:gosec // every caller string went through escape
}

func (p LinePlot) names() []string {
	var names []string
	for _, series := range p.Series {
		names = append(names, series.Name)
	}
	if p.LimitName != "" {
		names = append(names, p.LimitName)
	}
	return names
}

func (p LinePlot) class(i int) string {
	if i >= len(p.Series) {
		return "limit"
	}
	return fmt.Sprintf("line s%d", i%4)
}

// scales draws both axes and returns their scales.
func (p LinePlot) scales(c *canvas, top float64) (xs, ys scale) {
	var rows [][]float64
	for _, series := range p.Series {
		rows = append(rows, series.Y)
	}
	if p.LimitName != "" {
		rows = append(rows, []float64{p.Limit})
	}
	low, high := finite(rows...)
	if p.FromZero {
		low = min(low, 0)
	}
	yTicks := ticks(low, high, 5)
	ys = scale{yTicks[0], yTicks[len(yTicks)-1], plotHeight - marginBottom, top}
	c.yAxis(ys, yTicks, p.YLabel, p.Percent)
	p.xAxis(c, &xs)
	c.xLabel(p.XLabel)
	return xs, ys
}

func (p LinePlot) xAxis(c *canvas, xs *scale) {
	low, high := finite(p.X)
	*xs = scale{p.along(low), p.along(high), marginLeft + 8, plotWidth - marginRight - 4}
	if p.LogX {
		for _, x := range p.X {
			c.text("tick", "middle", xs.at(p.along(x)), plotHeight-marginBottom+15, tickText(x, false))
		}
		return
	}
	for _, tick := range ticks(low, high, 8) {
		if tick >= low && tick <= high && (high-low < 1 || tick == math.Trunc(tick)) {
			c.text("tick", "middle", xs.at(tick), plotHeight-marginBottom+15, tickText(tick, false))
		}
	}
}

// along is where x lies on the axis.
func (p LinePlot) along(x float64) float64 {
	if p.LogX {
		return math.Log(x)
	}
	return x
}

func (c *canvas) yAxis(ys scale, at []float64, label string, percent bool) {
	for _, tick := range at {
		c.line("rule", marginLeft, ys.at(tick), plotWidth-marginRight, ys.at(tick))
		c.text("tick", "end", marginLeft-6, ys.at(tick)+4, tickText(tick, percent))
	}
	c.line("axis", marginLeft, ys.from, plotWidth-marginRight, ys.from)
	c.upright(11, (ys.from+ys.to)/2, label)
}

func (c *canvas) xLabel(label string) {
	c.text("label", "middle", (marginLeft+plotWidth-marginRight)/2, plotHeight-8, label)
}

// draw writes one series: a path for the line and a marker for each point, which is
// also what shows a lone point between two gaps.
func (p LinePlot) draw(c *canvas, i int, series Series, xs, ys scale) {
	var path strings.Builder
	pen := "M"
	for j, y := range series.Y {
		if j >= len(p.X) || !isFinite(y) || !isFinite(p.X[j]) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%s %s", pen, num(xs.at(p.along(p.X[j]))), num(ys.at(y)))
		pen = "L"
	}
	if path.Len() == 0 {
		return
	}
	fmt.Fprintf(c, `<path class="%s" d="%s"/>`, p.class(i), path.String())
	for j, y := range series.Y {
		if j < len(p.X) && isFinite(y) && isFinite(p.X[j]) {
			c.marker(i, xs.at(p.along(p.X[j])), ys.at(y))
		}
	}
}

// marker draws a disc, square, triangle or ring.
func (c *canvas) marker(i int, x, y float64) {
	switch i % 4 {
	case 0:
		fmt.Fprintf(c, `<circle class="dot s0" cx="%s" cy="%s" r="3"/>`, num(x), num(y))
	case 1:
		c.rect("dot s1", x-2.6, y-2.6, 5.2, 5.2)
	case 2:
		fmt.Fprintf(c, `<path class="dot s2" d="M%s %sl3.4 6h-6.8z"/>`, num(x), num(y-3.6))
	case 3:
		fmt.Fprintf(c, `<circle class="ring s3" cx="%s" cy="%s" r="3"/>`, num(x), num(y))
	}
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
