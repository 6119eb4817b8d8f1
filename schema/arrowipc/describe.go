package arrowipc

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/veilsum/veilsum/schema"
)

// describe finds the tensors and the metadata in the first message of an
// aggregate file. It reads bytes of any origin in bounded time and memory, and
// promises nothing else: see [OpenAggregate] for why that is enough.
//
// The layout is that of Arrow's Schema.fbs and Message.fbs: magic and padding
// (8 bytes), continuation marker (4), length (4), a Message.
func describe(data []byte) ([]schema.Tensor, map[string]string, error) {
	const message = 16
	b := data[:min(len(data), 1<<26)]
	f := &flat{b: b, left: len(b)}
	header := f.table(f.ref(message), 2)
	tensors, meta := f.tensors(header), f.metadata(header, 2)
	if f.bad || len(tensors) == 0 {
		return nil, nil, fmt.Errorf("%w: no readable schema", ErrNotAuthentic)
	}
	return tensors, meta, nil
}

// flat reads a FlatBuffer with every offset checked. The first offset that
// points outside marks the whole as bad; reads after that give zeros.
type flat struct {
	b    []byte
	left int // what texts may still cost: an honest file points at no byte twice
	bad  bool
}

// at returns n bytes at pos.
func (f *flat) at(pos, n int) []byte {
	if f.bad || pos < 0 || n < 0 || pos > len(f.b)-n {
		f.bad = true
		return make([]byte, min(max(n, 0), 8))
	}
	return f.b[pos : pos+n]
}

func (f *flat) u16(pos int) int { return int(binary.LittleEndian.Uint16(f.at(pos, 2))) }
func (f *flat) u32(pos int) int { return int(int64(binary.LittleEndian.Uint32(f.at(pos, 4)))) }

// ref follows the unsigned offset at pos.
func (f *flat) ref(pos int) int { return pos + f.u32(pos) }

// slot returns the position of field id of the table at pos, 0 if absent.
func (f *flat) slot(pos, id int) int {
	vtable := pos - int(int32(binary.LittleEndian.Uint32(f.at(pos, 4))))
	if 4+2*id+2 > f.u16(vtable) {
		return 0
	}
	if offset := f.u16(vtable + 4 + 2*id); offset != 0 {
		return pos + offset
	}
	return 0
}

// table follows the reference in field id of the table at pos; an absent one
// is bad.
func (f *flat) table(pos, id int) int {
	s := f.slot(pos, id)
	if s == 0 {
		f.bad = true
		return 0
	}
	return f.ref(s)
}

// vector returns the first position and the length of the vector in field id.
// A vector longer than limit is bad.
func (f *flat) vector(pos, id, limit int) (first, n int) {
	s := f.slot(pos, id)
	if s == 0 {
		return 0, 0
	}
	v := f.ref(s)
	if n = f.u32(v); n > limit || f.bad {
		f.bad = true
		return 0, 0
	}
	return v + 4, n
}

// text returns the string in field id of the table at pos, at most limit
// bytes.
func (f *flat) text(pos, id, limit int) string {
	first, n := f.vector(pos, id, limit)
	if f.left -= 4 + n; f.left < 0 {
		f.bad = true
	}
	if f.bad {
		return ""
	}
	return string(f.at(first, n))
}

// metadata returns the key-value pairs in field id of the table at pos.
func (f *flat) metadata(pos, id int) map[string]string {
	first, n := f.vector(pos, id, maxMeta)
	meta := make(map[string]string, n)
	for i := 0; i < n && !f.bad; i++ {
		kv := f.ref(first + 4*i)
		meta[f.text(kv, 0, maxMetaKey)] = f.text(kv, 1, maxMetaValue)
	}
	return meta
}

// tensors returns what the fields of the schema at pos say.
func (f *flat) tensors(pos int) []schema.Tensor {
	first, n := f.vector(pos, 1, maxTensors)
	var tensors []schema.Tensor // grows with what is really there
	for i := 0; i < n && !f.bad; i++ {
		tensors = append(tensors, f.tensor(f.ref(first+4*i)))
	}
	return tensors
}

// tensor reads the Field at pos: its name (0), its only child's floating
// point type (children 5, type 3, precision 0), and the shape in its metadata (6).
func (f *flat) tensor(pos int) schema.Tensor {
	t := schema.Tensor{Name: f.text(pos, 0, maxName), DType: float32Name}
	children, n := f.vector(pos, 5, 1)
	if n != 1 {
		f.bad = true
		return t
	}
	value := f.table(f.ref(children), 3)
	if s := f.slot(value, 0); s != 0 && f.u16(s) == 2 { // 1 is SINGLE, 2 is DOUBLE
		t.DType = float64Name
	}
	var p tensorParams
	if json.Unmarshal([]byte(f.metadata(pos, 6)["ARROW:extension:metadata"]), &p) != nil || len(p.Shape) > maxDims {
		f.bad = true
	}
	t.Shape = p.Shape
	return t
}
