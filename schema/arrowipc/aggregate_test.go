package arrowipc_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/google/go-cmp/cmp"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

func encode(t testing.TB) ([]byte, []float64) {
	t.Helper()
	values := ramp(count(t, model))
	data, err := arrowipc.EncodeAggregate(model, values, modelMeta)
	if err != nil {
		t.Fatal(err)
	}
	return data, values
}

func TestAggregateRoundTrip(t *testing.T) {
	data, values := encode(t)
	got, err := arrowipc.DecodeAggregate(data, sha256.Sum256(data), model, modelMeta)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, values) {
		t.Errorf("read %v, wrote %v", got, values)
	}
	opened, err := arrowipc.OpenAggregate(data, sha256.Sum256(data))
	if err != nil {
		t.Fatal(err)
	}
	meta := maps.Clone(modelMeta)
	meta[arrowipc.MetaFormat] = arrowipc.AggregateFormat
	if diff := cmp.Diff(&arrowipc.Aggregate{Tensors: model, Meta: meta, Values: values}, opened); diff != "" {
		t.Errorf("opened (-written +read):\n%s", diff)
	}
}

// Arrow's own reader agrees with what was written.
func TestAggregateIsArrow(t *testing.T) {
	if err := arrowipc.Register(); err != nil {
		t.Fatal(err)
	}
	data, _ := encode(t)
	r, err := ipc.NewFileReader(bytes.NewReader(data), ipc.WithAllocator(checked(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	keys := r.Schema().Metadata().Keys()
	if !slices.IsSorted(keys) || len(keys) != len(modelMeta)+1 {
		t.Errorf("metadata keys %q", keys)
	}
	got, err := arrowipc.ReadUpdate(write(t, data), model)
	if err != nil || !slices.Equal(got, narrow(ramp(len(got)))) {
		t.Errorf("read %v, %v", got, err)
	}
}

// The bytes of the format are pinned: a change of the writer, of Arrow, or of
// a map's order would change this hash and break the reproducibility of receipts.
func TestAggregateBytesArePinned(t *testing.T) {
	const want = "83943d721c9bea106048610234b4a0aea01900b2772548614a8d98ccd8a617a6"
	for range 5 {
		data, _ := encode(t)
		if got := hexSum(data); got != want {
			t.Fatalf("SHA-256 of the file is %s, want %s", got, want)
		}
	}
}

// A float32 tensor holds the nearest float32, a float64 tensor the value.
func TestAggregateHonorsDType(t *testing.T) {
	tensors := []schema.Tensor{{Name: "a", DType: "float32"}, {Name: "b", DType: "float64"}}
	data, err := arrowipc.EncodeAggregate(tensors, []float64{0.1, 0.1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := arrowipc.DecodeAggregate(data, sha256.Sum256(data), tensors, nil)
	if err != nil || !slices.Equal(got, []float64{float64(float32(0.1)), 0.1}) {
		t.Errorf("read %v, %v", got, err)
	}
}

// NaN payloads pass through untouched.
func TestAggregateKeepsNaN(t *testing.T) {
	tensors := []schema.Tensor{{Name: "b", DType: "float64"}}
	nan := math.Float64frombits(0x7ff8000000abcdef)
	data, err := arrowipc.EncodeAggregate(tensors, []float64{nan}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := arrowipc.DecodeAggregate(data, sha256.Sum256(data), tensors, nil)
	if err != nil || math.Float64bits(got[0]) != math.Float64bits(nan) {
		t.Errorf("read %v, %v", got, err)
	}
}

// The canonical guard: with the hash of the changed bytes, a change is seen
// if, and only if, it is outside the values.
func TestGuardSeesEveryByte(t *testing.T) {
	data, values := encode(t)
	bodies, size, err := arrowipc.Bodies(model, modelMeta)
	if err != nil || size != len(data) {
		t.Fatalf("size %d, %v; the file has %d bytes", size, err, len(data))
	}
	inBody := make([]bool, len(data))
	covered := 0
	for _, b := range bodies {
		for i := b[0]; i < b[1]; i++ {
			inBody[i] = true
			covered++
		}
	}
	if want := 4*(15+1+7) + 8*(5+12); covered != want {
		t.Fatalf("bodies cover %d bytes, want %d", covered, want)
	}
	for i := range data {
		broken := bytes.Clone(data)
		broken[i] ^= 0x10
		got, err := arrowipc.DecodeAggregate(broken, sha256.Sum256(broken), model, modelMeta)
		if inBody[i] {
			if err != nil || slices.Equal(got, values) {
				t.Fatalf("byte %d, of a value: error %v", i, err)
			}
		} else if !errors.Is(err, arrowipc.ErrNotAuthentic) {
			t.Fatalf("byte %d, outside the values: error %v", i, err)
		}
		if _, err := arrowipc.OpenAggregate(broken, sha256.Sum256(broken)); !inBody[i] && err == nil {
			// A letter of a name or a metadata value occurs twice (message and
			// footer), so no single change is canonical.
			t.Fatalf("byte %d, outside the values: opened", i)
		}
	}
}

func TestDecodeAggregateRefuses(t *testing.T) {
	data, _ := encode(t)
	sum := sha256.Sum256(data)
	meta := maps.Clone(modelMeta)
	meta[arrowipc.MetaEpsilon] = "1.26"
	renamed := slices.Clone(model)
	renamed[0].Name = "dense/kerneq"
	reshaped := slices.Clone(model)
	reshaped[0].Shape = []int{5, 3}
	retyped := slices.Clone(model)
	retyped[4].DType = "float64"
	swapped := slices.Clone(model)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	huge := []schema.Tensor{{Name: "w", DType: "float64", Shape: []int{schema.MaxValues}}}
	cases := map[string]struct {
		data    []byte
		sum     [32]byte
		tensors []schema.Tensor
		meta    map[string]string
	}{
		"hash":      {data, [32]byte{1}, model, modelMeta},
		"metadata":  {data, sum, model, meta},
		"no meta":   {data, sum, model, nil},
		"name":      {data, sum, renamed, modelMeta},
		"shape":     {data, sum, reshaped, modelMeta},
		"dtype":     {data, sum, retyped, modelMeta},
		"order":     {data, sum, swapped, modelMeta},
		"huge":      {data, sum, huge, modelMeta},
		"truncated": {data[:len(data)-1], sha256.Sum256(data[:len(data)-1]), model, modelMeta},
		"empty":     {nil, sha256.Sum256(nil), model, modelMeta},
	}
	for name, c := range cases {
		if _, err := arrowipc.DecodeAggregate(c.data, c.sum, c.tensors, c.meta); !errors.Is(err, arrowipc.ErrNotAuthentic) {
			t.Errorf("%s: error %v, want %v", name, err, arrowipc.ErrNotAuthentic)
		}
	}
	if _, err := arrowipc.OpenAggregate(data, [32]byte{}); !errors.Is(err, arrowipc.ErrNotAuthentic) {
		t.Errorf("open: error %v, want %v", err, arrowipc.ErrNotAuthentic)
	}
}

func TestEncodeAggregateRefuses(t *testing.T) {
	values := make([]float64, count(t, model))
	many := make(map[string]string)
	for i := range 64 {
		many[strings.Repeat("k", i+1)] = ""
	}
	for name, meta := range map[string]map[string]string{
		"format":     {arrowipc.MetaFormat: "veilsum-aggregate/2"},
		"no key":     {"": "x"},
		"long key":   {strings.Repeat("k", 129): "x"},
		"long value": {"k": strings.Repeat("v", 4097)},
		"not utf8":   {"k": "\xff"},
		"many":       many,
	} {
		if _, err := arrowipc.EncodeAggregate(model, values, meta); !errors.Is(err, arrowipc.ErrMetadata) {
			t.Errorf("%s: error %v, want %v", name, err, arrowipc.ErrMetadata)
		}
	}
	if _, err := arrowipc.EncodeAggregate(model, values[1:], nil); !errors.Is(err, arrowipc.ErrMismatch) {
		t.Errorf("count: error %v, want %v", err, arrowipc.ErrMismatch)
	}
	for name, tensors := range badTensors() {
		if _, err := arrowipc.EncodeAggregate(tensors, nil, nil); !errors.Is(err, schema.ErrTensor) {
			t.Errorf("%s: error %v, want %v", name, err, schema.ErrTensor)
		}
	}
}
