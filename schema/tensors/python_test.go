package tensors_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/tensors"
)

// model is what testdata/write.py writes.
var model = []schema.Tensor{
	{Name: "a", DType: "float32", Shape: []int{2, 3}},
	{Name: "b", DType: "float32", Shape: []int{}},
	{Name: "c", DType: "float64", Shape: []int{5}},
}

func modelValues() []float32 {
	v := make([]float32, 12)
	for i := range v {
		v[i] = float32(i) + 0.5
	}
	return v
}

// TestPython reads what NumPy and safetensors write.
func TestPython(t *testing.T) {
	interpreter := os.Getenv("VEILSUM_PYTHON")
	if interpreter == "" {
		t.Skip("VEILSUM_PYTHON names no Python with numpy and safetensors: python3 -m venv V && V/bin/pip install -r .ci/python/requirements.txt, then VEILSUM_PYTHON=V/bin/python")
	}
	dir := t.TempDir()
	if out, err := exec.Command(interpreter, "testdata/write.py", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v (cure, if a module is missing: pip install -r .ci/python/requirements.txt)\n%s", err, out)
	}
	for _, name := range []string{
		"raw.f32", "flatf2.npy", "flatf4.npy", "flatf8.npy", "folderf2", "folderf4", "folderf8", "version1.npy", "version2.npy", "version3.npy",
		"f2.safetensors", "f4.safetensors", "f8.safetensors",
	} {
		if got, err := tensors.Read(filepath.Join(dir, name), model); err != nil || !slices.Equal(got, modelValues()) {
			t.Errorf("%s: %v (%v)", name, got, err)
		}
	}
	for name, want := range map[string]string{
		"big.npy": `type ">f4"; cure`, "fortran.npy": "Fortran order; cure", "integers.npy": `type "<i4"; cure`, "pickled.npy": `type "|O"; cure`,
		"integers.safetensors": `is of type "I32"; cure`, "turned.safetensors": `tensor "a" has shape [3 2], want [2 3]; cure`,
	} {
		_, err := tensors.Read(filepath.Join(dir, name), model)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, tensors.ErrFile) && !errors.Is(err, tensors.ErrMismatch) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	parts := []tensors.Part{{Name: "c", Path: filepath.Join(dir, "folderf8/c.npy")}, {Name: "a", Path: filepath.Join(dir, "folderf4/a.npy")}, {Name: "b", Path: filepath.Join(dir, "folderf2/b.npy")}}
	if got, err := tensors.ReadParts(parts, model); err != nil || !slices.Equal(got, modelValues()) {
		t.Errorf("%v (%v)", got, err)
	}
}
