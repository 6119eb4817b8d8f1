package export_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/tensors"
	"github.com/veilsum/veilsum/schema/tensors/export"
)

// model is what testdata/read.py expects.
var model = []schema.Tensor{
	{Name: "a", DType: "float32", Shape: []int{2, 3}},
	{Name: "b", DType: "float32", Shape: []int{}},
	{Name: "c", DType: "float64", Shape: []int{5}},
}

func modelMean() []float64 {
	v := make([]float64, 12)
	for i := range v {
		v[i] = float64(i) + 0.5
	}
	return v
}

// TestWriteReadsBack: what is written is what the strict readers of this package take.
func TestWriteReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := []schema.Tensor{
			{Name: "layer.0/weight", DType: "float32", Shape: []int{rapid.IntRange(1, 4).Draw(t, "rows"), rapid.IntRange(1, 5).Draw(t, "columns")}},
			{Name: "bias", DType: "float32", Shape: []int{rapid.IntRange(1, 9).Draw(t, "bias")}},
			{Name: "scale", DType: "float64", Shape: []int{}},
		}
		n := all[0].Shape[0]*all[0].Shape[1] + all[1].Shape[0] + 1
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(rapid.Float32Range(-1e9, 1e9).Draw(t, "value"))
		}
		meta := map[string]string{"round": rapid.String().Draw(t, "meta")}
		var safe, npz bytes.Buffer
		if err := export.WriteSafetensors(&safe, all, values, meta); err != nil {
			t.Fatal(err)
		}
		got, err := tensors.ReadSafetensors(&safe, all)
		if err != nil || !equal(got, values) {
			t.Fatalf("safetensors: %v (%v), want %v", got, err, values)
		}
		if err := export.WriteNpz(&npz, all, values, meta); err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(npz.Bytes()), int64(npz.Len()))
		if err != nil || len(z.File) != 4 {
			t.Fatalf("%d members (%v)", len(z.File), err)
		}
		at := 0
		for i, x := range all {
			f, err := z.File[i].Open()
			if err != nil {
				t.Fatal(err)
			}
			got, err := tensors.ReadNpy(f, all[i:i+1])
			if err != nil || !equal(got, values[at:at+len(got)]) {
				t.Fatalf("%s: %v (%v)", x.Name, got, err)
			}
			at += len(got)
		}
	})
}

func equal(a []float32, b []float64) bool {
	return slices.EqualFunc(a, b, func(x float32, y float64) bool { return x == float32(y) })
}

func TestWriteRefuses(t *testing.T) {
	one := func(name string) []schema.Tensor {
		return []schema.Tensor{{Name: name, DType: "float32", Shape: []int{1}}}
	}
	for name, c := range map[string]struct {
		file    string
		tensors []schema.Tensor
		want    error
	}{
		"no format":   {"mean.txt", one("a"), tensors.ErrFile},
		"count":       {"mean.npz", model, tensors.ErrMismatch},
		"twice":       {"mean.safetensors", append(one("a"), one("a")...), tensors.ErrFile},
		"climbs":      {"mean.npz", one("../a"), tensors.ErrFile},
		"meta's name": {"mean.safetensors", one("__metadata__"), tensors.ErrFile},
	} {
		if err := export.Write(&bytes.Buffer{}, c.file, c.tensors, []float64{1}, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := export.Write(failing{}, "a.npz", one("a"), []float64{1}, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a failing writer: %v", err)
	}
	if err := export.Write(failing{}, "a.safetensors", one("a"), []float64{1}, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a failing writer: %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }

// TestPythonReadsWhatIsWritten lets NumPy and safetensors read both formats.
func TestPythonReadsWhatIsWritten(t *testing.T) {
	interpreter := os.Getenv("VEILSUM_PYTHON")
	if interpreter == "" {
		t.Skip("VEILSUM_PYTHON names no Python with numpy and safetensors")
	}
	dir, values := t.TempDir(), modelMean()
	values[11] = math.Pi // of a float64 tensor: all its digits
	for _, name := range []string{"mean.npz", "mean.safetensors"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := export.Write(f, name, model, values, map[string]string{"epsilon": "1.5"}); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	out, err := exec.Command(interpreter, "testdata/read.py", dir).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Fatalf("%v\n%s", err, out)
	}
}

func Example() {
	var b bytes.Buffer
	err := export.Write(&b, "mean.safetensors", []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{2}}}, []float64{0.5, 1}, nil)
	fmt.Println(err, b.Len())
	// Output: <nil> 72
}
