package tensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/veilsum/veilsum/schema"
)

// maxNpyHeader bounds the text that describes an array. NumPy's own is below 200 bytes.
const maxNpyHeader = 1 << 16

// npyTypes are the descr strings that are read, all little-endian.
var npyTypes = map[string]string{"<f4": "F32", "<f8": "F64", "<f2": "F16"}

// ReadNpy reads one array of NumPy's format, versions 1.0 to 3.0 (NEP 1). It is the task's only
// tensor, or a flat array of the values of all tensors in the task's order.
func ReadNpy(r io.Reader, want []schema.Tensor) ([]float32, error) {
	t, shape, err := npyHeader(r)
	if err != nil {
		return nil, err
	}
	whole := schema.Tensor{Name: "all", DType: "float32"}
	if len(want) == 1 {
		whole = want[0]
	} else if whole.Shape, err = flat(want); err != nil {
		return nil, err
	}
	if err := fits(shape, whole); err != nil {
		if len(want) > 1 {
			return nil, fmt.Errorf("%w: an array of shape %v, but the task has %d tensors: %s; cure: save them flat and one after the other, %v, or one file a tensor", ErrMismatch, shape, len(want), list(want), whole.Shape)
		}
		return nil, err
	}
	values, _, err := layout(want)
	if err != nil {
		return nil, err
	}
	if _, err := fill(r, values, t); err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("%w: the array is cut short", ErrFile)
	} else if err != nil {
		return nil, err
	}
	if err := end(r); err != nil {
		return nil, err
	}
	return values, CheckFinite(values, want)
}

func flat(want []schema.Tensor) ([]int, error) {
	total := 0
	for _, t := range want {
		n, err := t.Size()
		if err != nil {
			return nil, err
		}
		total += n
	}
	return []int{total}, nil
}

// npyHeader reads the magic string, the version and the description.
func npyHeader(r io.Reader) (dtype, []int, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:6]) != "\x93NUMPY" {
		return dtype{}, nil, fmt.Errorf("%w: not a .npy file", ErrFile)
	}
	size := make([]byte, 4)
	switch {
	case head[6] == 1 && head[7] == 0:
		size = size[:2]
	case head[6] > 3 || head[6] < 1 || head[7] != 0:
		return dtype{}, nil, fmt.Errorf("%w: .npy version %d.%d", ErrFile, head[6], head[7])
	}
	if _, err := io.ReadFull(r, size); err != nil {
		return dtype{}, nil, fmt.Errorf("%w: the .npy header is cut short", ErrFile)
	}
	n := uint32(binary.LittleEndian.Uint16(size))
	if len(size) == 4 {
		n = binary.LittleEndian.Uint32(size)
	}
	if n > maxNpyHeader {
		return dtype{}, nil, fmt.Errorf("%w: a .npy header of %d bytes", ErrFile, n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return dtype{}, nil, fmt.Errorf("%w: the .npy header is cut short", ErrFile)
	}
	return describe(string(text))
}

// describe reads the description: a Python dictionary of exactly descr, fortran_order and shape.
func describe(text string) (dtype, []int, error) {
	body, ok := strings.CutSuffix(text, "\n")
	p := &literal{rest: body}
	var descr, order string
	var shape []int
	err := p.dict(map[string]func() error{
		"descr":         func() (err error) { descr, err = p.str(); return err },
		"fortran_order": func() (err error) { order, err = p.word(); return err },
		"shape":         func() (err error) { shape, err = p.tuple(); return err },
	})
	if err != nil || !ok {
		return dtype{}, nil, fmt.Errorf("%w: .npy header: %w", ErrFile, errors.Join(err, ended(ok)))
	}
	name, known := npyTypes[descr]
	switch {
	case !known:
		return dtype{}, nil, fmt.Errorf("%w: array of type %.20q; cure: save a.astype('<f4')", ErrFile, descr)
	case order == "True":
		return dtype{}, nil, fmt.Errorf("%w: array in Fortran order; cure: save numpy.ascontiguousarray(a)", ErrFile)
	case order != "False":
		return dtype{}, nil, fmt.Errorf("%w: .npy header: fortran_order", ErrFile)
	}
	return types[name], shape, nil
}

func ended(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("no line end")
}

// literal reads the few Python literals that NumPy writes.
type literal struct{ rest string }

var errLiteral = errors.New("not as NumPy writes it")

func (p *literal) space() { p.rest = strings.TrimLeft(p.rest, " ") }

// take removes c, if it is next.
func (p *literal) take(c string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, c)
	p.rest = rest
	return ok
}

// dict reads a whole dictionary that has each of the keys once, and nothing behind it.
func (p *literal) dict(value map[string]func() error) error {
	if !p.take("{") {
		return errLiteral
	}
	seen := map[string]bool{}
	for !p.take("}") {
		key, err := p.str()
		if err != nil || value[key] == nil || seen[key] || !p.take(":") {
			return errLiteral
		}
		seen[key] = true
		if err := value[key](); err != nil {
			return err
		}
		if !p.take(",") {
			if !p.take("}") {
				return errLiteral
			}
			break
		}
	}
	if p.space(); p.rest != "" || len(seen) != len(value) {
		return errLiteral
	}
	return nil
}

// str reads a quoted string without escapes.
func (p *literal) str() (string, error) {
	for _, quote := range []string{"'", `"`} {
		if p.take(quote) {
			s, rest, ok := strings.Cut(p.rest, quote)
			if !ok || strings.ContainsAny(s, "\\\n") {
				return "", errLiteral
			}
			p.rest = rest
			return s, nil
		}
	}
	return "", errLiteral
}

// word reads True or False.
func (p *literal) word() (string, error) {
	for _, w := range []string{"True", "False"} {
		if p.take(w) {
			return w, nil
		}
	}
	return "", errLiteral
}

// tuple reads a tuple of at most 32 sizes, NumPy's own limit once.
func (p *literal) tuple() ([]int, error) {
	if !p.take("(") {
		return nil, errLiteral
	}
	shape := []int{}
	comma := true // a tuple of one has one at its end
	for !p.take(")") {
		digits := len(p.rest) - len(strings.TrimLeft(p.rest, "0123456789"))
		n, err := strconv.ParseUint(p.rest[:digits], 10, 31)
		if err != nil || !comma || len(shape) == 32 || digits > 1 && p.rest[0] == '0' {
			return nil, errLiteral
		}
		shape = append(shape, int(n))
		p.rest = p.rest[digits:]
		comma = p.take(",")
	}
	if len(shape) == 1 && !comma {
		return nil, errLiteral // a number in brackets
	}
	return shape, nil
}
