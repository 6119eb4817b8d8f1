package arrowipc_test

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/veilsum/veilsum/schema/arrowipc"
)

const dataDir = "../../cmd/veilsum/data/"

func readTable(t *testing.T, path string) *arrowipc.Table {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := arrowipc.ReadTableWith(checked(t), data)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestInertial(t *testing.T) {
	table := readTable(t, dataDir+"inertial.arrow")
	if want := []string{"recording", "subject", "side", "label", "features"}; table.Rows != 4677 || !slices.Equal(table.Names, want) {
		t.Fatalf("%d rows, columns %q", table.Rows, table.Names)
	}
	for name, distinct := range map[string]int{"recording": 140, "subject": 10, "label": 7} {
		values, width, err := table.Ints(name)
		if err != nil || width != 1 || len(values) != table.Rows {
			t.Fatalf("%s: %d values of width %d, %v", name, len(values), width, err)
		}
		slices.Sort(values)
		if got := len(slices.Compact(values)); got != distinct {
			t.Errorf("%s has %d distinct values, want %d", name, got, distinct)
		}
	}
	sides, err := table.Strings("side")
	if err != nil || len(sides) != table.Rows || sides[0] != "1.0" {
		t.Errorf("side: %d values, %v", len(sides), err)
	}
	features, width, err := table.Floats("features")
	if err != nil || width != 30 || len(features) != 30*table.Rows {
		t.Fatalf("features: %d values of width %d, %v", len(features), width, err)
	}
	if features[0] != float64(float32(-1.1750835)) {
		t.Errorf("first feature is %v", features[0])
	}
	if low, high := slices.Min(features), slices.Max(features); low != -28.959516525268555 || high != 12.73813247680664 {
		t.Errorf("features lie in [%v, %v]", low, high)
	}
	if got := table.Meta["labels"]; got != `["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]` {
		t.Errorf("labels %s", got)
	}
}

func TestDigits(t *testing.T) {
	table := readTable(t, dataDir+"digits.arrow")
	pixels, width, err := table.Ints("pixels")
	if err != nil || width != 784 || table.Rows != 10000 || len(pixels) != 784*10000 {
		t.Fatalf("%d rows, %d pixels of width %d, %v", table.Rows, len(pixels), width, err)
	}
	if slices.Min(pixels) != 0 || slices.Max(pixels) != 255 {
		t.Errorf("pixels lie in [%d, %d]", slices.Min(pixels), slices.Max(pixels))
	}
	labels, width, err := table.Floats("label")
	if err != nil || width != 1 || len(labels) != 10000 || labels[0] != 5 {
		t.Errorf("%d labels of width %d, %v", len(labels), width, err)
	}
}

// Batches follow one another.
func TestReadTableBatches(t *testing.T) {
	path := writeForeign(t, 2, []foreign{
		{"id", arrow.PrimitiveTypes.Int64, `[1,2]`},
		{"x", arrow.FixedSizeListOf(2, f64), `[[0.5,1],[2,3]]`},
		{"s", arrow.BinaryTypes.String, `["a","b"]`},
	})
	table := readTable(t, path)
	ids, _, err1 := table.Ints("id")
	xs, width, err2 := table.Floats("x")
	texts, err3 := table.Strings("s")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids, []int64{1, 2, 1, 2}) || width != 2 || !slices.Equal(xs, []float64{.5, 1, 2, 3, .5, 1, 2, 3}) ||
		!slices.Equal(texts, []string{"a", "b", "a", "b"}) || table.Rows != 4 {
		t.Errorf("ids %v, xs %v, texts %v", ids, xs, texts)
	}
	for _, err := range []error{
		second(table.Ints("x")), second(table.Ints("s")), second(table.Ints("none")),
		second(table.Floats("s")), second(table.Floats("none")),
	} {
		if !errors.Is(err, arrowipc.ErrColumn) {
			t.Errorf("error %v, want %v", err, arrowipc.ErrColumn)
		}
	}
	if _, err := table.Strings("id"); !errors.Is(err, arrowipc.ErrColumn) {
		t.Errorf("error %v, want %v", err, arrowipc.ErrColumn)
	}
}

func second[T any](_ []T, _ int, err error) error { return err }

func TestReadTableRefuses(t *testing.T) {
	i64 := arrow.PrimitiveTypes.Int64
	for name, columns := range map[string][]foreign{
		"null":       {{"x", i64, `[1,null]`}},
		"inner null": {{"x", arrow.FixedSizeListOf(2, i64), `[[1,null]]`}},
		"twice":      {{"x", i64, `[1]`}, {"x", i64, `[1]`}},
		"bool":       {{"x", arrow.FixedWidthTypes.Boolean, `[true]`}},
		"list":       {{"x", arrow.ListOf(i64), `[[1]]`}},
		"nested":     {{"x", arrow.FixedSizeListOf(1, arrow.FixedSizeListOf(1, i64)), `[[[1]]]`}},
	} {
		data, err := os.ReadFile(writeForeign(t, 1, columns))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := arrowipc.ReadTableWith(checked(t), data); !errors.Is(err, arrowipc.ErrFile) {
			t.Errorf("%s: error %v, want %v", name, err, arrowipc.ErrFile)
		}
	}
	if _, err := arrowipc.ReadTable([]byte("text")); !errors.Is(err, arrowipc.ErrFile) {
		t.Errorf("text: error %v, want %v", err, arrowipc.ErrFile)
	}
}
