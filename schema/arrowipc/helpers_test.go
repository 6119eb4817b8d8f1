package arrowipc_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// model has a scalar, eight dimensions, both dtypes, and a name that is not
// ASCII.
var model = []schema.Tensor{
	{Name: "dense/kernel", DType: "float32", Shape: []int{3, 5}},
	{Name: "dense/bias", DType: "float64", Shape: []int{5}},
	{Name: "échelle", DType: "float32", Shape: []int{}},
	{Name: "deep", DType: "float64", Shape: []int{1, 2, 1, 3, 1, 1, 2, 1}},
	{Name: "odd", DType: "float32", Shape: []int{1, 7}},
}

var modelMeta = map[string]string{
	arrowipc.MetaRoundID:     "r-000000000007-0",
	arrowipc.MetaEpsilon:     "1.25",
	arrowipc.MetaReportCount: "1000",
	arrowipc.MetaReduction:   "sum",
	"empty":                  "",
}

func count(t testing.TB, tensors []schema.Tensor) int {
	t.Helper()
	sum := 0
	for _, tensor := range tensors {
		n, err := tensor.Size()
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// ramp returns n distinct values that float32 holds exactly, with the odd
// ones of IEEE among them.
func ramp(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = float64(i)*0.5 - 7
	}
	for i, v := range []float64{math.Inf(1), math.Inf(-1), math.Copysign(0, -1), math.MaxFloat32} {
		if i+2 < n {
			values[i+2] = v
		}
	}
	return values
}

func narrow(values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "update.arrow")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checked returns an allocator that must be empty when the test ends.
func checked(t *testing.T) memory.Allocator {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return mem
}

// foreign is a column of a file that this package did not write.
type foreign struct {
	name string
	dt   arrow.DataType
	json string // the column, as Arrow's JSON
}

// writeForeign writes the columns with Arrow itself, batches times.
func writeForeign(t *testing.T, batches int, columns []foreign, opts ...ipc.Option) string {
	t.Helper()
	var fields []arrow.Field
	var arrays []arrow.Array
	rows := 0
	for _, c := range columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.dt, Nullable: true})
		a := fromJSON(t, c.dt, c.json)
		arrays, rows = append(arrays, a), a.Len()
	}
	sc := arrow.NewSchema(fields, nil)
	record := array.NewRecord(sc, arrays, int64(rows))
	path := filepath.Join(t.TempDir(), "foreign.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := ipc.NewFileWriter(f, append(opts, ipc.WithSchema(sc))...)
	if err != nil {
		t.Fatal(err)
	}
	for range batches {
		if err := w.Write(record); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
