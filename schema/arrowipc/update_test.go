package arrowipc_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

var (
	f32 = arrow.PrimitiveTypes.Float32
	f64 = arrow.PrimitiveTypes.Float64
)

func fromJSON(t *testing.T, dt arrow.DataType, text string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestUpdateRoundTrip(t *testing.T) {
	values := narrow(ramp(count(t, model)))
	data, err := arrowipc.EncodeUpdate(model, values)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, data)
	got, err := arrowipc.ReadUpdateWith(checked(t), path, model)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, values) {
		t.Errorf("read %v, wrote %v", got, values)
	}
	tensors, err := arrowipc.ReadSchemaWith(checked(t), path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(model, tensors); diff != "" {
		t.Errorf("schema (-written +read):\n%s", diff)
	}
}

// The order of the file is not the order of the task.
func TestReadUpdateByName(t *testing.T) {
	values := narrow(ramp(count(t, model)))
	data, err := arrowipc.EncodeUpdate(model, values)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(model)
	slices.Reverse(want)
	got, err := arrowipc.ReadUpdate(write(t, data), want)
	if err != nil {
		t.Fatal(err)
	}
	var reordered []float32
	for _, tensor := range want {
		from := 0
		for _, m := range model {
			n, _ := m.Size()
			if m.Name == tensor.Name {
				reordered = append(reordered, values[from:from+n]...)
			}
			from += n
		}
	}
	if !slices.Equal(got, reordered) {
		t.Errorf("read %v, want %v", got, reordered)
	}
}

func TestUpdateRoundTripProperty(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		var tensors []schema.Tensor
		for i := range rapid.IntRange(1, 5).Draw(t, "tensors") {
			tensors = append(tensors, schema.Tensor{
				Name:  fmt.Sprint(i, rapid.StringN(0, 20, 60).Draw(t, "name")),
				DType: rapid.SampledFrom([]string{"float32", "float64"}).Draw(t, "dtype"),
				Shape: rapid.SliceOfN(rapid.IntRange(1, 3), 0, 8).Draw(t, "shape"),
			})
		}
		n := 0
		for _, tensor := range tensors {
			size, _ := tensor.Size()
			n += size
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i) * 0.25
		}
		data, err := arrowipc.EncodeUpdate(tensors, values)
		if err != nil {
			t.Fatal(err)
		}
		path := dir + "/u.arrow"
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := arrowipc.ReadUpdate(path, tensors)
		if err != nil || !slices.Equal(got, values) {
			t.Fatalf("read %v, %v; wrote %v", got, err, values)
		}
		if s, err := arrowipc.ReadSchema(path); err != nil || cmp.Diff(tensors, s) != "" {
			t.Fatalf("schema %v, %v; wrote %v", s, err, tensors)
		}
	})
}

// Every layout that a user may have at hand gives the same update.
func TestReadUpdateLayouts(t *testing.T) {
	want := []schema.Tensor{
		{Name: "w", DType: "float32", Shape: []int{2, 3}},
		{Name: "b", DType: "float32", Shape: []int{1}},
	}
	values := []float32{1, 2, 3, 4, 5, 6, -0.5}
	large := arrow.LargeListOf(f32)
	table := []foreign{
		{"name", arrow.BinaryTypes.String, `["b","w"]`},
		{"shape", arrow.ListOf(arrow.PrimitiveTypes.Int64), `[[1],[2,3]]`},
		{"values", large, `[[-0.5],[1,2,3,4,5,6]]`},
	}
	layouts := map[string][]foreign{
		"flat fixed-size list": {{"w", arrow.FixedSizeListOf(6, f32), `[[1,2,3,4,5,6]]`}, {"b", f32, `[-0.5]`}},
		"nested fixed-size list": {
			{"w", arrow.FixedSizeListOf(2, arrow.FixedSizeListOf(3, f32)), `[[[1,2,3],[4,5,6]]]`},
			{"b", arrow.FixedSizeListOf(1, f32), `[[-0.5]]`},
		},
		"list": {{"b", arrow.ListOf(f32), `[[-0.5]]`}, {"w", large, `[[1,2,3,4,5,6]]`}},
		"list of fixed-size lists": {
			{"w", arrow.ListOf(arrow.FixedSizeListOf(3, f32)), `[[[1,2,3],[4,5,6]]]`},
			{"b", f32, `[-0.5]`},
		},
		"table": table,
	}
	for name, columns := range layouts {
		for codec, opts := range map[string][]ipc.Option{"plain": nil, "zstd": {ipc.WithZstd()}, "lz4": {ipc.WithLZ4()}} {
			t.Run(name+"/"+codec, func(t *testing.T) {
				got, err := arrowipc.ReadUpdateWith(checked(t), writeForeign(t, 1, columns, opts...), want)
				if err != nil || !slices.Equal(got, values) {
					t.Errorf("read %v, %v, want %v", got, err, values)
				}
			})
		}
	}
}

func TestReadUpdateConvertsFloat64(t *testing.T) {
	want := []schema.Tensor{{Name: "w", DType: "float64", Shape: []int{2}}}
	path := writeForeign(t, 1, []foreign{{"w", arrow.FixedSizeListOf(2, f64), `[[0.1, -3.5]]`}})
	got, err := arrowipc.ReadUpdate(path, want)
	if err != nil || !slices.Equal(got, []float32{float32(0.1), -3.5}) {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestReadUpdateRefuses(t *testing.T) {
	want := []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{2, 3}}, {Name: "b", DType: "float32"}}
	w := foreign{"w", arrow.FixedSizeListOf(6, f32), `[[1,2,3,4,5,6]]`}
	b := foreign{"b", f32, `[0.5]`}
	i64s := arrow.ListOf(arrow.PrimitiveTypes.Int64)
	cases := map[string]struct {
		columns []foreign
		batches int
		err     error
		says    []string // what the message must contain
	}{
		"missing":     {[]foreign{w}, 1, arrowipc.ErrMismatch, []string{`"b"`, "missing"}},
		"extra":       {[]foreign{w, b, {"c", f32, `[1]`}}, 1, arrowipc.ErrMismatch, []string{`"c"`, `"w", "b"`}},
		"twice":       {[]foreign{w, b, b}, 1, arrowipc.ErrMismatch, []string{`"b"`}},
		"flat shape":  {[]foreign{{"w", arrow.FixedSizeListOf(5, f32), `[[1,2,3,4,5]]`}, b}, 1, arrowipc.ErrMismatch, []string{`"w"`, "[5]", "[2 3]"}},
		"turned":      {[]foreign{{"w", arrow.FixedSizeListOf(3, arrow.FixedSizeListOf(2, f32)), `[[[1,2],[3,4],[5,6]]]`}, b}, 1, arrowipc.ErrMismatch, []string{`"w"`, "[3 2]", "[2 3]"}},
		"dtype":       {[]foreign{{"w", arrow.FixedSizeListOf(6, f64), `[[1,2,3,4,5,6]]`}, b}, 1, arrowipc.ErrMismatch, []string{`"w"`, "float64", "float32"}},
		"integers":    {[]foreign{{"w", arrow.FixedSizeListOf(6, arrow.PrimitiveTypes.Int32), `[[1,2,3,4,5,6]]`}, b}, 1, arrowipc.ErrFile, []string{`"w"`, "int32"}},
		"null row":    {[]foreign{{"w", w.dt, `[null]`}, b}, 1, arrowipc.ErrFile, []string{`"w"`, "null"}},
		"null value":  {[]foreign{{"w", w.dt, `[[1,2,3,4,5,null]]`}, b}, 1, arrowipc.ErrFile, []string{`"w"`, "null"}},
		"null scalar": {[]foreign{w, {"b", f32, `[null]`}}, 1, arrowipc.ErrFile, []string{`"b"`, "null"}},
		"two rows":    {[]foreign{{"w", w.dt, `[[1,2,3,4,5,6],[1,2,3,4,5,6]]`}, {"b", f32, `[1,2]`}}, 1, arrowipc.ErrFile, []string{"2 rows"}},
		"no rows":     {[]foreign{{"w", w.dt, `[]`}, {"b", f32, `[]`}}, 1, arrowipc.ErrFile, []string{"0 rows"}},
		"two batches": {[]foreign{w, b}, 2, arrowipc.ErrFile, []string{"2 record batches"}},
		"no batch":    {[]foreign{w, b}, 0, arrowipc.ErrFile, []string{"0 record batches"}},
		"ragged":      {[]foreign{{"w", arrow.ListOf(arrow.ListOf(f32)), `[[[1,2],[3,4,5,6]]]`}, b}, 1, arrowipc.ErrFile, []string{`"w"`}},
		"empty list":  {[]foreign{{"w", arrow.ListOf(f32), `[[]]`}, b}, 1, arrowipc.ErrMismatch, []string{`"w"`, "[0]"}},
		"table shape": {[]foreign{
			{"name", arrow.BinaryTypes.String, `["b","w"]`},
			{"shape", i64s, `[[],[3,2]]`},
			{"values", arrow.ListOf(f32), `[[1],[1,2,3,4,5,6]]`},
		}, 1, arrowipc.ErrMismatch, []string{`"w"`, "[3 2]", "[2 3]"}},
		"table count": {[]foreign{
			{"name", arrow.BinaryTypes.String, `["b","w"]`},
			{"shape", i64s, `[[],[2,3]]`},
			{"values", arrow.ListOf(f32), `[[1],[1,2,3,4,5]]`},
		}, 1, arrowipc.ErrFile, []string{`"w"`, "5 values"}},
		"table dimension": {[]foreign{
			{"name", arrow.BinaryTypes.String, `["b","w"]`},
			{"shape", i64s, `[[],[-2,-3]]`},
			{"values", arrow.ListOf(f32), `[[1],[1,2,3,4,5,6]]`},
		}, 1, arrowipc.ErrFile, []string{`"w"`, "-2"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := writeForeign(t, c.batches, c.columns)
			_, err := arrowipc.ReadUpdateWith(checked(t), path, want)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			for _, s := range append(c.says, path) {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

// A tensor that states its shape must state the right one, even when the size
// is right.
func TestReadUpdateStatedShape(t *testing.T) {
	data, err := arrowipc.EncodeUpdate([]schema.Tensor{{Name: "w", DType: "float32", Shape: []int{6}}}, make([]float32, 6))
	if err != nil {
		t.Fatal(err)
	}
	_, err = arrowipc.ReadUpdate(write(t, data), []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{2, 3}}})
	if !errors.Is(err, arrowipc.ErrMismatch) {
		t.Errorf("error %v, want %v", err, arrowipc.ErrMismatch)
	}
}

func TestReadUpdateRefusesFiles(t *testing.T) {
	want := []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{2}}}
	good, err := arrowipc.EncodeUpdate(want, []float32{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"empty":     {},
		"text":      []byte("w,1,2\n"),
		"magic":     []byte("ARROW1"),
		"truncated": good[:len(good)-20],
		"too large": append(bytes.Clone(good), make([]byte, 5<<20)...),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := arrowipc.ReadUpdate(write(t, data), want); !errors.Is(err, arrowipc.ErrFile) {
				t.Errorf("error %v, want %v", err, arrowipc.ErrFile)
			}
		})
	}
	if _, err := arrowipc.ReadUpdate(t.TempDir(), want); !errors.Is(err, arrowipc.ErrFile) {
		t.Errorf("directory: error %v, want %v", err, arrowipc.ErrFile)
	}
	if _, err := arrowipc.ReadUpdate(t.TempDir()+"/none", want); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: error %v, want %v", err, os.ErrNotExist)
	}
}

// A local file may be damaged: what panics inside Arrow must come back as an
// error. (Memory exhaustion could not be caught; the cuts are the same in every
// run, and none of them leads there.)
func TestReadUpdateDamaged(t *testing.T) {
	values := narrow(ramp(count(t, model)))
	data, err := arrowipc.EncodeUpdate(model, values)
	if err != nil {
		t.Fatal(err)
	}
	path, refused := t.TempDir()+"/u.arrow", 0
	for cut := 0; cut < len(data); cut += 7 { // removes a piece, keeps both ends
		broken := append(bytes.Clone(data[:cut/2]), data[cut:]...)
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := arrowipc.ReadUpdate(path, model)
		if err != nil {
			refused++
		} else if len(got) != len(values) {
			t.Errorf("cut %d: %d values", cut, len(got))
		}
	}
	if refused == 0 {
		t.Error("no damaged file was refused")
	}
}

func TestEncodeUpdateRefuses(t *testing.T) {
	if _, err := arrowipc.EncodeUpdate(model, make([]float32, 3)); !errors.Is(err, arrowipc.ErrMismatch) {
		t.Errorf("error %v, want %v", err, arrowipc.ErrMismatch)
	}
	for name, tensors := range badTensors() {
		if _, err := arrowipc.EncodeUpdate(tensors, nil); !errors.Is(err, schema.ErrTensor) {
			t.Errorf("%s: error %v, want %v", name, err, schema.ErrTensor)
		}
		if _, err := arrowipc.ReadUpdate("none", tensors); !errors.Is(err, schema.ErrTensor) {
			t.Errorf("%s: read: error %v, want %v", name, err, schema.ErrTensor)
		}
	}
}

func badTensors() map[string][]schema.Tensor {
	one := func(t schema.Tensor) []schema.Tensor { return []schema.Tensor{t} }
	big := schema.Tensor{Name: "a", DType: "float32", Shape: []int{1 << 30}}
	big2, big3 := big, big
	big2.Name, big3.Name = "b", "c"
	return map[string][]schema.Tensor{
		"none":     nil,
		"no name":  one(schema.Tensor{DType: "float32"}),
		"long":     one(schema.Tensor{Name: strings.Repeat("n", 129), DType: "float32"}),
		"not utf8": one(schema.Tensor{Name: "\xff", DType: "float32"}),
		"dtype":    one(schema.Tensor{Name: "w", DType: "float16"}),
		"zero":     one(schema.Tensor{Name: "w", DType: "float32", Shape: []int{3, 0}}),
		"negative": one(schema.Tensor{Name: "w", DType: "float32", Shape: []int{-1, -1}}),
		"overflow": one(schema.Tensor{Name: "w", DType: "float32", Shape: []int{1 << 30, 1 << 30, 1 << 30}}),
		"nine":     one(schema.Tensor{Name: "w", DType: "float32", Shape: []int{1, 1, 1, 1, 1, 1, 1, 1, 1}}),
		"twice":    {model[0], model[0]},
		"sum":      {big, big2, big3},
	}
}
