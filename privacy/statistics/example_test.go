package statistics_test

import (
	"fmt"

	"github.com/veilsum/veilsum/privacy/statistics"
)

// Three vehicles answer two questions with one vector each; the mean of the vectors, here without noise, is read again.
func Example() {
	set, err := statistics.New([]statistics.Query{
		{Name: "towing", Kind: statistics.Count, Field: "towing", Weight: 1, Records: statistics.First},
		{Name: "road", Kind: statistics.Histogram, Axes: []statistics.Axis{{Field: "road", Keys: []string{"city", "country"}}}, Weight: 1, Records: statistics.First},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mean := make([]float64, set.Values())
	for _, r := range []statistics.Record{{"towing": true, "road": "city"}, {"towing": false, "road": "moon"}, {"towing": true}} {
		x, err := set.Encode([]statistics.Record{r})
		if err != nil {
			fmt.Println(err)
			return
		}
		for i, v := range x {
			mean[i] += float64(v) / 3
		}
	}
	answers, err := set.Decode(statistics.Release{Mean: mean, Reports: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range answers {
		fmt.Printf("%s %s %.1f\n", e.Query, e.Cells[0].Key, e.Value)
	}
	// Output:
	// towing  2.0
	// road city 1.0
	// road country 0.0
	// road other 1.0
}
