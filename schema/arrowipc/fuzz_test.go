package arrowipc_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/veilsum/veilsum/schema/arrowipc"
)

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// FuzzDecodeAggregate gives each input its own true hash, so that the
// canonical guard alone stands between the bytes and the values: whatever is accepted
// must encode to the same bytes.
func FuzzDecodeAggregate(f *testing.F) {
	data, _ := encode(f)
	f.Add(data)
	f.Add(data[:len(data)/2])
	for _, at := range []int{0, 9, 17, 40, 300, len(data) - 12, len(data) - 200} {
		broken := bytes.Clone(data)
		broken[at] ^= 0x81
		f.Add(broken)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sum := sha256.Sum256(data)
		if values, err := arrowipc.DecodeAggregate(data, sum, model, modelMeta); err == nil {
			again, err := arrowipc.EncodeAggregate(model, values, modelMeta)
			if err != nil || !bytes.Equal(again, data) && !hasNaN(values) {
				t.Errorf("accepted bytes encode to others, %v", err)
			}
		}
		if a, err := arrowipc.OpenAggregate(data, sum); err == nil {
			again, err := arrowipc.EncodeAggregate(a.Tensors, a.Values, a.Meta)
			if err != nil || !bytes.Equal(again, data) && !hasNaN(a.Values) {
				t.Errorf("opened bytes encode to others, %v", err)
			}
		}
	})
}

// hasNaN tells whether there is a NaN, which float32 -> float64 -> float32
// may make quiet.
func hasNaN(values []float64) bool {
	for _, v := range values {
		if v != v {
			return true
		}
	}
	return false
}

// FuzzTensorType: what the extension type accepts is stable, and of the right
// size.
func FuzzTensorType(f *testing.F) {
	f.Add(int32(6), `{"shape":[2,3],"dim_names":["a","b"],"permutation":[0,1]}`)
	f.Add(int32(1), `{"shape":[]}`)
	f.Add(int32(0), `{"shape":[4294967296,4294967296]}`)
	f.Add(int32(6), `{"shape":[-2,-3]}`)
	f.Fuzz(func(t *testing.T, n int32, data string) {
		if n < 1 { // Arrow has no such list type
			t.Skip()
		}
		shape, stored, err := arrowipc.Deserialize(n, data)
		if err != nil {
			return
		}
		product := int64(1)
		for _, d := range shape {
			if product *= int64(d); d < 1 || product > int64(n) {
				t.Fatalf("shape %v over %d values", shape, n)
			}
		}
		if product != int64(n) {
			t.Fatalf("shape %v over %d values", shape, n)
		}
		if _, again, err := arrowipc.Deserialize(n, stored); err != nil || again != stored {
			t.Fatalf("%s reads back as %s, %v", stored, again, err)
		}
	})
}

// FuzzDescribe runs the bounded reader alone: no panic, and no more text than
// the file has bytes, however often the file points at the same ones.
func FuzzDescribe(f *testing.F) {
	data, _ := encode(f)
	f.Add(data)
	f.Add(data[:200])
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, meta, err := arrowipc.Describe(data)
		if err != nil {
			return
		}
		text := 0
		for _, tensor := range tensors {
			text += len(tensor.Name)
		}
		for k, v := range meta {
			text += len(k) + len(v)
		}
		if text > len(data) {
			t.Errorf("%d bytes of text from %d bytes", text, len(data))
		}
	})
}
