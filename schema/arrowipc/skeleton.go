package arrowipc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/endian"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/veilsum/veilsum/schema"
)

// skeleton is a whole file but its values: what Arrow's writer writes around
// them, and where they lie. It depends on the tensors and the metadata alone,
// so it serves to write a file (fill in the values) and to check one (nothing
// else may differ) without parsing it.
type skeleton struct {
	size   int
	frames []frame // bytes that are not values, in file order
	bodies []span  // the values of each tensor, in tensor order
}

type frame struct {
	at    int
	bytes []byte
}

type span struct{ at, width, count int }

// newSkeleton runs Arrow's own writer over a record whose values are never
// read. lend is memory to stand for the values; it is not touched, and saves
// allocating (and clearing) as much as the largest tensor needs.
func newSkeleton(tensors []schema.Tensor, meta map[string]string, lend []byte) (*skeleton, error) {
	sizes, _, err := layoutOf(tensors)
	if err != nil {
		return nil, err
	}
	if _, err := bodyBytes(tensors, sizes); err != nil {
		return nil, err
	}
	largest := 0
	for i, t := range tensors {
		largest = max(largest, width(t)*sizes[i])
	}
	if len(lend) < largest {
		lend = make([]byte, largest)
	}
	s := &sink{values: &lend[0]}
	err = protect(func() error { return writeRecord(s, tensors, sizes, meta, lend) })
	if err != nil {
		return nil, fmt.Errorf("arrowipc: write: %w", err)
	}
	return s.skeleton(tensors, sizes)
}

// writeRecord writes a file of one record to w, each column over a prefix of
// values.
func writeRecord(w io.WriteSeeker, tensors []schema.Tensor, sizes []int, meta map[string]string, values []byte) error {
	fields := make([]arrow.Field, len(tensors))
	columns := make([]arrow.Array, len(tensors))
	for i, t := range tensors {
		dt := newTensorType(t, sizes[i])
		fields[i] = arrow.Field{Name: t.Name, Type: dt}
		columns[i] = newColumn(dt, sizes[i], values[:width(t)*sizes[i]])
		defer columns[i].Release()
	}
	kv := arrow.MetadataFrom(meta) // sorts the keys
	sc := arrow.NewSchemaWithEndian(fields, &kv, endian.LittleEndian)
	record := array.NewRecord(sc, columns, 1)
	defer record.Release()
	fw, err := ipc.NewFileWriter(w, ipc.WithSchema(sc), ipc.WithAllocator(memory.DefaultAllocator))
	if err != nil {
		return err
	}
	return errors.Join(fw.Write(record), fw.Close())
}

// newColumn makes a column of one row over values, without a copy.
func newColumn(dt *tensorType, size int, values []byte) arrow.Array {
	element := dt.Storage.(*arrow.FixedSizeListType).Elem()
	leaf := array.NewData(element, size, []*memory.Buffer{nil, memory.NewBufferBytes(values)}, nil, 0, 0)
	defer leaf.Release()
	row := array.NewData(dt, 1, []*memory.Buffer{nil}, []arrow.ArrayData{leaf}, 0, 0)
	defer row.Release()
	return array.MakeFromData(row)
}

// sink is the file that the writer believes to write. A write of the lent
// memory is a body: its place is noted and its bytes are not looked at.
type sink struct {
	values *byte
	at     int
	frames []frame
	bodies []span
}

func (s *sink) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if &p[0] == s.values {
		s.bodies = append(s.bodies, span{at: s.at, count: len(p)})
	} else if last := len(s.frames) - 1; last >= 0 && s.frames[last].at+len(s.frames[last].bytes) == s.at {
		s.frames[last].bytes = append(s.frames[last].bytes, p...)
	} else {
		s.frames = append(s.frames, frame{at: s.at, bytes: bytes.Clone(p)})
	}
	s.at += len(p)
	return len(p), nil
}

// Seek only tells the position: all that the file writer asks for.
func (s *sink) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekCurrent {
		return 0, errors.New("arrowipc: seek in a sink")
	}
	return int64(s.at), nil
}

// skeleton checks that each tensor has been met exactly once.
func (s *sink) skeleton(tensors []schema.Tensor, sizes []int) (*skeleton, error) {
	if len(s.bodies) != len(tensors) {
		return nil, fmt.Errorf("arrowipc: write: %d bodies for %d tensors", len(s.bodies), len(tensors))
	}
	for i, t := range tensors {
		if s.bodies[i].count != width(t)*sizes[i] {
			return nil, fmt.Errorf("arrowipc: write: %q has a body of %d bytes", t.Name, s.bodies[i].count)
		}
		s.bodies[i].width, s.bodies[i].count = width(t), sizes[i]
	}
	return &skeleton{size: s.at, frames: s.frames, bodies: s.bodies}, nil
}

// fill returns the file with the values that put writes: put gets the bytes
// of each tensor and the range of its values.
func (sk *skeleton) fill(put func(dst []byte, width, from, to int)) []byte {
	out := make([]byte, sk.size)
	for _, f := range sk.frames {
		copy(out[f.at:], f.bytes)
	}
	from := 0
	for _, b := range sk.bodies {
		put(out[b.at:b.at+b.width*b.count], b.width, from, from+b.count)
		from += b.count
	}
	return out
}

// check refuses data that differs from the skeleton anywhere but in a value.
// Frames and bodies together cover every byte of the file.
func (sk *skeleton) check(data []byte) error {
	if len(data) != sk.size {
		return fmt.Errorf("%w: %d bytes, want %d", ErrNotAuthentic, len(data), sk.size)
	}
	for _, f := range sk.frames {
		if !bytes.Equal(data[f.at:f.at+len(f.bytes)], f.bytes) {
			return fmt.Errorf("%w: bytes %d to %d are not those that these tensors and metadata give",
				ErrNotAuthentic, f.at, f.at+len(f.bytes))
		}
	}
	return nil
}

// putFloat64 stores src as little-endian values of 4 or 8 bytes. dst is part
// of a file at an offset that is a multiple of 8, so it is aligned.
func putFloat64(dst []byte, width int, src []float64) {
	if width == 8 {
		copy(arrow.Float64Traits.CastFromBytes(dst), src)
	} else {
		convert(arrow.Float32Traits.CastFromBytes(dst), src)
	}
	toLittleEndian(dst, width)
}

// putFloat32 is putFloat64 for float32 values.
func putFloat32(dst []byte, width int, src []float32) {
	if width == 4 {
		copy(arrow.Float32Traits.CastFromBytes(dst), src)
	} else {
		convert(arrow.Float64Traits.CastFromBytes(dst), src)
	}
	toLittleEndian(dst, width)
}

// getFloat64 reads the little-endian values of width bytes in src, which may
// lie at any address, to dst.
func getFloat64(dst []float64, width int, src []byte) {
	if width == 8 {
		copy(arrow.Float64Traits.CastToBytes(dst), src)
		toLittleEndian(arrow.Float64Traits.CastToBytes(dst), width)
		return
	}
	for i := range dst {
		dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i : 4*i+4])))
	}
}

// convert rounds or widens src to dst, of the same length.
func convert[To, From float32 | float64](dst []To, src []From) {
	dst = dst[:len(src)]
	for i, v := range src {
		dst[i] = To(v)
	}
}

// toLittleEndian turns native values into little-endian ones or back: nothing
// to do but on a big-endian machine.
func toLittleEndian(values []byte, width int) {
	if !endian.IsBigEndian {
		return
	}
	for ; len(values) >= width; values = values[width:] {
		slices.Reverse(values[:width])
	}
}
