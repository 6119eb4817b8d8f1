package fleetsim_test

import (
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
)

func TestInertialScalesAndHoldsOut(t *testing.T) {
	rows := fleetsim.InertialRows{
		Features:   make([]float64, 3*30),
		Labels:     []int64{0, 6, 3},
		Recordings: []int64{4, 5, 6}, Subjects: []int64{1, 1, 9}, Sides: []string{"0.0", "1.0", "0.0"},
	}
	rows.Features[0] = 0.25 // mean ax: 0.25 g on a scale of 0.5 g
	rows.Features[9] = 2    // deviation of gx: 2 rad/s, center 1, scale 1
	rows.Features[29] = 1e9 // a broken sensor is limited
	data, err := fleetsim.Inertial(rows)
	if err != nil {
		t.Fatal(err)
	}
	if f := data.Features; f[0] != 0.5 || f[9] != 1 || f[29] != 3 {
		t.Errorf("scaled to %g, %g, %g, want 0.5, 1, 3", f[0], f[9], f[29])
	}
	if data.Test[0] || data.Test[1] || !data.Test[2] {
		t.Errorf("held out %v, want only subject 9", data.Test)
	}
	if data.Owner[0] == data.Owner[1] {
		t.Error("two wrists of one person are one owner")
	}
	rows.Sides = rows.Sides[1:]
	if _, err := fleetsim.Inertial(rows); !errors.Is(err, fleetsim.ErrData) {
		t.Errorf("short column: %v", err)
	}
	rows.Sides = []string{"", "", ""}
	rows.Features[7] = math.NaN()
	if _, err := fleetsim.Inertial(rows); !errors.Is(err, fleetsim.ErrData) {
		t.Errorf("a feature that is not a number: %v", err)
	}
	rows.Features[7] = 0
	rows.Labels[0] = 7
	if _, err := fleetsim.Inertial(rows); !errors.Is(err, fleetsim.ErrData) {
		t.Errorf("eighth exercise: %v", err)
	}
}

func TestDigitsAverageAndHoldOut(t *testing.T) {
	rows := fleetsim.DigitRows{Pixels: make([]int64, 5*784), Labels: []int64{1, 2, 3, 4, 5}}
	for _, at := range []int{0, 1, 28, 29} {
		rows.Pixels[at] = 255
	}
	rows.Pixels[784+783] = 255
	data, err := fleetsim.Digits(rows)
	if err != nil {
		t.Fatal(err)
	}
	if data.Width != 196 || data.Features[0] != 1 || data.Features[1] != 0 || data.Features[196+195] != 0.25 {
		t.Errorf("width %d, corners %g, %g, %g", data.Width, data.Features[0], data.Features[1], data.Features[196+195])
	}
	if data.Test[3] || !data.Test[4] {
		t.Errorf("held out %v, want the last fifth", data.Test)
	}
	rows.Pixels[3] = 256
	if _, err := fleetsim.Digits(rows); !errors.Is(err, fleetsim.ErrData) {
		t.Errorf("pixel 256: %v", err)
	}
	rows.Pixels = append(rows.Pixels[4:], 0, 0, 0)
	if _, err := fleetsim.Digits(rows); !errors.Is(err, fleetsim.ErrData) {
		t.Errorf("short image: %v", err)
	}
}
