package arrowipc_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/schema/arrowipc"
)

// Whatever is encoded is read back by the reader of trusted files, and the same arguments give the same bytes.
func TestEncodeTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(0, 40).Draw(t, "rows")
		columns := []arrowipc.Column{
			{Name: "f", Floats: rapid.SliceOfN(rapid.Float64(), rows, rows).Draw(t, "floats")},
			{Name: "i", Ints: rapid.SliceOfN(rapid.Int64(), rows, rows).Draw(t, "ints")},
			{Name: "s ü", Strings: rapid.SliceOfN(rapid.String(), rows, rows).Draw(t, "strings")},
		}
		meta := map[string]string{"b": "2", "a": "1", "c": ""}
		data, err := arrowipc.EncodeTable(columns, meta)
		if err != nil {
			t.Fatal(err)
		}
		again, err := arrowipc.EncodeTable(columns, maps.Clone(meta))
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("encoded twice: other bytes, error %v", err)
		}
		table, err := arrowipc.ReadTable(data)
		if err != nil {
			t.Fatal(err)
		}
		if table.Rows != rows || !slices.Equal(table.Names, []string{"f", "i", "s ü"}) || !maps.Equal(table.Meta, meta) {
			t.Fatalf("read %d rows of %q with %v", table.Rows, table.Names, table.Meta)
		}
		floats, _, err := table.Floats("f")
		if err != nil || !slices.EqualFunc(floats, columns[0].Floats, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			t.Fatalf("floats %v, error %v", floats, err)
		}
		ints, _, err := table.Ints("i")
		if err != nil || !slices.Equal(ints, columns[1].Ints) {
			t.Fatalf("ints %v, error %v", ints, err)
		}
		texts, err := table.Strings("s ü")
		if err != nil || !slices.Equal(texts, columns[2].Strings) {
			t.Fatalf("texts %q, error %v", texts, err)
		}
	})
}

func TestEncodeTableRefuses(t *testing.T) {
	one := []int64{1}
	for name, columns := range map[string][]arrowipc.Column{
		"none":      {},
		"no values": {{Name: "x"}},
		"two kinds": {{Name: "x", Ints: one, Floats: []float64{1}}},
		"twice":     {{Name: "x", Ints: one}, {Name: "x", Ints: one}},
		"length":    {{Name: "x", Ints: one}, {Name: "y", Ints: []int64{}}},
		"name":      {{Name: "", Ints: one}},
		"text":      {{Name: "x", Strings: []string{"\xff"}}},
	} {
		if _, err := arrowipc.EncodeTable(columns, nil); !errors.Is(err, arrowipc.ErrColumn) {
			t.Errorf("%s: error %v, want %v", name, err, arrowipc.ErrColumn)
		}
	}
	if _, err := arrowipc.EncodeTable([]arrowipc.Column{{Name: "x", Ints: one}}, map[string]string{"": "x"}); !errors.Is(err, arrowipc.ErrMetadata) {
		t.Errorf("error %v, want %v", err, arrowipc.ErrMetadata)
	}
}

func ExampleEncodeTable() {
	data, err := arrowipc.EncodeTable([]arrowipc.Column{
		{Name: "round", Strings: []string{"1-0", "2-0"}},
		{Name: "epsilon", Floats: []float64{4.7, 7.1}},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	table, err := arrowipc.ReadTable(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(table.Rows, table.Names)
	// Output: 2 [round epsilon]
}
