package arrowipc_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// python runs testdata/interop.py, or skips the test.
func python(t *testing.T, args ...string) {
	t.Helper()
	interpreter := os.Getenv("VEILSUM_PYTHON")
	if interpreter == "" {
		t.Skip("VEILSUM_PYTHON names no Python with pyarrow, polars and duckdb; " +
			"make one: python3 -m venv V && V/bin/pip install -r schema/arrowipc/testdata/requirements.txt, " +
			"then set VEILSUM_PYTHON=V/bin/python")
	}
	out, err := exec.Command(interpreter, append([]string{"testdata/interop.py"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("interop.py %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// pyarrow, Polars and DuckDB find in an aggregate what was put there.
func TestInteropAggregate(t *testing.T) {
	type tensor struct {
		Name   string    `json:"name"`
		DType  string    `json:"dtype"`
		Shape  []int     `json:"shape"`
		Values []float64 `json:"values"`
	}
	var expected struct {
		Tensors []tensor          `json:"tensors"`
		Meta    map[string]string `json:"meta"`
	}
	values := make([]float64, count(t, model))
	for i := range values {
		values[i] = float64(i)*0.5 - 7
	}
	from := 0
	for _, m := range model {
		n, _ := m.Size()
		expected.Tensors = append(expected.Tensors, tensor{m.Name, m.DType, m.Shape, values[from : from+n]})
		from += n
	}
	expected.Meta = maps.Clone(modelMeta)
	expected.Meta[arrowipc.MetaFormat] = arrowipc.AggregateFormat
	text, err := json.Marshal(expected)
	if err != nil {
		t.Fatal(err)
	}
	data, err := arrowipc.EncodeAggregate(model, values, modelMeta)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, data)
	if err := os.WriteFile(path+".json", text, 0o600); err != nil {
		t.Fatal(err)
	}
	python(t, "check", path, path+".json")
}

// Updates written by pyarrow and Polars are read, and those that cannot be
// meant are refused.
func TestInteropUpdates(t *testing.T) {
	dir := t.TempDir()
	python(t, "write", dir)
	paths, err := filepath.Glob(filepath.Join(dir, "*.arrow"))
	if err != nil || len(paths) != 2*(3*4+3)+2 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	var want []float32
	for i := range 24 {
		want = append(want, 0.5*float32(i))
	}
	want = append(want, -1.5, 2.25)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			dtype := "float32"
			if strings.Contains(path, "float64") {
				dtype = "float64"
			}
			tensors := []schema.Tensor{{Name: "w", DType: dtype, Shape: []int{2, 3, 4}}, {Name: "b", DType: dtype, Shape: []int{2}}}
			got, err := arrowipc.ReadUpdateWith(checked(t), path, tensors)
			switch refuse := strings.HasPrefix(filepath.Base(path), "refuse"); {
			case refuse && err == nil:
				t.Error("accepted")
			case !refuse && (err != nil || !slices.Equal(got, want)):
				t.Errorf("read %v, %v", got, err)
			}
			if refuse := err != nil; refuse {
				t.Log(err)
			}
		})
	}
}
