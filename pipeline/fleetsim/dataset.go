package fleetsim

import (
	"errors"
	"fmt"
)

// Sentinel errors of this package.
var (
	// ErrData reports rows that do not fit together.
	ErrData = errors.New("fleetsim: bad data")
	// ErrConfig reports a configuration outside its ranges.
	ErrConfig = errors.New("fleetsim: bad config")
	// ErrVehicle reports a vehicle number outside the fleet.
	ErrVehicle = errors.New("fleetsim: no such vehicle")
	// ErrDimension reports a vector that does not have the model's length.
	ErrDimension = errors.New("fleetsim: wrong dimension")
)

// Dataset is prepared rows: features on a public scale, labels, and the groups from
// which vehicles are cut. It is read-only once built and safe to share.
type Dataset struct {
	// Features holds Width values a row, row after row.
	Features []float32
	// Width is the number of features of one row, at least 1.
	Width int
	// Labels holds one class a row, 0 to Classes-1.
	Labels []int
	// Classes is the number of classes, at least 2.
	Classes int
	// Owner names who made each row (a subject's wrist); rows of one vehicle share it
	// under [ByOwner]. Nil where the data set has no owners.
	Owner []int
	// Recording names the uninterrupted recording of each row. Nil where there is none.
	Recording []int
	// Test marks the rows held out of training; no vehicle ever holds one.
	Test []bool
}

// Rows returns the number of rows.
func (d *Dataset) Rows() int { return len(d.Labels) }

func (d *Dataset) row(i int) []float32 { return d.Features[i*d.Width : (i+1)*d.Width] }

func (d *Dataset) validate() error {
	n := len(d.Labels)
	if d.Width < 1 || d.Classes < 2 || n == 0 || len(d.Features) != n*d.Width || len(d.Test) != n {
		return fmt.Errorf("%w: %d labels, %d features of width %d, %d test marks, %d classes",
			ErrData, n, len(d.Features), d.Width, len(d.Test), d.Classes)
	}
	for _, group := range [][]int{d.Owner, d.Recording} {
		if group != nil && len(group) != n {
			return fmt.Errorf("%w: %d group numbers for %d rows", ErrData, len(group), n)
		}
	}
	for i, label := range d.Labels {
		if label < 0 || label >= d.Classes {
			return fmt.Errorf("%w: row %d has class %d of %d", ErrData, i, label, d.Classes)
		}
	}
	return nil
}

// split returns the training and the test rows, in order.
func (d *Dataset) split() (train, test []int) {
	for i, held := range d.Test {
		if held {
			test = append(test, i)
		} else {
			train = append(train, i)
		}
	}
	return train, test
}
