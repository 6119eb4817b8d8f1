// Package arrowipc turns model updates and aggregates into Arrow IPC files and
// back. It is the only package of the module that names Arrow, and no type of
// Arrow appears in its exported signatures.
//
// A file holds one column per tensor of extension type
// arrow.fixed_shape_tensor, one row, one record batch, no nulls, and is not
// compressed (noise does not compress), so pyarrow, Polars and DuckDB read it
// and numpy maps it without a copy. The same tensors, values and metadata always
// give the same bytes.
//
// A client starts with [ReadUpdate], a collector with [EncodeAggregate], and
// whoever receives an aggregate with [DecodeAggregate] or [OpenAggregate].
//
// # Which bytes may come from where
//
// Arrow's IPC reader panics on hostile bytes and can be made to exhaust the
// memory of the process, which no recover stops. Hence two groups:
//
//   - [ReadUpdate], [ReadSchema] and [ReadTable] use that reader. They are for
//     files of the caller's own: a local update, an embedded data set. A panic
//     becomes an error; memory exhaustion is not prevented.
//   - [DecodeAggregate] and [OpenAggregate] never call it. They demand the SHA-256
//     of the whole file, write the file that the tensors and the metadata must
//     give, and refuse unless every byte outside the values is the same.
//
// What the values mean, and whether they are finite, is not judged here.
package arrowipc

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/veilsum/veilsum/schema"
)

// The types of stored values, as [schema.Tensor] spells them.
const (
	float32Name = "float32"
	float64Name = "float64"
)

const (
	// maxName is the longest tensor name in bytes.
	maxName = 128
	// maxDims is the largest number of dimensions of a tensor.
	maxDims = 8
	// maxTensors bounds the columns of one file.
	maxTensors = 1 << 16
)

var (
	// ErrFile is wrapped by the errors about a file that cannot be read as Arrow
	// IPC, or holds something this package does not read.
	ErrFile = errors.New("arrowipc: unusable Arrow file")
	// ErrMismatch is wrapped by the errors about an update whose tensors are not
	// those of the task, or about values that do not fit the tensors.
	ErrMismatch = errors.New("arrowipc: tensors do not match")
	// ErrNotAuthentic is wrapped by the errors about an aggregate that is not, byte
	// for byte, the file that was promised.
	ErrNotAuthentic = errors.New("arrowipc: not the promised file")
	// ErrMetadata is wrapped by the errors about schema metadata that cannot be
	// stored.
	ErrMetadata = errors.New("arrowipc: invalid metadata")
)

// layoutOf checks the tensors and returns the number of values of each and of
// all together.
func layoutOf(tensors []schema.Tensor) (sizes []int, total int, err error) {
	if len(tensors) < 1 || len(tensors) > maxTensors {
		return nil, 0, fmt.Errorf("%w: %d tensors, want 1 to %d", schema.ErrTensor, len(tensors), maxTensors)
	}
	seen := make(map[string]bool, len(tensors))
	for _, t := range tensors {
		n, err := checkTensor(t)
		switch {
		case err != nil:
			return nil, 0, err
		case seen[t.Name]:
			return nil, 0, fmt.Errorf("%w: two tensors are named %q", schema.ErrTensor, t.Name)
		case n > schema.MaxValues-total:
			return nil, 0, fmt.Errorf("%w: more than %d values in all", schema.ErrTensor, schema.MaxValues)
		}
		seen[t.Name] = true
		sizes, total = append(sizes, n), total+n
	}
	return sizes, total, nil
}

func checkTensor(t schema.Tensor) (int, error) {
	switch {
	case len(t.Name) < 1 || len(t.Name) > maxName || !utf8.ValidString(t.Name):
		return 0, fmt.Errorf("%w: name %q: want 1 to %d bytes of UTF-8", schema.ErrTensor, t.Name, maxName)
	case t.DType != float32Name && t.DType != float64Name:
		return 0, fmt.Errorf("%w: %q: dtype %q: want float32 or float64", schema.ErrTensor, t.Name, t.DType)
	case len(t.Shape) > maxDims:
		return 0, fmt.Errorf("%w: %q: %d dimensions, want at most %d", schema.ErrTensor, t.Name, len(t.Shape), maxDims)
	}
	return t.Size()
}

// width returns the number of bytes of one stored value.
func width(t schema.Tensor) int {
	if t.DType == float64Name {
		return 8
	}
	return 4
}

// bodyBytes returns the number of bytes of all stored values, refusing what
// an int cannot count with room for the frame.
func bodyBytes(tensors []schema.Tensor, sizes []int) (int, error) {
	sum := int64(0) // at most 8 * MaxValues < 2^35
	for i, t := range tensors {
		sum += int64(width(t)) * int64(sizes[i])
	}
	if sum > math.MaxInt/2 {
		return 0, fmt.Errorf("%w: %d bytes of values are too many for this machine", schema.ErrTensor, sum)
	}
	return int(sum), nil
}

// protect runs f and turns a panic of the Arrow library into an error.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: arrow gave up: %v", ErrFile, p)
		}
	}()
	return f()
}
