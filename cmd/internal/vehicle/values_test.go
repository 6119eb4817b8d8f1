package vehicle_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/internal/vehicle"
	"github.com/veilsum/veilsum/privacy/statistics"
)

func TestReadRecords(t *testing.T) {
	for text, want := range map[string]int{
		``: 0, `[]`: 0, `{"a":1}`: 1, "{\"a\":1}\n\n{\"b\":null}": 2, ` [{"a":1},{"b":"x"}] `: 2, `[1]`: -1, `[null]`: -1, `null`: -1, `{"a":1}x`: -1, `"a"`: -1, `[{}] {}`: -1,
	} {
		got, err := vehicle.ReadRecords(strings.NewReader(text))
		if want < 0 {
			if !errors.Is(err, statistics.ErrValue) {
				t.Errorf("%q: %v, %v", text, got, err)
			}
		} else if err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// FuzzReadRecords: any input is read or refused, what is read holds no null, and what is refused is not quoted.
func FuzzReadRecords(f *testing.F) {
	f.Add([]byte(`[{"a":1,"b":null,"probabilities":[0.5]}]`))
	f.Add([]byte("{\"a\":\"secret\"}\n{"))
	set, err := statistics.New([]statistics.Query{{Name: "h", Kind: statistics.Histogram, Weight: 1, Records: statistics.Average, Axes: []statistics.Axis{{Field: "a", Keys: []string{"x"}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := vehicle.ReadRecords(strings.NewReader(string(data)))
		if err != nil {
			if !errors.Is(err, statistics.ErrValue) || len(err.Error()) > 120 {
				t.Error(err)
			}
			return
		}
		for _, r := range records {
			for k, v := range r {
				if v == nil {
					t.Errorf("%q is null", k)
				}
			}
		}
		if read, err := statistics.Predict(records); err == nil {
			if x, err := set.Encode(read); err == nil && len(x) != 2 {
				t.Error(len(x))
			}
		}
	})
}
