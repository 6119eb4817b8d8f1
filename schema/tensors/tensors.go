// Package tensors reads an update from the files that programs write who have
// no Arrow: raw float32, NumPy's .npy, and safetensors. It needs the standard library only; package
// export writes them.
//
// Call [Read] with the file and the task's tensors. Nothing is guessed: a file
// holds exactly the task's tensors, in their shapes, with finite values, and not one byte more.
// Memory is that of the values, whatever a file claims.
package tensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/schema"
)

var (
	// ErrFile: the file is not of the format that its name says, or uses a part of it that is not read here.
	ErrFile = errors.New("tensors: unreadable file")
	// ErrMismatch: the file holds other tensors, shapes or numbers of values than the task.
	ErrMismatch = errors.New("tensors: update does not match the task")
	// ErrNotFinite: a value is NaN or infinite, or too large for float32.
	ErrNotFinite = errors.New("tensors: value is not finite")
)

// Part is the file of one tensor.
type Part struct {
	Name string // of the tensor
	Path string // a .npy file, or raw float32
}

// Known tells whether [Read] knows the format of a file by its name.
func Known(path string) bool { return reader(path) != nil }

// reader returns what reads a file of this name.
func reader(path string) func(io.Reader, []schema.Tensor) ([]float32, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".f32", ".raw", ".bin":
		return ReadRaw
	case ".npy":
		return ReadNpy
	case ".safetensors":
		return ReadSafetensors
	}
	return nil
}

// Read reads an update and returns its values in the order of want, row-major.
// The format follows from the name: .f32, .raw or .bin is raw little-endian float32;
// .npy and .safetensors are what NumPy and safetensors write; a directory
// holds NAME.npy for each tensor NAME. A shape must be the task's, or flat.
// float16, bfloat16 and float64 are taken too, the last rounded to the nearest float32.
//
// It fails with [ErrFile], [ErrMismatch] or [ErrNotFinite], which name the tensor and the cure.
func Read(path string, want []schema.Tensor) ([]float32, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("tensors: %w", err)
	}
	if info.IsDir() {
		return readFolder(path, want)
	}
	read := reader(path)
	if read == nil {
		return nil, fmt.Errorf("%w: %s: the name says no format; it ends in .f32, .npy or .safetensors", ErrFile, path)
	}
	return readFile(path, want, read)
}

func readFile(path string, want []schema.Tensor, read func(io.Reader, []schema.Tensor) ([]float32, error)) ([]float32, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tensors: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s: not a regular file", ErrFile, path)
	}
	values, err := read(f, want)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}

// readFolder reads NAME.npy for each tensor, and wants no other .npy file there.
func readFolder(dir string, want []schema.Tensor) ([]float32, error) {
	parts := make([]Part, len(want))
	names := map[string]bool{}
	for i, t := range want {
		if t.Name != filepath.Base(t.Name) || strings.HasPrefix(t.Name, ".") {
			return nil, fmt.Errorf("%w: tensor %q has no file of its name; cure: give it by --tensor NAME=FILE", ErrFile, t.Name)
		}
		parts[i] = Part{Name: t.Name, Path: filepath.Join(dir, t.Name+".npy")}
		names[t.Name+".npy"] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("tensors: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".npy") && !names[e.Name()] {
			return nil, fmt.Errorf("%w: %s: no tensor of the task is named %q; the task has %s", ErrMismatch, dir, strings.TrimSuffix(e.Name(), ".npy"), list(want))
		}
	}
	return ReadParts(parts, want)
}

// ReadParts reads an update from one file a tensor, in any order.
func ReadParts(parts []Part, want []schema.Tensor) ([]float32, error) {
	values, at, err := layout(want)
	if err != nil {
		return nil, err
	}
	done, places := map[string]bool{}, byName(want)
	for _, p := range parts {
		i, ok := places[p.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: %s: no tensor of the task is named %q; the task has %s", ErrMismatch, p.Path, p.Name, list(want))
		case done[p.Name]:
			return nil, fmt.Errorf("%w: tensor %q is given twice", ErrMismatch, p.Name)
		}
		read := reader(p.Path)
		if read == nil || strings.EqualFold(filepath.Ext(p.Path), ".safetensors") {
			return nil, fmt.Errorf("%w: %s: one tensor is a .npy or a .f32 file", ErrFile, p.Path)
		}
		one, err := readFile(p.Path, want[i:i+1], read)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: tensor %q is missing: %w", ErrMismatch, p.Name, err)
		}
		if err != nil {
			return nil, err
		}
		copy(values[at[i]:], one)
		done[p.Name] = true
	}
	return values, missing(want, done)
}

// ReadRaw reads little-endian float32 values, all tensors one after the other in the task's order.
func ReadRaw(r io.Reader, want []schema.Tensor) ([]float32, error) {
	values, _, err := layout(want)
	if err != nil {
		return nil, err
	}
	n, err := fill(r, values, types["F32"])
	if err == io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("%w: %d bytes, want %d: %d float32 values of %s", ErrMismatch, n, 4*len(values), len(values), list(want))
	}
	if err != nil {
		return nil, err
	}
	if end(r) != nil {
		return nil, fmt.Errorf("%w: more than %d bytes, which %d float32 values of %s take; cure: of NumPy save a.astype('<f4')", ErrMismatch, 4*len(values), len(values), list(want))
	}
	return values, CheckFinite(values, want)
}

// CheckFinite fails with [ErrNotFinite] and names the first value that is NaN or infinite. values are those of want.
func CheckFinite(values []float32, want []schema.Tensor) error {
	at := 0
	for _, t := range want {
		n, err := t.Size()
		if err != nil {
			return err
		}
		if n > len(values)-at {
			return fmt.Errorf("%w: %d values", ErrMismatch, len(values))
		}
		for i, v := range values[at : at+n] {
			if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
				return fmt.Errorf("%w: tensor %q, index %v: %s", ErrNotFinite, t.Name, index(i, t.Shape), notFinite(x))
			}
		}
		at += n
	}
	return nil
}

func notFinite(x float64) string {
	if math.IsNaN(x) {
		return "NaN; cure: find where the training diverged, and send nothing this epoch"
	}
	return "infinite, or too large for float32; cure: find where the training diverged, and send nothing this epoch"
}

// index returns the coordinates of the i-th value of a row-major tensor.
func index(i int, shape []int) []int {
	at := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		at[k], i = i%shape[k], i/shape[k]
	}
	return at
}

// layout returns room for all values and where each tensor starts in it.
func layout(want []schema.Tensor) (values []float32, at []int, err error) {
	total := 0
	for _, t := range want {
		n, err := t.Size()
		if err != nil {
			return nil, nil, err
		}
		if at = append(at, total); n > schema.MaxValues-total {
			return nil, nil, fmt.Errorf("%w: more than %d values", ErrMismatch, schema.MaxValues)
		}
		total += n
	}
	return make([]float32, total), at, nil
}

// fits compares a shape with a tensor's; a flat one fits too.
func fits(shape []int, t schema.Tensor) error {
	n, err := t.Size()
	if err != nil {
		return err
	}
	if slices.Equal(shape, t.Shape) || len(shape) == 1 && shape[0] == n {
		return nil
	}
	return fmt.Errorf("%w: tensor %q has shape %v, want %v; cure: save it in that shape, or flat as %d values", ErrMismatch, t.Name, shape, t.Shape, n)
}

// byName returns the place of each tensor.
func byName(want []schema.Tensor) map[string]int {
	places := make(map[string]int, len(want))
	for i, t := range want {
		places[t.Name] = i
	}
	return places
}

func missing(want []schema.Tensor, done map[string]bool) error {
	for _, t := range want {
		if !done[t.Name] {
			return fmt.Errorf("%w: tensor %q is missing: want shape %v", ErrMismatch, t.Name, t.Shape)
		}
	}
	return nil
}

// list names the first few tensors for a message.
func list(want []schema.Tensor) string {
	const few = 5
	var s []string
	for _, t := range want[:min(few, len(want))] {
		s = append(s, fmt.Sprintf("%q%v", t.Name, t.Shape))
	}
	if len(want) > few {
		s = append(s, fmt.Sprintf("and %d more", len(want)-few))
	}
	return strings.Join(s, ", ")
}

// dtype is how one value is stored, little-endian.
type dtype struct {
	bytes int
	value func(b []byte) float32
}

// types by their names in safetensors.
var types = map[string]dtype{
	"F32":  {4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }},
	"F64":  {8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }},
	"F16":  {2, func(b []byte) float32 { return half(binary.LittleEndian.Uint16(b)) }},
	"BF16": {2, func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }},
}

// half converts a binary16 of IEEE 754, exactly.
func half(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // zero and subnormal numbers, units of 2^-24
		x := float32(fraction) * 0x1p-24
		return math.Float32frombits(math.Float32bits(x) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// fill reads all of dst in small steps and returns the bytes read; too few are io.ErrUnexpectedEOF.
func fill(r io.Reader, dst []float32, t dtype) (read int64, err error) {
	buf := make([]byte, min(1<<16, len(dst)*t.bytes))
	for len(dst) > 0 {
		b := buf[:min(len(buf), len(dst)*t.bytes)]
		n, err := io.ReadFull(r, b)
		read += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return read, io.ErrUnexpectedEOF
		}
		if err != nil {
			return read, fmt.Errorf("tensors: %w", err)
		}
		k := len(b) / t.bytes
		for i := range dst[:k] {
			dst[i] = t.value(b[i*t.bytes:])
		}
		dst = dst[k:]
	}
	return read, nil
}

// end fails unless r is at its end.
func end(r io.Reader) error {
	var b [1]byte
	switch n, err := io.ReadFull(r, b[:]); {
	case n > 0:
		return fmt.Errorf("%w: bytes follow the values", ErrFile)
	case err != io.EOF:
		return fmt.Errorf("tensors: %w", err)
	}
	return nil
}
