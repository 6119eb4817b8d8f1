// Package export writes an aggregate as the files that programs read who have no Arrow: .npz and
// safetensors. It is apart from package tensors, which vehicles carry: a vehicle writes no archives.
//
// Call [Write]. Package tensors reads the same formats, strictly.
package export

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path"
	"strings"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/tensors"
)

// MetaMember is the member of an .npz file that holds the metadata, a JSON object of strings: numpy.load(f)["veilsum.json"]
// gives its bytes.
const MetaMember = "veilsum.json"

// writer returns what writes a file of this name.
func writer(name string) func(io.Writer, []schema.Tensor, []float64, map[string]string) error {
	switch strings.ToLower(path.Ext(name)) {
	case ".npz":
		return WriteNpz
	case ".safetensors":
		return WriteSafetensors
	}
	return nil
}

// CanWrite tells whether [Write] knows the format of a file by its name.
func CanWrite(name string) bool { return writer(name) != nil }

// Write writes values, those of all tensors row-major in the order of the tensors, in the format that name says: .npz as
// NumPy has it, or .safetensors. A float32 tensor's values are rounded to the nearest float32. meta goes into the file
// as it is. Equal arguments give equal bytes. It fails with [tensors.ErrFile] for another name and [tensors.ErrMismatch] for another
// number of values.
func Write(w io.Writer, name string, list []schema.Tensor, values []float64, meta map[string]string) error {
	write := writer(name)
	if write == nil {
		return fmt.Errorf("%w: %s: the name says no format; it ends in .npz or .safetensors", tensors.ErrFile, name)
	}
	return write(w, list, values, meta)
}

// WriteSafetensors is [Write] for safetensors. The header is padded with spaces so that the data starts at a multiple of 8 bytes.
func WriteSafetensors(w io.Writer, list []schema.Tensor, values []float64, meta map[string]string) error {
	at, err := written(list, values)
	if err != nil {
		return err
	}
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header, from := map[string]any{}, int64(0)
	for i, t := range list {
		to := from + int64(width(t)*(at[i+1]-at[i]))
		header[t.Name] = entry{map[int]string{4: "F32", 8: "F64"}[width(t)], append([]int{}, t.Shape...), [2]int64{from, to}}
		from = to
	}
	if len(meta) > 0 {
		header["__metadata__"] = meta
	}
	text, err := json.Marshal(header) // sorts the names
	if err != nil {
		return err
	}
	text = append(text, strings.Repeat(" ", (8-len(text)%8)%8)...)
	b := bufio.NewWriter(w)
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))
	b.Write(text)
	for i, t := range list {
		put(b, t, values[at[i]:at[i+1]])
	}
	return b.Flush()
}

// WriteNpz is [Write] for .npz: an uncompressed zip with one NAME.npy for each tensor, version 1.0 (NEP 1), and [MetaMember].
func WriteNpz(w io.Writer, list []schema.Tensor, values []float64, meta map[string]string) error {
	at, err := written(list, values)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for i, t := range list {
		f, err := z.CreateHeader(&zip.FileHeader{Name: t.Name + ".npy", Method: zip.Store})
		if err != nil {
			return err
		}
		b := bufio.NewWriter(f)
		if err := putNpyHeader(b, t); err != nil {
			return err
		}
		put(b, t, values[at[i]:at[i+1]])
		if err := b.Flush(); err != nil {
			return err
		}
	}
	if len(meta) > 0 {
		f, err := z.CreateHeader(&zip.FileHeader{Name: MetaMember, Method: zip.Store})
		if err != nil {
			return err
		}
		text, err := json.Marshal(meta)
		if err != nil {
			return err
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
	}
	return z.Close()
}

// putNpyHeader writes magic, version and the padded dictionary, so that the data starts at a multiple of 64 bytes.
func putNpyHeader(w io.Writer, t schema.Tensor) error {
	shape := make([]string, len(t.Shape))
	for i, n := range t.Shape {
		shape[i] = fmt.Sprintf("%d,", n)
	}
	text := fmt.Sprintf("{'descr': '<f%d', 'fortran_order': False, 'shape': (%s), }", width(t), strings.Join(shape, " "))
	const before = 10
	text += strings.Repeat(" ", (64-(before+len(text)+1)%64)%64) + "\n"
	if len(text) > 1<<16-1 {
		return fmt.Errorf("%w: tensor %.130q has a shape of %d dimensions", tensors.ErrFile, t.Name, len(t.Shape))
	}
	head := append([]byte("\x93NUMPY\x01\x00"), byte(len(text)), byte(len(text)>>8))
	_, err := io.WriteString(w, string(head)+text)
	return err
}

func width(t schema.Tensor) int {
	if t.DType == "float64" {
		return 8
	}
	return 4
}

// written returns where each tensor's values start, and the end, for values of all of them. A name must be a file name of its own.
func written(list []schema.Tensor, values []float64) ([]int, error) {
	at, seen := []int{0}, map[string]bool{"__metadata__": true, strings.TrimSuffix(MetaMember, ".npy"): true}
	for i, t := range list {
		n, err := t.Size()
		if err != nil {
			return nil, err
		}
		if seen[t.Name] || strings.ContainsAny(t.Name, "\\\x00") || path.Clean("/"+t.Name) != "/"+t.Name {
			return nil, fmt.Errorf("%w: tensor %.130q has no name that a file can hold", tensors.ErrFile, t.Name)
		}
		seen[t.Name] = true
		at = append(at, at[i]+n)
	}
	if at[len(list)] != len(values) {
		return nil, fmt.Errorf("%w: %d values for tensors of %d", tensors.ErrMismatch, len(values), at[len(list)])
	}
	return at, nil
}

// put writes values as the tensor's type; the writer keeps the error.
func put(w *bufio.Writer, t schema.Tensor, values []float64) {
	var b [8]byte
	for _, x := range values {
		if width(t) == 8 {
			binary.LittleEndian.PutUint64(b[:], math.Float64bits(x))
		} else {
			binary.LittleEndian.PutUint32(b[:], math.Float32bits(float32(x)))
		}
		w.Write(b[:width(t)])
	}
}
