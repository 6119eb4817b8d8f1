package arrowipc

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/veilsum/veilsum/schema"
)

const (
	// fileSlack and columnSlack bound what a file may hold beside the values:
	// the two copies of the schema, with whatever metadata the writer added.
	fileSlack   = 4 << 20
	columnSlack = 4 << 10
)

// EncodeUpdate returns an update file: one column per tensor, stored as the
// tensor's DType, one row. values holds the values of all tensors, row-major in
// tensor order. It fails with [schema.ErrTensor], or [ErrMismatch] when
// the number of values is not that of the tensors.
func EncodeUpdate(tensors []schema.Tensor, values []float32) ([]byte, error) {
	if err := checkCount(tensors, len(values)); err != nil {
		return nil, err
	}
	meta := map[string]string{MetaFormat: UpdateFormat}
	sk, err := newSkeleton(tensors, meta, arrow.Float32Traits.CastToBytes(values))
	if err != nil {
		return nil, err
	}
	return sk.fill(func(dst []byte, width, from, to int) { putFloat32(dst, width, values[from:to]) }), nil
}

// ReadUpdate reads the update file at path, which must be the caller's own
// (see the package comment), and returns its values row-major in the order of
// want, float64 rounded to the nearest float32. The columns may come in any order, be
// compressed or not, and be fixed-shape tensors, (nested) fixed-size lists, lists or plain
// numbers of one row; or the file is a table of one row per tensor with the columns
// name, shape and values. A flat list fits any shape of its size.
//
// It fails with [ErrMismatch] when a tensor is missing, unknown, given twice, or of
// another shape or dtype; and with [ErrFile] when the file is larger than
// such tensors need, is not Arrow IPC, or holds nulls or more than one row.
func ReadUpdate(path string, want []schema.Tensor) ([]float32, error) {
	return readUpdate(memory.DefaultAllocator, path, want)
}

func readUpdate(mem memory.Allocator, path string, want []schema.Tensor) ([]float32, error) {
	sizes, total, err := layoutOf(want)
	if err != nil {
		return nil, err
	}
	body, err := bodyBytes(want, sizes)
	if err != nil {
		return nil, err
	}
	data, err := readCapped(path, int64(body)+fileSlack+columnSlack*int64(len(want)))
	if err != nil {
		return nil, err
	}
	values := make([]float32, total)
	err = withColumns(mem, data, func(columns []column) error { return place(values, columns, want, sizes) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}

// ReadSchema tells the tensors of the update file at path, which must be the
// caller's own, in the order of the file. A list whose shape the file does not
// tell is reported flat. It fails as [ReadUpdate] does.
func ReadSchema(path string) ([]schema.Tensor, error) {
	return readSchema(memory.DefaultAllocator, path)
}

func readSchema(mem memory.Allocator, path string) ([]schema.Tensor, error) {
	data, err := readCapped(path, 8*schema.MaxValues+fileSlack+columnSlack*maxTensors)
	if err != nil {
		return nil, err
	}
	var tensors []schema.Tensor
	err = withColumns(mem, data, func(columns []column) error {
		for _, c := range columns {
			tensors = append(tensors, c.Tensor)
		}
		_, _, err := layoutOf(tensors)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tensors, nil
}

// readCapped reads a file of at most limit bytes.
func readCapped(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("arrowipc: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("arrowipc: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s: not a regular file", ErrFile, path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%w: %s: %d bytes, at most %d expected", ErrFile, path, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("arrowipc: read %s: %w", path, err)
	}
	return data, nil
}

// place copies each column to its tensor's place in values.
func place(values []float32, columns []column, want []schema.Tensor, sizes []int) error {
	byName := make(map[string]column, len(columns))
	for _, c := range columns {
		if _, twice := byName[c.Name]; twice {
			return fmt.Errorf("%w: two columns are named %q", ErrMismatch, c.Name)
		}
		byName[c.Name] = c
	}
	from := 0
	for i, t := range want {
		c, ok := byName[t.Name]
		if !ok {
			return fmt.Errorf("%w: tensor %q is missing: want %s%v", ErrMismatch, t.Name, t.DType, t.Shape)
		}
		if err := c.fits(t, sizes[i]); err != nil {
			return err
		}
		c.copyTo(values[from : from+sizes[i]])
		from += sizes[i]
		delete(byName, t.Name)
	}
	for _, c := range columns { // in file order, so that the message is always the same
		if _, left := byName[c.Name]; left {
			return fmt.Errorf("%w: column %q is not a tensor of the task, which has %s", ErrMismatch, c.Name, names(want))
		}
	}
	return nil
}

// names lists the first few tensor names for a message.
func names(tensors []schema.Tensor) string {
	const few = 5
	var quoted []string
	for _, t := range tensors[:min(few, len(tensors))] {
		quoted = append(quoted, fmt.Sprintf("%q", t.Name))
	}
	if len(tensors) > few {
		quoted = append(quoted, fmt.Sprintf("and %d more", len(tensors)-few))
	}
	return strings.Join(quoted, ", ")
}
