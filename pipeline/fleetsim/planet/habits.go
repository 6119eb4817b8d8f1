package planet

import "math"

// traffic is the shape of departures over a local day, by hour, from 0 (quietest) to 1: a morning and an
// evening peak. Made by us.
var traffic = [24]float64{0.03, 0, 0, 0, 0.02, 0.12, 0.45, 0.9, 0.8, 0.5, 0.45, 0.5, 0.6, 0.55, 0.6, 0.75, 0.95, 1, 0.8, 0.55, 0.4, 0.3, 0.2, 0.1}

// clock is the law of driving: departures a tick by local hour, and the mean trip. Both laws are
// memoryless, so the share of vehicles on the road has a closed form.
type clock struct {
	depart [24]float64 // a tick, of a parked vehicle
	trip   float64     // mean, ticks
	share  [24]float64 // that drives at the begin of each local hour
}

// newClock finds the departures that give the driving hours.
func newClock(h Habits) clock {
	low, high := 0.0, 1000/float64(hour)
	var c clock
	for range 80 {
		mid := (low + high) / 2
		c = clockAt(h, mid)
		if c.mean()*24 < h.DrivingHours {
			low = mid
		} else {
			high = mid
		}
	}
	return c
}

func clockAt(h Habits, trough float64) clock {
	c := clock{trip: h.TripMinutes * float64(minute)}
	for i, x := range traffic {
		c.depart[i] = trough * (1 + (h.PeakOverTrough-1)*x)
	}
	p := 0.0
	for range 4 { // days, of which each forgets the state before it
		for i := range 24 {
			c.share[i] = p
			p = c.after(i, p, float64(hour))
		}
	}
	return c
}

// after solves p' = depart (1-p) - p/trip within a local hour.
func (c *clock) after(hourOfDay int, p, t float64) float64 {
	sum := c.depart[hourOfDay] + 1/c.trip
	limit := c.depart[hourOfDay] / sum
	return limit + (p-limit)*math.Exp(-sum*t)
}

// mean is the share of a day spent driving.
func (c *clock) mean() float64 {
	total := 0.0
	for i := range 24 {
		total += c.during(i)
	}
	return total / 24
}

// during is the mean share that drives during a local hour.
func (c *clock) during(i int) float64 {
	sum := c.depart[i] + 1/c.trip
	limit := c.depart[i] / sum
	x := sum * float64(hour)
	return limit + (c.share[i]-limit)*-math.Expm1(-x)/x
}

// localHour is the hour of the day, and what is left of it.
func localHour(t tick, zone int8) (hourOfDay int, left tick) {
	local := t + tick(zone)*hour + 24*hour // zones are above -24
	return int(local/hour) % 24, hour - local%hour
}

// departure draws when a vehicle parked at t departs.
func (c *clock) departure(r *stream, t tick, zone int8) tick {
	e := r.exponential(1)
	h, left := localHour(t, zone)
	for {
		if here := c.depart[h] * float64(left); e > here {
			e -= here
			t += left
			h, left = (h+1)%24, hour
			continue
		}
		return t + tick(e/c.depart[h]) + 1
	}
}

// departs is the chance that a vehicle parked at t departs by t+span.
func (c *clock) departs(t tick, zone int8, span tick) float64 {
	sum := 0.0
	h, left := localHour(t, zone)
	for span > 0 {
		d := min(span, left)
		sum += c.depart[h] * float64(d)
		span -= d
		h, left = (h+1)%24, hour
	}
	return -math.Expm1(-sum)
}

// drives is the share of vehicles on the road at t.
func (c *clock) drives(t tick, zone int8) float64 {
	h, left := localHour(t, zone)
	return c.after(h, c.share[h], float64(hour-left))
}
