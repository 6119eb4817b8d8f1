package tensors_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/tensors"
)

// raw is the values as little-endian float32.
func raw(values []float32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// npy is a .npy file, version 1.0, with the given description.
func npy(describe string, data []byte) []byte {
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(describe)), byte(len(describe)>>8))
	return append(append(b, describe...), data...)
}

func npyOf(shape string, data []byte) []byte {
	return npy("{'descr': '<f4', 'fortran_order': False, 'shape': "+shape+", }   \n", data)
}

// safe is a safetensors file.
func safe(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// model in the order c, a, b.
const safeHeader = `{"__metadata__":{"x":"y"},"b":{"dtype":"F32","shape":[],"data_offsets":[44,48]},"c":{"dtype":"F32","shape":[5],"data_offsets":[0,20]},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[20,44]}} `

func safeData() []byte {
	b := raw(modelValues())
	return slices.Concat(b[28:], b[:24], b[24:28])
}

func TestRaw(t *testing.T) {
	good := raw(modelValues())
	if got, err := tensors.ReadRaw(bytes.NewReader(good), model); err != nil || !slices.Equal(got, modelValues()) {
		t.Error(got, err)
	}
	for name, bad := range map[string][]byte{"short": good[:len(good)-1], "empty": nil, "long": append(bytes.Clone(good), 0), "doubles": make([]byte, 2*len(good))} {
		if _, err := tensors.ReadRaw(bytes.NewReader(bad), model); !errors.Is(err, tensors.ErrMismatch) {
			t.Error(name, err)
		}
	}
}

// TestNpy: what NumPy writes is taken, and nothing that only looks like it.
func TestNpy(t *testing.T) {
	data := raw(modelValues())
	for _, shape := range []string{"(12,)", "( 12 , )"} {
		if got, err := tensors.ReadNpy(bytes.NewReader(npyOf(shape, data)), model); err != nil || !slices.Equal(got, modelValues()) {
			t.Error(shape, got, err)
		}
	}
	one := []schema.Tensor{{Name: "w", Shape: []int{3, 4}}}
	for _, shape := range []string{"(3, 4)", "(3, 4, )", "(12,)"} {
		if _, err := tensors.ReadNpy(bytes.NewReader(npyOf(shape, data)), one); err != nil {
			t.Error(shape, err)
		}
	}
	if _, err := tensors.ReadNpy(bytes.NewReader(npyOf("()", data[:4])), []schema.Tensor{{Name: "s", Shape: []int{}}}); err != nil {
		t.Error(err)
	}
	good := npyOf("(12,)", data)
	for name, bad := range map[string][]byte{
		"empty": nil, "magic": append([]byte("x"), good[1:]...), "version": append([]byte("\x93NUMPY\x04\x00"), good[8:]...),
		"cut": good[:len(good)-1], "cut header": good[:20], "longer": append(bytes.Clone(good), 0),
		"no line end":  npy("{'descr': '<f4', 'fortran_order': False, 'shape': (12,), }", data),
		"no shape":     npy("{'descr': '<f4', 'fortran_order': False}\n", data),
		"twice":        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (12,), 'descr': '<f4'}\n", data),
		"unknown key":  npy("{'descr': '<f4', 'fortran_order': False, 'shape': (12,), 'x': '<f4'}\n", data),
		"behind":       npy("{'descr': '<f4', 'fortran_order': False, 'shape': (12,)} x\n", data),
		"structured":   npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (12,)}\n", data),
		"escape":       npy(`{'descr': '<f\x34', 'fortran_order': False, 'shape': (12,)}`+"\n", data),
		"number":       npyOf("(12)", data),
		"negative":     npyOf("(-12,)", data),
		"octal":        npyOf("(012,)", data),
		"huge":         npyOf("(99999999999999999999,)", data),
		"no comma":     npyOf("(3 4)", data),
		"order":        npy("{'descr': '<f4', 'fortran_order': None, 'shape': (12,)}\n", data),
		"long header":  append([]byte("\x93NUMPY\x02\x00\xff\xff\xff\x7f"), data...),
		"dimensions":   npyOf("("+strings.Repeat("1, ", 33)+")", data),
		"open bracket": npyOf("(12,", data),
	} {
		if _, err := tensors.ReadNpy(bytes.NewReader(bad), model); !errors.Is(err, tensors.ErrFile) {
			t.Error(name, err)
		}
	}
	for _, shape := range []string{"(11,)", "(13,)", "(3, 4)", "()", "(12, 1)", "(0,)"} {
		if _, err := tensors.ReadNpy(bytes.NewReader(npyOf(shape, data)), model); !errors.Is(err, tensors.ErrMismatch) {
			t.Error(shape, err)
		}
	}
}

// TestSafetensors: the format's own rules, and the task's.
func TestSafetensors(t *testing.T) {
	if got, err := tensors.ReadSafetensors(bytes.NewReader(safe(safeHeader, safeData())), model); err != nil || !slices.Equal(got, modelValues()) {
		t.Error(got, err)
	}
	swap := func(from, to string) []byte {
		if !strings.Contains(safeHeader, from) {
			t.Fatal(from)
		}
		return safe(strings.Replace(safeHeader, from, to, 1), safeData())
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "size only": make([]byte, 8), "cut header": safe(safeHeader, nil)[:40],
		"huge header": append([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f"), safeData()...),
		"cut":         safe(safeHeader, safeData()[:47]),
		"longer":      safe(safeHeader, append(safeData(), 0)),
		"array":       safe("[]", safeData()),
		"space first": safe(" "+safeHeader, safeData()),
		"behind":      safe(safeHeader+"{}", safeData()),
		"not utf-8":   swap(`"y"`, "\"\xff\""),
		"twice":       swap(`"b":`, `"b":{"dtype":"F32","shape":[],"data_offsets":[44,48]},"b":`),
		"field twice": swap(`"shape":[]`, `"shape":[],"shape":[]`),
		"unknown":     swap(`"shape":[]`, `"shape":[],"x":1`),
		"no shape":    swap(`"shape":[],`, ``),
		"null shape":  swap(`"shape":[]`, `"shape":null`),
		"fraction":    swap(`[2,3]`, `[2,3.5]`),
		"one offset":  swap(`[44,48]`, `[44]`),
		"negative":    swap(`[0,20]`, `[-20,20]`),
		"backwards":   swap(`[0,20]`, `[20,0]`),
		"overlap":     swap(`[44,48]`, `[40,44]`),
		"hole":        swap(`[44,48]`, `[48,52]`),
		"size":        swap(`[44,48]`, `[44,52]`),
		"overflow":    swap(`[44,48]`, `[44,9223372036854775808]`),
		"integers":    swap(`"F32"`, `"I32"`),
		"case":        swap(`"F32"`, `"f32"`),
		"metadata":    swap(`{"x":"y"}`, `{"x":{}}`),
	} {
		if _, err := tensors.ReadSafetensors(bytes.NewReader(bad), model); !errors.Is(err, tensors.ErrFile) {
			t.Error(name, err)
		}
	}
	for name, bad := range map[string][]byte{
		"shape": swap(`[2,3]`, `[3,2]`), "other name": swap(`"a"`, `"d"`), "zero": swap(`[2,3]`, `[0]`), "negative shape": swap(`[2,3]`, `[-2,-3]`),
		"missing": safe(strings.Replace(safeHeader, `"b":{"dtype":"F32","shape":[],"data_offsets":[44,48]},`, "", 1), safeData()[:44]),
	} {
		if _, err := tensors.ReadSafetensors(bytes.NewReader(bad), model); !errors.Is(err, tensors.ErrMismatch) {
			t.Error(name, err)
		}
	}
}

// TestNotFinite: the first bad value is named by its tensor and place, in every format, a float64 that is too
// large for float32 too.
func TestNotFinite(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		v := modelValues()
		v[4], v[11] = bad, bad
		data := raw(v)
		files := map[string]func() ([]float32, error){
			"raw": func() ([]float32, error) { return tensors.ReadRaw(bytes.NewReader(data), model) },
			"npy": func() ([]float32, error) { return tensors.ReadNpy(bytes.NewReader(npyOf("(12,)", data)), model) },
			"safe": func() ([]float32, error) {
				return tensors.ReadSafetensors(bytes.NewReader(safe(safeHeader, slices.Concat(data[28:], data[:28]))), model)
			},
		}
		for name, read := range files {
			if _, err := read(); !errors.Is(err, tensors.ErrNotFinite) || !strings.Contains(err.Error(), `tensor "a", index [1 1]`) {
				t.Error(name, err)
			}
		}
	}
	data := binary.LittleEndian.AppendUint64(nil, math.Float64bits(1e300))
	b := npy("{'descr': '<f8', 'fortran_order': False, 'shape': ()}\n", data)
	if _, err := tensors.ReadNpy(bytes.NewReader(b), []schema.Tensor{{Name: "s", Shape: []int{}}}); !errors.Is(err, tensors.ErrNotFinite) {
		t.Error(err)
	}
}

// TestHalf compares all binary16 numbers with their definition.
func TestHalf(t *testing.T) {
	want := func(h uint16) float64 {
		sign := 1 - 2*float64(h>>15)
		switch e, f := int(h>>10&31), float64(h&1023); {
		case e == 0:
			return sign * math.Ldexp(f, -24)
		default:
			return sign * math.Ldexp(1024+f, e-25)
		}
	}
	var data []byte
	var values []float32
	for h := range 1 << 16 {
		if h>>10&31 == 31 {
			continue // infinite, or no number
		}
		data = binary.LittleEndian.AppendUint16(data, uint16(h))
		values = append(values, float32(want(uint16(h))))
	}
	one := []schema.Tensor{{Name: "w", Shape: []int{len(values)}}}
	got, err := tensors.ReadNpy(bytes.NewReader(npy(fmt.Sprintf("{'descr': '<f2', 'fortran_order': False, 'shape': (%d,)}\n", len(values)), data)), one)
	if err != nil || !slices.Equal(got, values) {
		t.Error("differs", err)
	}
	for _, h := range []uint16{0x7c00, 0xfc00, 0x7c01, 0xffff} {
		data := binary.LittleEndian.AppendUint16(nil, h)
		if _, err := tensors.ReadNpy(bytes.NewReader(npy("{'descr': '<f2', 'fortran_order': False, 'shape': (1,)}\n", data)), []schema.Tensor{{Name: "w", Shape: []int{1}}}); !errors.Is(err, tensors.ErrNotFinite) {
			t.Errorf("%x: %v", h, err)
		}
	}
}

// TestBfloat: the upper half of a float32.
func TestBfloat(t *testing.T) {
	h := `{"w":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}`
	got, err := tensors.ReadSafetensors(bytes.NewReader(safe(h, []byte{0x80, 0x3f, 0, 0xc0, 0x20, 0x41})), []schema.Tensor{{Name: "w", Shape: []int{3}}})
	if err != nil || !slices.Equal(got, []float32{1, -2, 10}) {
		t.Error(got, err)
	}
}

// TestAnyTask writes any task's values in each format and reads them back.
func TestAnyTask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []schema.Tensor
		total := 0
		for i := range rapid.IntRange(1, 5).Draw(t, "tensors") {
			x := schema.Tensor{Name: fmt.Sprintf("t/%d", i), Shape: rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, "shape")}
			n, _ := x.Size()
			want, total = append(want, x), total+n
		}
		values := make([]float32, total)
		for i := range values {
			values[i] = rapid.Float32().Filter(func(x float32) bool { return x-x == 0 }).Draw(t, "value")
		}
		data := raw(values)
		header, at := `{`, 0
		for _, x := range want {
			n, _ := x.Size()
			header += fmt.Sprintf(`%q:{"shape":%s,"dtype":"F32","data_offsets":[%d,%d]},`, x.Name, strings.ReplaceAll(fmt.Sprint(x.Shape), " ", ","), at, at+4*n)
			at += 4 * n
		}
		for name, read := range map[string]func() ([]float32, error){
			"raw": func() ([]float32, error) { return tensors.ReadRaw(bytes.NewReader(data), want) },
			"npy": func() ([]float32, error) {
				return tensors.ReadNpy(bytes.NewReader(npyOf(fmt.Sprintf("(%d,)", total), data)), want)
			},
			"safetensors": func() ([]float32, error) {
				return tensors.ReadSafetensors(bytes.NewReader(safe(strings.TrimSuffix(header, ",")+"}", data)), want)
			},
		} {
			if got, err := read(); err != nil || !slices.Equal(got, values) {
				t.Fatal(name, err)
			}
		}
	})
}

// TestFolder: one .npy file a tensor, all of them and no other.
func TestFolder(t *testing.T) {
	want := []schema.Tensor{{Name: "v", Shape: []int{2}}, {Name: "w", Shape: []int{}}}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("v.npy", npyOf("(2,)", raw([]float32{1, 2})))
	if _, err := tensors.Read(dir, want); !errors.Is(err, tensors.ErrMismatch) || !strings.Contains(err.Error(), `"w" is missing`) {
		t.Error(err)
	}
	w := write("w.npy", npyOf("()", raw([]float32{3})))
	write("notes.txt", nil)
	if got, err := tensors.Read(dir, want); err != nil || !slices.Equal(got, []float32{1, 2, 3}) {
		t.Error(got, err)
	}
	for name, parts := range map[string][]tensors.Part{
		"twice": {{"v", filepath.Join(dir, "v.npy")}, {"v", filepath.Join(dir, "v.npy")}}, "one": {{"w", w}}, "none": nil,
		"unknown": {{"x", w}}, "swapped": {{"v", w}, {"w", w}},
	} {
		if _, err := tensors.ReadParts(parts, want); !errors.Is(err, tensors.ErrMismatch) {
			t.Error(name, err)
		}
	}
	write("x.npy", nil)
	if _, err := tensors.Read(dir, want); !errors.Is(err, tensors.ErrMismatch) || !strings.Contains(err.Error(), `"x"`) {
		t.Error(err)
	}
	for _, name := range []string{"../w", "a/b", ".w"} {
		if _, err := tensors.Read(dir, []schema.Tensor{{Name: name, Shape: []int{}}}); !errors.Is(err, tensors.ErrFile) {
			t.Error(name, err)
		}
	}
	if _, err := tensors.Read(write("w.txt", raw([]float32{3})), want[1:]); !errors.Is(err, tensors.ErrFile) {
		t.Error(err)
	}
	if _, err := tensors.Read(filepath.Join(dir, "absent.npy"), want); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// endless never ends, as a pipe may.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += int64(len(p))
	return len(p), nil
}

// TestBounded: a file is read as far as the task's values go, and a header as far as one could be.
func TestBounded(t *testing.T) {
	e := &endless{}
	if _, err := tensors.ReadRaw(e, model); !errors.Is(err, tensors.ErrMismatch) || e.read > 64 {
		t.Error(e.read, err)
	}
	e = &endless{}
	r := io.MultiReader(bytes.NewReader(npyOf("(12,)", nil)), e)
	if _, err := tensors.ReadNpy(r, model); !errors.Is(err, tensors.ErrFile) || e.read > 64 {
		t.Error(e.read, err)
	}
	if _, err := tensors.ReadRaw(bytes.NewReader(nil), []schema.Tensor{{Name: "w", Shape: []int{schema.MaxValues}}, {Name: "x", Shape: []int{1}}}); !errors.Is(err, tensors.ErrMismatch) {
		t.Error(err)
	}
}

// fuzz wants an error of the package's, or the task's number of finite values.
func fuzz(t *testing.T, read func(io.Reader, []schema.Tensor) ([]float32, error), b []byte) {
	got, err := read(bytes.NewReader(b), model)
	if err != nil {
		if !errors.Is(err, tensors.ErrFile) && !errors.Is(err, tensors.ErrMismatch) && !errors.Is(err, tensors.ErrNotFinite) {
			t.Fatalf("unexpected: %v", err)
		}
		return
	}
	if len(got) != 12 || tensors.CheckFinite(got, model) != nil {
		t.Fatalf("took %v", got)
	}
}

func FuzzNpy(f *testing.F) {
	f.Add(npyOf("(12,)", raw(modelValues())))
	f.Add(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (12,)}\n", make([]byte, 96)))
	f.Add(npy(`{"shape": (3L, 4), 'descr': "<f2"}`, nil))
	f.Fuzz(func(t *testing.T, b []byte) { fuzz(t, tensors.ReadNpy, b) })
}

func FuzzSafetensors(f *testing.F) {
	f.Add(safe(safeHeader, safeData()))
	f.Add(safe(`{"a":{"dtype":"BF16","shape":[6],"data_offsets":[0,12]}}`, make([]byte, 12)))
	f.Add(safe(`{"a":{}}`, nil))
	f.Fuzz(func(t *testing.T, b []byte) { fuzz(t, tensors.ReadSafetensors, b) })
}
