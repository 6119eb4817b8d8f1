package arrowipc_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/schema/arrowipc"
)

func TestTensorType(t *testing.T) {
	for data, want := range map[string]struct {
		shape  []int
		stored string
	}{
		`{"shape":[2,3]}`:             {[]int{2, 3}, `{"shape":[2,3]}`},
		`{"shape":[6]}`:               {[]int{6}, `{"shape":[6]}`},
		`{"shape":[1,2,1,3,1,1,1,1]}`: {[]int{1, 2, 1, 3, 1, 1, 1, 1}, `{"shape":[1,2,1,3,1,1,1,1]}`},
		`{"shape":[2,3],"dim_names":["row","col"],"permutation":[0,1]}`: {[]int{2, 3}, `{"shape":[2,3]}`},
	} {
		shape, stored, err := arrowipc.Deserialize(6, data)
		if err != nil || !slices.Equal(shape, want.shape) || stored != want.stored {
			t.Errorf("%s: shape %v, stored %s, error %v", data, shape, stored, err)
		}
	}
	if shape, stored, err := arrowipc.Deserialize(1, `{"shape":[]}`); err != nil || len(shape) != 0 || stored != `{"shape":[]}` {
		t.Errorf("scalar: shape %v, stored %s, error %v", shape, stored, err)
	}
}

func TestTensorTypeRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"empty":             ``,
		"text":              `shape`,
		"no shape":          `{}`, // a scalar, but there are six values
		"wrong size":        `{"shape":[2,2]}`,
		"negative":          `{"shape":[-2,-3]}`,
		"zero":              `{"shape":[0]}`,
		"overflow":          `{"shape":[4294967296,4294967296,6]}`,
		"fraction":          `{"shape":[2.5]}`,
		"nine dimensions":   `{"shape":[6,1,1,1,1,1,1,1,1]}`,
		"transposed":        `{"shape":[2,3],"permutation":[1,0]}`,
		"short permutation": `{"shape":[2,3],"permutation":[0]}`,
		"no permutation":    `{"shape":[2,3],"permutation":[]}`,
	} {
		if _, _, err := arrowipc.Deserialize(6, data); !errors.Is(err, arrowipc.ErrFile) {
			t.Errorf("%s: error %v, want %v", name, err, arrowipc.ErrFile)
		}
	}
}
