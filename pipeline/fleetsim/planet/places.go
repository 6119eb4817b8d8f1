package planet

import (
	"cmp"
	"slices"
)

// Cell is a square of five degrees that holds land.
type Cell struct {
	Latitude, Longitude float64 // of its middle, degrees north and east
	Region              int     // index into RegionNames
}

// Zone is the cell's time zone: whole hours east of UTC, by the sun.
func (c Cell) Zone() int {
	z := int((c.Longitude + 187.5) / 15)
	return z - 12
}

// row lists the land of five degrees of latitude as pairs of degrees east, each from one to
// before the other. The outlines are coarse by design: a map of dots.
type row struct {
	south int
	land  []int
}

var rows = []row{
	{75, []int{-120, -80, -70, -20, 15, 25, 95, 110}},
	{70, []int{-160, -145, -125, -75, -55, -25, 20, 30, 70, 180}},
	{65, []int{-165, -65, -55, -35, -25, -15, 15, 180}},
	{60, []int{-165, -95, -80, -65, -50, -40, 5, 170}},
	{55, []int{-160, -155, -135, -90, -80, -60, -5, 0, 10, 140, 155, 165}},
	{50, []int{-130, -55, -10, 140, 155, 160}},
	{45, []int{-125, -65, -60, -55, -5, 135, 140, 145}},
	{40, []int{-125, -70, -10, 50, 55, 130, 140, 145}},
	{35, []int{-125, -75, -10, 0, 10, 15, 20, 120, 125, 130, 135, 140}},
	{30, []int{-120, -80, -10, 120, 130, 135}},
	{25, []int{-115, -95, -85, -80, -15, 50, 55, 120}},
	{20, []int{-160, -155, -110, -95, -90, -75, -15, 40, 40, 60, 70, 115, 120, 125}},
	{15, []int{-105, -90, -75, -65, -15, 40, 40, 55, 75, 85, 95, 110, 120, 125}},
	{10, []int{-90, -80, -75, -60, -15, 50, 75, 80, 100, 110, 120, 125}},
	{5, []int{-85, -50, -10, 50, 80, 85, 95, 105, 115, 130}},
	{0, []int{-80, -50, 10, 45, 95, 105, 110, 125}},
	{-5, []int{-80, -40, 10, 40, 100, 105, 110, 120, 130, 150}},
	{-10, []int{-80, -35, 15, 40, 105, 115, 140, 150}},
	{-15, []int{-75, -40, 15, 40, 45, 50, 130, 145}},
	{-20, []int{-70, -40, 15, 40, 45, 50, 120, 150}},
	{-25, []int{-70, -40, 15, 35, 45, 50, 115, 150}},
	{-30, []int{-75, -50, 15, 35, 115, 155}},
	{-35, []int{-75, -50, 20, 30, 115, 125, 135, 155}},
	{-40, []int{-75, -60, 140, 150, 175, 180}},
	{-45, []int{-75, -65, 145, 150, 170, 175}},
	{-50, []int{-75, -65, 165, 170}},
	{-55, []int{-75, -65}},
}

// RegionNames are the regions, in the order of their numbers.
var RegionNames = []string{
	"North America", "Latin America", "Europe", "Africa", "Middle East", "Russia and Central Asia", "South Asia", "East Asia", "Southeast Asia", "Oceania",
}

// box is part of a region: degrees from west to east and from south to north.
type box struct{ region, west, east, south, north int }

// boxes are tried in this order.
var boxes = []box{
	{0, -170, -50, 25, 85},
	{1, -120, -30, -60, 25},
	{0, -170, -120, 0, 25},
	{2, -60, -10, 55, 85}, // Greenland and Iceland
	{2, -10, 30, 35, 75},
	{2, 30, 40, 45, 60},
	{4, 30, 60, 10, 40},
	{3, -20, 60, -40, 40},
	{6, 60, 95, 5, 35},
	{7, 75, 150, 20, 50},
	{8, 95, 130, -15, 20},
	{9, 110, 180, -60, 0},
	{5, 10, 180, 35, 85},
}

func regionAt(latitude, longitude float64) (int, bool) {
	for _, b := range boxes {
		if longitude > float64(b.west) && longitude < float64(b.east) && latitude > float64(b.south) && latitude < float64(b.north) {
			return b.region, true
		}
	}
	return 0, false
}

// Cells returns all land, from north to south and from west to east.
func Cells() []Cell {
	var all []Cell
	for _, r := range rows {
		for i := 0; i < len(r.land); i += 2 {
			for west := r.land[i]; west < r.land[i+1]; west += 5 {
				c := Cell{Latitude: float64(r.south) + 2.5, Longitude: float64(west) + 2.5}
				if region, ok := regionAt(c.Latitude, c.Longitude); ok {
					c.Region = region
					all = append(all, c)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(b.Latitude, a.Latitude), cmp.Compare(a.Longitude, b.Longitude))
	})
	return all
}

// weight is how many vehicles a cell has beside others of its region: few in the far north.
func (c Cell) weight() float64 {
	switch {
	case c.Latitude > 60:
		return 0.05
	case c.Latitude > 50 && c.Region != 2:
		return 0.3
	}
	return 1
}
