package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"
)

// Layer is one named part of each bar of [StackedBars].
type Layer struct {
	Name   string
	Values []float64
}

// StackedBars draws one upright bar for each label, its layers from the bottom up.
// Negative and non-finite values count as zero. Up to five layers, told apart by color
// and lightness, in the order of the legend.
type StackedBars struct {
	// Title is read aloud, not drawn.
	Title          string
	XLabel, YLabel string
	Labels         []string
	Layers         []Layer
	// Top is the least height of the axis, so that several drawings compare.
	Top float64
	// Whole is for counts: the axis shows no fractions.
	Whole bool
}

// SVG returns the drawing as one well-formed element.
func (b StackedBars) SVG() template.HTML {
	c := newCanvas(plotWidth, plotHeight, b.Title)
	names := make([]string, len(b.Layers))
	for i, layer := range b.Layers {
		names[i] = layer.Name
	}
	top := c.legend(names, func(i int, x, y float64) { c.rect(layerClass(i), x, y, 18, 10) })
	at := ticks(0, max(b.tallest(), b.Top), 5)
	ys := scale{0, at[len(at)-1], plotHeight - marginBottom, top}
	if b.Whole {
		at = slices.DeleteFunc(at, func(v float64) bool { return v != math.Round(v) })
	}
	c.yAxis(ys, at, b.YLabel, false)
	step := (plotWidth - marginRight - marginLeft) / float64(max(1, len(b.Labels)))
	every := 1 + len(b.Labels)*(longest(b.Labels)+1)*7/int(plotWidth-marginLeft)
	for j, label := range b.Labels {
		b.bar(c, j, marginLeft+step*float64(j)+step*0.12, step*0.76, ys)
		if j%every == 0 {
			c.text("tick", "middle", marginLeft+step*(float64(j)+0.5), plotHeight-marginBottom+15, label)
		}
	}
	c.line("axis", marginLeft, ys.from, plotWidth-marginRight, ys.from)
	c.xLabel(b.XLabel)
	return template.HTML(c.finish()) //nolint:gosec // every caller string went through escape
}

func (b StackedBars) bar(c *canvas, j int, x, width float64, ys scale) {
	sum := 0.0
	for i, layer := range b.Layers {
		v := layer.value(j)
		if v > 0 {
			c.rect(layerClass(i), x, ys.at(sum+v), width, ys.at(sum)-ys.at(sum+v))
		}
		sum += v
	}
}

func (b StackedBars) tallest() float64 {
	tallest := 0.0
	for j := range b.Labels {
		sum := 0.0
		for _, layer := range b.Layers {
			sum += layer.value(j)
		}
		tallest = max(tallest, sum)
	}
	return tallest
}

func (l Layer) value(j int) float64 {
	if j >= len(l.Values) || !isFinite(l.Values[j]) {
		return 0
	}
	return max(0, l.Values[j])
}

func layerClass(i int) string { return fmt.Sprintf("bar b%d", i%5) }

func longest(labels []string) int {
	n := 0
	for _, label := range labels {
		n = max(n, len([]rune(label)))
	}
	return n
}

// RowBar is one named bar of [RowBars] with the text behind its end.
type RowBar struct {
	Name  string
	Value float64
	Text  string
}

// RowBars draws lying bars from zero on one scale, each under its name. Negative and
// non-finite values count as zero.
type RowBars struct {
	// Title is read aloud, not drawn.
	Title string
	Rows  []RowBar
}

// SVG returns the drawing as one well-formed element, as tall as its rows.
func (r RowBars) SVG() template.HTML {
	const pitch, barHeight = 46.0, 18.0
	c := newCanvas(plotWidth, pitch*float64(max(1, len(r.Rows)))+6, r.Title)
	widest := 0.0
	for _, row := range r.Rows {
		widest = max(widest, Layer{Values: []float64{row.Value}}.value(0))
	}
	for i, row := range r.Rows {
		y := pitch * float64(i)
		value := Layer{Values: []float64{row.Value}}.value(0)
		width := scale{0, max(widest, 1e-300), 0, plotWidth * 0.66}.at(value)
		c.text("label", "start", 2, y+14, row.Name)
		c.rect(layerClass(min(i, 1)*4), 2, y+20, max(1, width), barHeight)
		c.text("value", "start", width+10, y+34, row.Text)
	}
	return template.HTML(c.finish()) //nolint:gosec // every caller string went through escape
}
