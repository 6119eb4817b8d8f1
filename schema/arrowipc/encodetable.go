package arrowipc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/endian"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Column is one column of a table to be written: exactly one of the slices is
// used, and is not nil.
type Column struct {
	Name    string // unique in the table, 1 to 128 bytes of UTF-8
	Floats  []float64
	Ints    []int64
	Strings []string // UTF-8
	Bools   []bool
	// Valid is false for the rows that are null; nil if none is.
	Valid []bool
}

// EncodeTable returns an Arrow IPC file of columns of equal length, without
// compression, in the given order, and meta as schema metadata with sorted keys.
// [ReadTable] reads it back if it has neither nulls nor truth values. Equal arguments give equal bytes.
//
// It fails with [ErrColumn] for a column that is not as [Column] says or not as
// long as the first, and with [ErrMetadata].
func EncodeTable(columns []Column, meta map[string]string) ([]byte, error) {
	if err := checkMeta(meta); err != nil {
		return nil, err
	}
	rows, err := checkColumns(columns)
	if err != nil {
		return nil, err
	}
	out := &fileBuffer{}
	if err := protect(func() error { return writeTable(out, columns, rows, meta) }); err != nil {
		return nil, fmt.Errorf("arrowipc: write: %w", err)
	}
	return out.Bytes(), nil
}

func checkColumns(columns []Column) (rows int, err error) {
	if len(columns) < 1 || len(columns) > maxTensors {
		return 0, fmt.Errorf("%w: %d columns, want 1 to %d", ErrColumn, len(columns), maxTensors)
	}
	seen := make(map[string]bool, len(columns))
	for i, c := range columns {
		used := 0
		for _, set := range []bool{c.Floats != nil, c.Ints != nil, c.Strings != nil, c.Bools != nil} {
			if set {
				used++
			}
		}
		switch {
		case len(c.Name) < 1 || len(c.Name) > maxName || !utf8.ValidString(c.Name):
			return 0, fmt.Errorf("%w: name %q: want 1 to %d bytes of UTF-8", ErrColumn, c.Name, maxName)
		case seen[c.Name]:
			return 0, fmt.Errorf("%w: two columns are named %q", ErrColumn, c.Name)
		case used != 1:
			return 0, fmt.Errorf("%w: %q has %d kinds of values, want 1", ErrColumn, c.Name, used)
		case i > 0 && c.len() != rows:
			return 0, fmt.Errorf("%w: %q has %d rows, the first column %d", ErrColumn, c.Name, c.len(), rows)
		case c.Valid != nil && len(c.Valid) != c.len():
			return 0, fmt.Errorf("%w: %q has %d rows and tells of %d whether they are null", ErrColumn, c.Name, c.len(), len(c.Valid))
		}
		for _, s := range c.Strings {
			if !utf8.ValidString(s) {
				return 0, fmt.Errorf("%w: %q holds text that is not UTF-8", ErrColumn, c.Name)
			}
		}
		seen[c.Name], rows = true, c.len()
	}
	return rows, nil
}

func (c Column) len() int { return len(c.Floats) + len(c.Ints) + len(c.Strings) + len(c.Bools) }

func (c Column) dataType() arrow.DataType {
	switch {
	case c.Floats != nil:
		return arrow.PrimitiveTypes.Float64
	case c.Ints != nil:
		return arrow.PrimitiveTypes.Int64
	case c.Bools != nil:
		return arrow.FixedWidthTypes.Boolean
	}
	return arrow.BinaryTypes.String
}

func writeTable(w io.WriteSeeker, columns []Column, rows int, meta map[string]string) error {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.Name, Type: c.dataType(), Nullable: c.Valid != nil}
	}
	kv := arrow.MetadataFrom(meta) // sorts the keys
	sc := arrow.NewSchemaWithEndian(fields, &kv, endian.LittleEndian)
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	for i, c := range columns {
		switch f := b.Field(i).(type) {
		case *array.Float64Builder:
			f.AppendValues(c.Floats, c.Valid)
		case *array.Int64Builder:
			f.AppendValues(c.Ints, c.Valid)
		case *array.StringBuilder:
			f.AppendValues(c.Strings, c.Valid)
		case *array.BooleanBuilder:
			f.AppendValues(c.Bools, c.Valid)
		}
	}
	record := array.NewRecord(sc, columnsBuilt(b), int64(rows))
	defer record.Release()
	fw, err := ipc.NewFileWriter(w, ipc.WithSchema(sc), ipc.WithAllocator(memory.DefaultAllocator))
	if err != nil {
		return err
	}
	return errors.Join(fw.Write(record), fw.Close())
}

func columnsBuilt(b *array.RecordBuilder) []arrow.Array {
	var all []arrow.Array
	for _, f := range b.Fields() {
		all = append(all, f.NewArray())
	}
	return all
}

// fileBuffer is a file in memory that only tells its position: all that the file writer asks for.
type fileBuffer struct{ bytes.Buffer }

// Seek implements io.Seeker.
func (f *fileBuffer) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("arrowipc: seek in a buffer")
	}
	return int64(f.Len()), nil
}
