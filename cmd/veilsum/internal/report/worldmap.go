package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// The map is drawn as it lies: degrees east and north, cut off where no cell is.
const (
	mapNorth, mapSouth = 82.0, -57.0
	mapScale           = 2.6 // units a degree
	mapWidth           = 360 * mapScale
	mapHeight          = (mapNorth - mapSouth) * mapScale
)

// drawMap draws every cell of land, and on it a disc for its vehicles, in the color of the share that counted.
func drawMap(d Fleet) template.HTML {
	c := newCanvas(mapWidth, mapHeight+26, "Where the vehicles are, and what share of their invitations counted")
	most, best := 0, 0.0
	for _, x := range d.Cells {
		most = max(most, x.Vehicles)
		if isFinite(x.Share) {
			best = max(best, x.Share)
		}
	}
	for _, x := range d.Cells {
		left, top := mapPlace(x)
		c.rect("land", left-2.5*mapScale+0.5, top-2.5*mapScale+0.5, 5*mapScale-1, 5*mapScale-1)
	}
	for _, x := range d.Cells {
		if x.Vehicles == 0 {
			continue
		}
		left, top := mapPlace(x)
		radius := 1 + 5.2*math.Sqrt(float64(x.Vehicles)/float64(most))
		fmt.Fprintf(c, `<circle class="heat h%d" cx="%s" cy="%s" r="%s"><title>%s: %d vehicles, %s counted</title></circle>`,
			heat(x.Share, best), num(left), num(top), num(radius), escape(d.Regions[x.Region]), x.Vehicles, percent(x.Share))
	}
	c.mapLegend(best)
	return template.HTML(c.finish()) //nolint:gosec // every caller string went through escape
}

func mapPlace(x MapCell) (left, top float64) {
	return (x.Longitude + 180) * mapScale, (mapNorth - x.Latitude) * mapScale
}

func (c *canvas) mapLegend(best float64) {
	c.text("label", "start", 8, mapHeight+18, "share of invitations that counted:")
	for i := range 5 {
		x := 230 + 105*float64(i)
		fmt.Fprintf(c, `<circle class="heat h%d" cx="%s" cy="%s" r="6"/>`, i, num(x), num(mapHeight+14))
		c.text("label", "start", x+12, mapHeight+18, fmt.Sprintf("%.0f to %.0f %%", 100*best*float64(i)/5, 100*best*float64(i+1)/5))
	}
}

// The small maps of a day.
const (
	dayColumns = 6
	dayWidth   = 180.0
	dayHeight  = 92.0
)

// drawDay draws 24 small maps, one an hour, of the reports that counted for each vehicle of a region.
func drawDay(d Fleet) template.HTML {
	c := newCanvas(dayColumns*dayWidth, 4*dayHeight, "Reports that counted, hour by hour")
	scale := (dayWidth - 8) / mapWidth
	c.WriteString("<defs>")
	for region := range d.Regions {
		var path strings.Builder
		for _, x := range d.Cells {
			if x.Region == region {
				left, top := mapPlace(x)
				side := num(5 * mapScale)
				fmt.Fprintf(&path, "M%s %sh%sv%sh-%sz", num(left-2.5*mapScale), num(top-2.5*mapScale), side, side, side)
			}
		}
		fmt.Fprintf(c, `<path id="region%d" d="%s"/>`, region, path.String())
	}
	c.WriteString("</defs>")
	most := 0.0
	for _, row := range d.Counted {
		_, high := finite(row[:min(len(row), 24)])
		most = max(most, high)
	}
	for hour := range 24 {
		x, y := float64(hour%dayColumns)*dayWidth, float64(hour/dayColumns)*dayHeight
		fmt.Fprintf(c, `<g transform="translate(%s %s) scale(%s)">`, num(x+4), num(y+14), fmt.Sprintf("%.5f", scale))
		for region, row := range d.Counted {
			fmt.Fprintf(c, `<use href="#region%d" class="heat h%d"/>`, region, heat(at(row, hour), most))
		}
		c.WriteString("</g>")
		c.text("tick", "start", x+6, y+12, fmt.Sprintf("%02d:00 UTC", hour))
	}
	return template.HTML(c.finish()) //nolint:gosec // numbers only
}
