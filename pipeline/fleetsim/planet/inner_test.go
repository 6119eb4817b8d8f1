package planet

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The calendar gives events back by time, and those of one time as they came.
func TestQueueOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var now tick
		var pushed, popped []event
		at := rapid.Int64Range(0, 5e6)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") {
				e := event{at: now + tick(at.Draw(t, "after")), who: int32(len(pushed))}
				q.push(e)
				pushed = append(pushed, e)
				continue
			}
			if e, ok := q.pop(); ok {
				now = e.at
				popped = append(popped, e)
			}
		}
		q.push(event{at: never})
		for e, ok := q.pop(); ok; e, ok = q.pop() {
			popped = append(popped, e)
		}
		if len(popped) != len(pushed) {
			t.Fatalf("%d of %d events came back", len(popped), len(pushed))
		}
		if !slices.IsSortedFunc(popped, func(a, b event) int {
			if a.before(b) {
				return -1
			}
			return 1
		}) {
			t.Fatalf("%v", popped)
		}
	})
}

// Whatever joins and leaves, a beam passes no more than its capacity and no upload faster than alone, and a beam that is not full slows nobody.
func TestBeamConserves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := beam{capacity: rapid.Float64Range(0.5, 20).Draw(t, "capacity")}
		type upload struct{ rate, finish float64 }
		var in []upload
		now, passed, alone := tick(0), 0.0, 0.0
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			step := tick(rapid.IntRange(1, 1000).Draw(t, "wait"))
			rates := 0.0
			for _, u := range in {
				rates += u.rate
			}
			before := b.clock
			now += step
			ran := b.read(now) - before
			passed, alone = passed+ran*rates, alone+float64(step)*rates
			if ran > float64(step)*(1+1e-9) || ran*rates > b.capacity*float64(step)*(1+1e-9) || rates <= b.capacity && ran < float64(step)*(1-1e-9) {
				t.Fatalf("the clock ran %g in %d ticks at rates %g of %g", ran, step, rates, b.capacity)
			}
			if len(in) > 0 && rapid.Bool().Draw(t, "leave") {
				b.leave(now, in[0].rate)
				in = in[1:]
			} else {
				u := upload{rate: rapid.Float64Range(0.1, 5).Draw(t, "rate")}
				u.finish = b.join(now, int32(i), 0, u.rate, rapid.Float64Range(1, 5000).Draw(t, "work"))
				in = append(in, u)
			}
		}
		if passed > alone*(1+1e-9) {
			t.Fatalf("passed %g, alone %g", passed, alone)
		}
	})
}
