package planet_test

import (
	"fmt"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
)

func Example() {
	s := planet.Defaults()
	s.Vehicles, s.Watched = 20_000, 20_000
	s.Schedule.Reports, s.Schedule.MinBatch = 100, 50
	s.Schedule.Buffered, s.Schedule.Lanes = true, 1
	told := 0
	r, err := planet.Run(s, planet.Options{Observe: func(a planet.Attempt) {
		if a.Outcome == planet.Counted && a.Staleness >= 0 {
			told++
		}
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	all := r.All()
	fmt.Println(told == all.Outcomes[planet.Counted], len(r.Rounds) > 10, r.Versions == r.Committed)
	// Output: true true true
}
