package courier

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// magic begins a bundle: four letters, a version and two zero bytes.
const magic = "VSBN\x01\x00\x00\x00"

// Limits of a bundle. A descriptor has a few KB for each decryptor.
const (
	maxObjects = 1 << 16 // the task, and a descriptor for each lane and epoch
	maxBundle  = 256 << 20
)

type object struct {
	key  string
	body []byte
}

// encode writes objects by ascending name, so that one epoch has one bundle.
func encode(objects []object) ([]byte, error) {
	if len(objects) > maxObjects { // nobody could read it
		return nil, fmt.Errorf("%w: bundle: %d objects, at most %d: open the rounds with less staleness or fewer lanes", schema.ErrFormat, len(objects), maxObjects)
	}
	slices.SortFunc(objects, func(a, b object) int { return strings.Compare(a.key, b.key) })
	raw := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(objects)))
	for _, o := range objects {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(o.key)))
		raw = append(raw, o.key...)
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(o.body)))
		raw = append(raw, o.body...)
		if len(raw) > maxBundle {
			return nil, fmt.Errorf("%w: bundle: more than %d bytes", schema.ErrFormat, maxBundle)
		}
	}
	return raw, nil
}

// decode reads a bundle: at least one descriptor and exactly one task, which comes last by
// its name, all of one task.
func decode(raw []byte) ([]object, error) {
	bad := func(format string, args ...any) ([]object, error) {
		return nil, fmt.Errorf("%w: bundle: %s", schema.ErrFormat, fmt.Sprintf(format, args...))
	}
	if len(raw) < len(magic)+4 || len(raw) > maxBundle || string(raw[:len(magic)]) != magic {
		return bad("not a bundle of version 1")
	}
	n, rest := int(binary.LittleEndian.Uint32(raw[len(magic):])), raw[len(magic)+4:]
	if n < 2 || n > maxObjects {
		return bad("%d objects", n)
	}
	var objects []object
	for range n {
		var key, body []byte
		var ok bool
		if key, rest, ok = field(rest); !ok {
			return bad("cut short")
		}
		if body, rest, ok = field(rest); !ok {
			return bad("cut short")
		}
		objects = append(objects, object{string(key), body})
	}
	if len(rest) > 0 {
		return bad("%d bytes follow", len(rest))
	}
	return objects, checkKeys(objects)
}

// field reads a length and as many bytes.
func field(raw []byte) (b, rest []byte, ok bool) {
	if len(raw) < 4 {
		return nil, nil, false
	}
	n, raw := binary.LittleEndian.Uint32(raw), raw[4:]
	if uint64(n) > uint64(len(raw)) {
		return nil, nil, false
	}
	return raw[:n], raw[n:], true
}

func checkKeys(objects []object) error {
	last := len(objects) - 1
	end, ok := pipeline.ParseObject(objects[last].key)
	if !ok || end.Kind != pipeline.KindTask {
		return fmt.Errorf("%w: bundle: it does not end with a task", schema.ErrFormat)
	}
	for i, o := range objects[:last] {
		x, ok := pipeline.ParseObject(o.key)
		if !ok || x.Kind != pipeline.KindDescriptor || x.Round.Task != end.Round.Task || i > 0 && o.key <= objects[i-1].key {
			return fmt.Errorf("%w: bundle: object %d is not the next descriptor of the task", schema.ErrFormat, i)
		}
	}
	return nil
}
