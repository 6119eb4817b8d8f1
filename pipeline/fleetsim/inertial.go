package fleetsim

import (
	"fmt"
	"math"
	"slices"
)

const (
	inertialWidth   = 30
	inertialClasses = 7
	// firstTestSubject: subjects 9 and 10 are never in training.
	firstTestSubject = 9
	// featureLimit bounds each scaled feature, so one broken sensor cannot make a row
	// of unlimited weight.
	featureLimit = 3
)

// InertialRows is inertial.arrow as plain columns: one row for each window of two
// seconds of a wrist accelerometer (g) and gyroscope (rad/s).
type InertialRows struct {
	// Features holds 30 values a row: mean, standard deviation, minimum, maximum and
	// mean absolute difference, each for ax, ay, az, gx, gy, gz.
	Features []float64
	// Labels holds the exercise, 0 to 6.
	Labels []int64
	// Recordings, Subjects and Sides say which recording, which person (1 to 10) and
	// which wrist each row comes from.
	Recordings, Subjects []int64
	Sides                []string
}

// scaleOf is the public (center, scale) of one statistic of a sensor. Round numbers
// in the sensors' units; see the package comment on why they are not fitted.
type scaleOf struct{ center, scale float64 }

// inertialScale holds for each statistic the scale of the accelerometer in g and of
// the gyroscope in rad/s, all three axes alike.
var inertialScale = [5][2]scaleOf{
	{{0, 0.5}, {0, 0.25}},     // mean
	{{0.3, 0.25}, {1, 1}},     // standard deviation
	{{-0.5, 0.75}, {-2, 1.5}}, // minimum
	{{0.5, 0.75}, {2, 1.5}},   // maximum
	{{0.06, 0.04}, {0.2, 0.1}},
}

// Inertial prepares the wrist data set: features on the public scale, subjects 9 and
// 10 held out, one owner for each wrist. It returns [ErrData] when columns
// disagree or a value is out of range.
func Inertial(rows InertialRows) (*Dataset, error) {
	n := len(rows.Labels)
	if len(rows.Features) != n*inertialWidth || len(rows.Recordings) != n ||
		len(rows.Subjects) != n || len(rows.Sides) != n {
		return nil, fmt.Errorf("%w: inertial columns of different lengths", ErrData)
	}
	data := &Dataset{
		Features: scaleInertial(rows.Features), Width: inertialWidth,
		Labels: make([]int, n), Classes: inertialClasses,
		Owner: make([]int, n), Recording: make([]int, n), Test: make([]bool, n),
	}
	if slices.ContainsFunc(rows.Features, math.IsNaN) {
		return nil, fmt.Errorf("%w: a feature is not a number", ErrData)
	}
	owners := map[string]int{}
	for i := range n {
		key := fmt.Sprintf("%d/%s", rows.Subjects[i], rows.Sides[i])
		if _, seen := owners[key]; !seen {
			owners[key] = len(owners)
		}
		data.Owner[i] = owners[key]
		data.Labels[i] = int(rows.Labels[i])
		data.Recording[i] = int(rows.Recordings[i])
		data.Test[i] = rows.Subjects[i] >= firstTestSubject
	}
	return data, data.validate()
}

func scaleInertial(raw []float64) []float32 {
	out := make([]float32, len(raw))
	for i, x := range raw {
		column := i % inertialWidth
		s := inertialScale[column/6][column%6/3]
		out[i] = float32(max(-featureLimit, min(featureLimit, (x-s.center)/s.scale)))
	}
	return out
}
