package delta_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/schema/delta"
)

func floats(values ...float32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// trained returns a model and what one noisy round makes of it.
func trained(n int, seed uint64) (base, model []byte) {
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		v := float32(r.NormFloat64() * 0.3)
		base = append(base, floats(v)...)
		model = append(model, floats(v+float32(r.NormFloat64()*0.01))...)
	}
	return base, model
}

// TestExact: whatever the two files are, on a grid or not, the delta gives the new one byte for byte.
func TestExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, model := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "base"), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "model")
		d, err := delta.Encode(base, model, rapid.IntRange(-150, 110).Draw(t, "exponent"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := delta.Decode(base, d, int64(len(model)))
		if err != nil || !bytes.Equal(got, model) {
			t.Fatalf("%x, %v, want %x", got, err, model)
		}
	})
}

// TestExactOnGrid is TestExact for what Round makes, with values that float32 has trouble with.
func TestExactOnGrid(t *testing.T) {
	hard := []float32{0, float32(math.Copysign(0, -1)), 1e-45, -1e-40, 3e38, -3e38, 1 << 24, 1e-20, 0.1}
	value := rapid.OneOf(rapid.Float32Range(-1, 1), rapid.SampledFrom(hard), rapid.Float32())
	rapid.Check(t, func(t *rapid.T) {
		pair := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]float32 { return [2]float32{value.Draw(t, "base"), value.Draw(t, "model")} }), 1, 60).Draw(t, "values")
		var base, model []byte
		for _, p := range pair {
			base, model = append(base, floats(p[0])...), append(model, floats(p[1])...)
		}
		rounded, exponent, err := delta.Round(base, model, rapid.IntRange(1, 24).Draw(t, "bits"))
		if errors.Is(err, delta.ErrRound) {
			return
		}
		d, err := delta.Encode(base, rounded, exponent)
		if err != nil {
			t.Fatal(err)
		}
		got, err := delta.Decode(base, d, int64(len(model)))
		if err != nil || !bytes.Equal(got, rounded) {
			t.Fatalf("%x, %v, want %x", got, err, rounded)
		}
	})
}

// TestShort: a rounded update costs what its entropy is, some bits + 2.05 a value, and no delta of an unrounded one comes near.
func TestShort(t *testing.T) {
	const n = 20_000
	base, model := trained(n, 7)
	plain, err := delta.Encode(base, model, delta.NoGrid)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("not rounded: %.2f bits a value", 8*float64(len(plain))/n)
	for bits := range 9 {
		if bits == 0 {
			continue
		}
		rounded, exponent, err := delta.Round(base, model, bits)
		if err != nil {
			t.Fatal(err)
		}
		d, err := delta.Encode(base, rounded, exponent)
		if err != nil {
			t.Fatal(err)
		}
		noise, update := 0.0, 0.0
		for i := range n {
			at := func(b []byte) float64 { return float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))) }
			noise += math.Pow(at(rounded)-at(model), 2)
			update += math.Pow(at(model)-at(base), 2)
		}
		have, loss := 8*float64(len(d))/n, math.Sqrt(noise/update)
		t.Logf("%d bits: %.2f bits a value, error %.4f of the update", bits, have, loss)
		if have > float64(bits)+2.6 { // 0.5 below the next bit's, and Huffman codes lose a little
			t.Errorf("%d bits take %.2f bits a value", bits, have)
		}
		if most := 0.58 * math.Pow(2, -float64(bits)); loss > most*1.02 {
			t.Errorf("%d bits: the error is %.4f of the update, at most %.4f is promised", bits, loss, most)
		}
	}
}

func TestRoundRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		base, model []byte
		bits        int
	}{
		"no bits": {floats(1), floats(2), 0}, "too many bits": {floats(1), floats(2), 25}, "no floats": {[]byte("abc"), []byte("abd"), 4},
		"another length": {floats(1), floats(1, 2), 4}, "not a number": {floats(1), floats(nan), 4}, "tiny": {floats(0), floats(1e-45), 24},
	} {
		if _, _, err := delta.Round(c.base, c.model, c.bits); !errors.Is(err, delta.ErrRound) {
			t.Error(name, err)
		}
	}
	same, exponent, err := delta.Round(floats(1, 2), floats(1, 2), 4)
	if err != nil || exponent != delta.NoGrid || !bytes.Equal(same, floats(1, 2)) {
		t.Error("an unchanged model:", same, exponent, err)
	}
}

// compressed is a delta with this stream.
func compressed(mode byte, exponent int16, size uint64, stream []byte) []byte {
	b := append([]byte("VSDL\x01"), mode)
	b = binary.LittleEndian.AppendUint16(b, uint16(exponent))
	b = binary.LittleEndian.AppendUint64(b, size)
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 9)
	w.Write(stream)
	w.Close()
	return append(b, out.Bytes()...)
}

// TestRefuses: everything that is not exactly a delta of this size from this base.
func TestRefuses(t *testing.T) {
	zeros, nan := make([]byte, 64), floats(float32(math.NaN()))
	good := compressed(0, 0, 8, zeros[:8])
	if _, err := delta.Decode(zeros, good, 8); err != nil {
		t.Fatal("the delta that the cases break:", err)
	}
	for name, c := range map[string]struct {
		base, delta []byte
		size        int64
	}{
		"empty": {zeros, nil, 8}, "cut": {zeros, good[:len(good)-1], 8}, "tail": {zeros, append(bytes.Clone(good), 0), 8},
		"other size": {zeros, good, 12}, "negative size": {zeros, good, -1}, "other magic": {zeros, append([]byte("VSDM"), good[4:]...), 8},
		"other mode": {zeros, compressed(2, 0, 8, zeros[:8]), 8}, "exponent without a grid": {zeros, compressed(0, 1, 8, zeros[:8]), 8},
		"short stream": {zeros, compressed(0, 0, 8, zeros[:7]), 8}, "long stream": {zeros, compressed(0, 0, 8, zeros[:9]), 8},
		"filling":   {zeros, compressed(0, 0, 3, []byte{0, 0, 0, 2}), 3},
		"odd grid":  {zeros, compressed(1, 0, 3, zeros[:4]), 3},
		"wide grid": {zeros, compressed(1, 101, 4, zeros[:4]), 4}, "fine grid": {zeros, compressed(1, -141, 4, zeros[:4]), 4},
		"base off the grid": {nan, compressed(1, 0, 4, zeros[:4]), 4}, "beyond the grid": {zeros, compressed(1, 0, 4, []byte{0, 0, 0, 0xff}), 4},
		"infinite": {zeros, compressed(1, 100, 4, []byte{0, 0, 0, 0x20}), 4},
	} {
		if got, err := delta.Decode(c.base, c.delta, c.size); !errors.Is(err, delta.ErrFormat) {
			t.Error(name, got, err)
		}
	}
}

// TestBomb: a stream that would inflate to a gigabyte costs no more than the size that was signed for, and a
// short one that claims a gigabyte costs nothing.
func TestBomb(t *testing.T) {
	bomb := compressed(0, 0, 64, make([]byte, 64<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := delta.Decode(nil, bomb, 64)
	_, err2 := delta.Decode(nil, compressed(0, 0, 1<<30, make([]byte, 1000)), 1<<30)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, delta.ErrFormat) || !errors.Is(err2, delta.ErrFormat) {
		t.Error(err, err2)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

// FuzzDecodeDelta: no panic, no more memory than the size that was asked for, and the same bytes every time.
func FuzzDecodeDelta(f *testing.F) {
	base, model := trained(40, 3)
	rounded, exponent, err := delta.Round(base, model, 4)
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range [][]byte{model, rounded, []byte("abc")} {
		d, err := delta.Encode(base, m, exponent)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(base, d, int64(len(m)))
	}
	f.Fuzz(func(t *testing.T, base, d []byte, size int64) {
		if size > 1<<20 {
			size %= 1 << 20
		}
		got, err := delta.Decode(base, d, size)
		if err != nil {
			if !errors.Is(err, delta.ErrFormat) {
				t.Errorf("%v does not wrap ErrFormat", err)
			}
			return
		}
		if int64(len(got)) != size {
			t.Errorf("%d bytes, want %d", len(got), size)
		}
		if again, err := delta.Decode(base, d, size); err != nil || !bytes.Equal(again, got) {
			t.Error("decodes otherwise the second time:", err)
		}
	})
}

func ExampleEncode() {
	base, model := floats(0.5, -0.25, 3), floats(0.51, -0.26, 3)
	rounded, exponent, err := delta.Round(base, model, 4) // four bits of the update are kept
	if err != nil {
		panic(err)
	}
	d, err := delta.Encode(base, rounded, exponent)
	if err != nil {
		panic(err)
	}
	got, err := delta.Decode(base, d, int64(len(rounded)))
	if err != nil {
		panic(err)
	}
	if !bytes.Equal(got, rounded) {
		panic("another model")
	}
	// Output:
}
