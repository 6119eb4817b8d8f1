package arrowipc

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/veilsum/veilsum/schema"
)

// column is one tensor found in a file. Its values lie in the record's memory
// and are valid until the record is released.
type column struct {
	schema.Tensor
	shaped   bool      // the file states the shape
	float32s []float32 // one of these, by DType
	float64s []float64
}

// fits refuses a column that is not the wanted tensor.
func (c column) fits(want schema.Tensor, size int) error {
	count := len(c.float32s) + len(c.float64s)
	flat := !c.shaped && len(c.Shape) <= 1 && count == size // a bare list fits any shape of its size
	if !flat && !slices.Equal(c.Shape, want.Shape) {
		return fmt.Errorf("%w: tensor %q has shape %v: want %v", ErrMismatch, c.Name, c.Shape, want.Shape)
	}
	if c.DType != want.DType {
		return fmt.Errorf("%w: tensor %q is %s: want %s", ErrMismatch, c.Name, c.DType, want.DType)
	}
	return nil
}

func (c column) copyTo(dst []float32) {
	copy(dst, c.float32s)
	for i, v := range c.float64s {
		dst[i] = float32(v)
	}
}

// withRecords calls f with the record batches of a trusted IPC file.
func withRecords(mem memory.Allocator, data []byte, f func(*arrow.Schema, []arrow.Record) error) error {
	if err := register(); err != nil {
		return fmt.Errorf("arrowipc: %w", err)
	}
	if !bytes.HasPrefix(data, ipc.Magic) {
		return fmt.Errorf("%w: not in the Arrow IPC file format (a stream, or another format)", ErrFile)
	}
	return protect(func() error {
		r, err := ipc.NewFileReader(bytes.NewReader(data), ipc.WithAllocator(mem))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFile, err)
		}
		defer r.Close()
		var records []arrow.Record
		for i := range r.NumRecords() {
			record, err := r.RecordAt(i)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrFile, err)
			}
			defer record.Release()
			records = append(records, record)
		}
		return f(r.Schema(), records)
	})
}

// withColumns calls f with the tensors of a trusted update file.
func withColumns(mem memory.Allocator, data []byte, f func([]column) error) error {
	return withRecords(mem, data, func(sc *arrow.Schema, records []arrow.Record) error {
		if len(records) != 1 {
			return fmt.Errorf("%w: %d record batches, want 1", ErrFile, len(records))
		}
		columns, err := columnsOf(sc, records[0])
		if err != nil {
			return err
		}
		return f(columns)
	})
}

// columnsOf reads either layout: a column per tensor, or a row per tensor.
func columnsOf(sc *arrow.Schema, record arrow.Record) ([]column, error) {
	if isTable(sc) {
		return rowsOf(record)
	}
	if record.NumRows() != 1 {
		return nil, fmt.Errorf("%w: %d rows, want 1", ErrFile, record.NumRows())
	}
	var columns []column
	for i, f := range sc.Fields() {
		c, err := columnOf(f.Name, record.Column(i))
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, nil
}

// columnOf reads a column of one row.
func columnOf(name string, a arrow.Array) (column, error) {
	c := column{Tensor: schema.Tensor{Name: name}}
	fixed, isTensor := a.(*tensorArray)
	if isTensor {
		a = fixed.Storage()
	}
	err := c.take(a)
	if isTensor {
		c.Shape, c.shaped = fixed.DataType().(*tensorType).shape, true
	}
	return c, err
}

// take walks down the lists of a to the numbers, noting the shape.
func (c *column) take(a arrow.Array) error {
	if n := a.NullN(); n > 0 {
		return fmt.Errorf("%w: tensor %q has %d nulls", ErrFile, c.Name, n)
	}
	switch a := a.(type) {
	case *array.Float32:
		c.DType, c.float32s = float32Name, a.Float32Values()
	case *array.Float64:
		c.DType, c.float64s = float64Name, a.Float64Values()
	case array.ListLike:
		return c.takeList(a)
	default:
		return fmt.Errorf("%w: tensor %q is %s: want float32 or float64", ErrFile, c.Name, a.DataType())
	}
	return nil
}

// takeList takes the elements of all rows of a. Only a fixed-size list may
// lie inside another list, so that the shape is one.
func (c *column) takeList(a array.ListLike) error {
	rows := a.Len()
	fixed, ok := a.DataType().(*arrow.FixedSizeListType)
	switch {
	case rows < 1 || len(c.Shape) >= maxDims:
		return fmt.Errorf("%w: tensor %q is %s of %d rows", ErrFile, c.Name, a.DataType(), rows)
	case !ok && len(c.Shape) > 0:
		return fmt.Errorf("%w: tensor %q is a list of lists: want fixed-size lists", ErrFile, c.Name)
	}
	from, to := a.ValueOffsets(0)
	c.Shape = append(c.Shape, int(to-from))
	if ok {
		c.Shape[len(c.Shape)-1] = int(fixed.Len())
		_, to = a.ValueOffsets(rows - 1)
	}
	inner := array.NewSlice(a.ListValues(), from, to)
	defer inner.Release() // the record keeps the memory
	return c.take(inner)
}

// isTable recognizes the table of one row per tensor.
func isTable(sc *arrow.Schema) bool {
	return sc.NumFields() == 3 && sc.HasField("name") && sc.HasField("shape") && sc.HasField("values")
}

// rowsOf reads a table of one row per tensor: name, shape, values.
func rowsOf(record arrow.Record) ([]column, error) {
	named := func(name string) arrow.Array { return record.Column(record.Schema().FieldIndices(name)[0]) }
	name, ok := named("name").(array.StringLike)
	if !ok || name.NullN() > 0 {
		return nil, fmt.Errorf("%w: column \"name\" is %s: want text without nulls", ErrFile, named("name").DataType())
	}
	var columns []column
	for i := range int(record.NumRows()) {
		values := array.NewSlice(named("values"), int64(i), int64(i)+1)
		defer values.Release()
		c, err := columnOf(strings.Clone(name.Value(i)), values)
		if err != nil {
			return nil, err
		}
		if c.Shape, err = shapeAt(named("shape"), i); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", c.Name, err)
		}
		c.shaped = true
		size, err := c.Size()
		if count := len(c.float32s) + len(c.float64s); err != nil || size != count {
			return nil, fmt.Errorf("%w: tensor %q has shape %v and %d values", ErrFile, c.Name, c.Shape, count)
		}
		columns = append(columns, c)
	}
	return columns, nil
}

// shapeAt reads the list of int64 in row i.
func shapeAt(a arrow.Array, i int) ([]int, error) {
	list, ok := a.(array.ListLike)
	if !ok || a.NullN() > 0 {
		return nil, fmt.Errorf("%w: column \"shape\" is %s: want lists of int64 without nulls", ErrFile, a.DataType())
	}
	dims, ok := list.ListValues().(*array.Int64)
	from, to := list.ValueOffsets(i)
	if !ok || dims.NullN() > 0 || to-from > maxDims {
		return nil, fmt.Errorf("%w: column \"shape\" is %s: want at most %d int64", ErrFile, a.DataType(), maxDims)
	}
	var shape []int
	for _, d := range dims.Int64Values()[from:to] {
		if d < 1 || d > schema.MaxValues {
			return nil, fmt.Errorf("%w: dimension %d", ErrFile, d)
		}
		shape = append(shape, int(d))
	}
	return shape, nil
}
