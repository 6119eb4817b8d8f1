package tensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/veilsum/veilsum/schema"
)

// maxSafeHeader bounds the header: tensors take about 100 bytes each, the rest is for metadata.
const maxSafeHeader = 1 << 20

// stored is a tensor as the header describes it.
type stored struct {
	name  string
	dtype string
	shape []int
	from  int64 // bytes, in the data behind the header
	to    int64
}

// ReadSafetensors reads a safetensors file that holds the task's tensors, in any order: 8 bytes
// of length, a JSON header, then the tensors, without holes and overlaps. Its metadata is ignored.
func ReadSafetensors(r io.Reader, want []schema.Tensor) ([]float32, error) {
	header, err := safeHeader(r, len(want))
	if err != nil {
		return nil, err
	}
	all, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("%w: safetensors header: %w", ErrFile, err)
	}
	values, at, err := layout(want)
	if err != nil {
		return nil, err
	}
	places, starts := byName(want), map[int64]stored{}
	for _, x := range all {
		if _, ok := places[x.name]; !ok {
			return nil, fmt.Errorf("%w: no tensor of the task is named %.130q; the task has %s", ErrMismatch, x.name, list(want))
		}
		if y, taken := starts[x.from]; taken {
			return nil, fmt.Errorf("%w: tensors %q and %q overlap", ErrFile, x.name, y.name)
		}
		starts[x.from] = x
	}
	// In the order of the data, which is read in one pass: each starts where the one before ends.
	done, next := map[string]bool{}, int64(0)
	for range all {
		x, ok := starts[next]
		if !ok {
			return nil, fmt.Errorf("%w: no tensor starts at byte %d of the data: a hole, or an overlap", ErrFile, next)
		}
		i := places[x.name]
		n, err := x.fits(want[i])
		if err != nil {
			return nil, err
		}
		if _, err := fill(r, values[at[i]:at[i]+n], types[x.dtype]); err == io.ErrUnexpectedEOF {
			return nil, fmt.Errorf("%w: tensor %q is cut short", ErrFile, x.name)
		} else if err != nil {
			return nil, err
		}
		done[x.name], next = true, x.to
	}
	if err := missing(want, done); err != nil {
		return nil, err
	}
	if err := end(r); err != nil {
		return nil, err
	}
	return values, CheckFinite(values, want)
}

// fits checks a stored tensor against the task's and returns its number of values.
func (x stored) fits(t schema.Tensor) (int, error) {
	dt, known := types[x.dtype]
	if !known {
		return 0, fmt.Errorf("%w: tensor %q is of type %.20q; cure: convert it to F32", ErrFile, x.name, x.dtype)
	}
	if err := fits(x.shape, t); err != nil {
		return 0, err
	}
	n, err := t.Size()
	if err != nil {
		return 0, err
	}
	if x.to-x.from != int64(n)*int64(dt.bytes) {
		return 0, fmt.Errorf("%w: tensor %q lies at bytes %d to %d, which is not the size of its shape", ErrFile, x.name, x.from, x.to)
	}
	return n, nil
}

func safeHeader(r io.Reader, tensors int) ([]byte, error) {
	var size [8]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, fmt.Errorf("%w: not a safetensors file", ErrFile)
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > maxSafeHeader+1024*uint64(tensors) {
		return nil, fmt.Errorf("%w: a safetensors header of %d bytes", ErrFile, n)
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("%w: the safetensors header is cut short", ErrFile)
	}
	return header, nil
}

var errHeader = errors.New("not as the format has it")

// parseHeader reads the header's JSON. Unlike json.Unmarshal it takes no name twice,
// which two readers could understand in two ways.
func parseHeader(header []byte) (all []stored, err error) {
	if !utf8.Valid(header) || len(header) == 0 || header[0] != '{' {
		return nil, errHeader
	}
	d := json.NewDecoder(bytes.NewReader(header))
	err = object(d, func(name string) error {
		if name == "__metadata__" {
			return object(d, func(string) error { var s string; return d.Decode(&s) })
		}
		x := stored{name: name}
		if err := x.decode(d); err != nil {
			return fmt.Errorf("tensor %.130q: %w", name, err)
		}
		all = append(all, x)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(bytes.Trim(header[d.InputOffset():], " ")) > 0 {
		return nil, errHeader
	}
	return all, nil
}

func (x *stored) decode(d *json.Decoder) error {
	fields := 0
	err := object(d, func(key string) error {
		fields++
		switch key {
		case "dtype":
			return d.Decode(&x.dtype)
		case "shape":
			return d.Decode(&x.shape)
		case "data_offsets":
			var offsets []int64
			if err := d.Decode(&offsets); err != nil || len(offsets) != 2 {
				return errHeader
			}
			x.from, x.to = offsets[0], offsets[1]
			return nil
		}
		return errHeader
	})
	if err == nil && (fields != 3 || x.shape == nil || x.from < 0 || x.to < x.from) {
		err = errHeader
	}
	return err
}

// object reads a JSON object and calls field behind each name, which must take the value.
func object(d *json.Decoder, field func(name string) error) error {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errHeader
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok || seen[name] {
			return errHeader
		}
		seen[name] = true
		if err := field(name); err != nil {
			return err
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return errHeader
	}
	return nil
}
