package arrowipc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// ErrColumn is wrapped by the errors about a column that a table does not have
// in the asked form.
var ErrColumn = errors.New("arrowipc: no such column")

// Table is a small data set in memory. It is safe for concurrent reading.
type Table struct {
	// Rows is the number of rows.
	Rows int
	// Names are the column names in file order.
	Names []string
	// Meta is the schema metadata.
	Meta map[string]string

	columns map[string]*tableColumn
}

// tableColumn keeps the values as the file has them; one of the slices is
// used.
type tableColumn struct {
	width    int // values per row
	float32s []float32
	float64s []float64
	uint8s   []uint8
	int32s   []int32
	int64s   []int64
	texts    []string
}

// ReadTable reads an IPC file of trusted bytes, such as an embedded data set,
// compressed or not. Columns are float32, float64, uint8, int32, int64 or text, or
// fixed-size lists of such numbers, without nulls. Other columns, nulls and two
// columns of one name fail with [ErrFile].
func ReadTable(data []byte) (*Table, error) {
	return readTable(memory.DefaultAllocator, data)
}

func readTable(mem memory.Allocator, data []byte) (*Table, error) {
	t := &Table{columns: make(map[string]*tableColumn)}
	err := withRecords(mem, data, func(sc *arrow.Schema, records []arrow.Record) error {
		t.Meta = sc.Metadata().ToMap()
		for _, f := range sc.Fields() {
			if t.columns[f.Name] != nil {
				return fmt.Errorf("%w: two columns are named %q", ErrFile, f.Name)
			}
			t.Names = append(t.Names, f.Name)
			t.columns[f.Name] = &tableColumn{width: 1}
		}
		for _, record := range records {
			t.Rows += int(record.NumRows())
			for i, name := range t.Names {
				if err := t.columns[name].take(record.Column(i)); err != nil {
					return fmt.Errorf("%w: column %q: %w", ErrFile, name, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// take appends the values of a.
func (c *tableColumn) take(a arrow.Array) error {
	if a.NullN() > 0 {
		return fmt.Errorf("%d nulls", a.NullN())
	}
	switch a := a.(type) {
	case *array.Float32:
		c.float32s = append(c.float32s, a.Float32Values()...)
	case *array.Float64:
		c.float64s = append(c.float64s, a.Float64Values()...)
	case *array.Uint8:
		c.uint8s = append(c.uint8s, a.Uint8Values()...)
	case *array.Int32:
		c.int32s = append(c.int32s, a.Int32Values()...)
	case *array.Int64:
		c.int64s = append(c.int64s, a.Int64Values()...)
	case *array.FixedSizeList:
		return c.takeList(a)
	case array.StringLike:
		for i := range a.Len() {
			c.texts = append(c.texts, strings.Clone(a.Value(i))) // a copy: the record's memory goes
		}
	default:
		return fmt.Errorf("%s is not read", a.DataType())
	}
	return nil
}

func (c *tableColumn) takeList(a *array.FixedSizeList) error {
	if a.Len() == 0 {
		return nil
	}
	inner := a.DataType().(*arrow.FixedSizeListType)
	if !arrow.IsPrimitive(inner.Elem().ID()) { // one width a column: no list of lists, no list of texts
		return fmt.Errorf("%s is not read", inner)
	}
	c.width = int(inner.Len())
	from, _ := a.ValueOffsets(0)
	_, to := a.ValueOffsets(a.Len() - 1)
	values := array.NewSlice(a.ListValues(), from, to)
	defer values.Release()
	return c.take(values)
}

// Floats returns a numeric column row by row, width values each (1 unless
// the column is a list). It fails with [ErrColumn] when there is no such column.
func (t *Table) Floats(name string) (values []float64, width int, err error) {
	c, ok := t.columns[name]
	if !ok || c.texts != nil {
		return nil, 0, fmt.Errorf("%w: %q as numbers; the table has %q", ErrColumn, name, t.Names)
	}
	values = slices.Clone(c.float64s)
	values = widen(values, c.float32s)
	values = widen(values, c.uint8s)
	values = widen(values, c.int32s)
	return widen(values, c.int64s), c.width, nil
}

// Ints returns a column of integers row by row, width values each. It fails
// with [ErrColumn] when there is no such column.
func (t *Table) Ints(name string) (values []int64, width int, err error) {
	c, ok := t.columns[name]
	if !ok || c.texts != nil || c.float32s != nil || c.float64s != nil {
		return nil, 0, fmt.Errorf("%w: %q as integers; the table has %q", ErrColumn, name, t.Names)
	}
	values = slices.Clone(c.int64s)
	values = widen(values, c.uint8s)
	return widen(values, c.int32s), c.width, nil
}

// Strings returns a column of text. It fails with [ErrColumn] when there is
// no such column.
func (t *Table) Strings(name string) ([]string, error) {
	c, ok := t.columns[name]
	if !ok || (c.texts == nil && t.Rows > 0) {
		return nil, fmt.Errorf("%w: %q as text; the table has %q", ErrColumn, name, t.Names)
	}
	return slices.Clone(c.texts), nil
}

// widen appends src to dst, value by value.
func widen[To float64 | int64, From uint8 | int32 | int64 | float32](dst []To, src []From) []To {
	dst = slices.Grow(dst, len(src))
	for _, v := range src {
		dst = append(dst, To(v))
	}
	return dst
}
