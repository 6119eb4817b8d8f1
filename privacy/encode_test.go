package privacy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacytest"
	"pgregory.net/rapid"
)

// all returns the integers of x, read in one call, with some room beyond d.
func all(x *privacy.Encoded, d int) []int32 {
	m := make([]int32, d+7)
	for i := range m {
		m[i] = 99
	}
	x.Values(0, m)
	return m
}

func TestGroupsClipApart(t *testing.T) {
	l := base(0)
	l.Values, l.ClippingNorm = 10, 0
	l.Groups = []privacy.Group{{0, 4, 3}, {4, 10, 4}}
	e := newEncoder(t, l, [32]byte{1})
	if c := e.Params().ClippingNorm(); c != 5 {
		t.Errorf("ClippingNorm is %g, want sqrt(3^2+4^2)", c)
	}
	update := []float32{100, 0, 0, 0, 1, 1, 1, 1, 1, 1} // first group clipped to 3, second kept
	x, err := e.Encode(append([]float32(nil), update...), [32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	update[0] = 3
	checkDecoded(t, e, [][]int32{all(x, 10)}, update)
	if !x.Clipped() || math.Abs(x.Norm()-math.Sqrt(10_006)) > 1e-9 {
		t.Errorf("clipped %v with norm %g", x.Clipped(), x.Norm())
	}
}

// checkDecoded decodes the sum of the vectors and compares with want times
// their number: each value was rounded by less than a step before the inverse
// rotation, which keeps the L2 norm of the error below sqrt(d) steps.
func checkDecoded(t *testing.T, e *privacy.Encoder, vectors [][]int32, want []float32) {
	t.Helper()
	sum := make([]int64, len(want))
	narrow := make([]int32, len(want))
	for _, m := range vectors {
		for i := range sum {
			sum[i] += int64(m[i])
			narrow[i] += m[i]
		}
	}
	mean, err := e.Decode(sum, len(vectors))
	if err != nil {
		t.Fatal(err)
	}
	same, err := e.DecodeInt32(narrow, len(vectors))
	if err != nil {
		t.Fatal(err)
	}
	var square float64
	for i, v := range mean {
		diff := v - float64(want[i])
		square += diff * diff
		if same[i] != v {
			t.Fatalf("DecodeInt32 differs at %d", i)
		}
	}
	limit := math.Sqrt(float64(len(want))) / e.Params().Grid() * 1.001
	if got := math.Sqrt(square); got > limit {
		t.Errorf("error %g in L2, want at most sqrt(d) grid steps = %g", got, limit)
	}
}

func TestDecodeUndoesEncode(t *testing.T) {
	for _, d := range []int{1, 2, 3, 7, 64, 1000, 1025, 20_000} {
		e := newEncoder(t, base(d), [32]byte{byte(d)})
		update := privacytest.Update("decode", d, 0.9)
		x, err := e.Encode(append([]float32(nil), update...), privacytest.Seed("decode"))
		if err != nil {
			t.Fatal(err)
		}
		checkDecoded(t, e, [][]int32{all(x, d)}, update)
	}
}

// TestClippingScales: an update ten times too long decodes to a tenth of it.
func TestClippingScales(t *testing.T) {
	const d = 500
	e := newEncoder(t, base(d), [32]byte{1})
	update := privacytest.Update("long", d, 10)
	norm := 0.0
	for _, v := range update {
		norm += float64(v) * float64(v)
	}
	norm = math.Sqrt(norm)
	x, err := e.Encode(append([]float32(nil), update...), privacytest.Seed("long"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range update {
		update[i] /= float32(norm)
	}
	checkDecoded(t, e, [][]int32{all(x, d)}, update)
	if !x.Clipped() || math.Abs(x.Norm()-norm) > 1e-9*norm {
		t.Errorf("clipped %v, norm %g, want true and %g", x.Clipped(), x.Norm(), norm)
	}
}

func TestZeroUpdate(t *testing.T) {
	e := newEncoder(t, base(100), [32]byte{})
	x, err := e.Encode(make([]float32, 100), [32]byte{5})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range all(x, 100) {
		if v != 0 {
			t.Fatalf("integer %d of the zero update is %d", i, v)
		}
	}
	if x.Clipped() || x.Norm() != 0 {
		t.Error("the zero update was clipped")
	}
}

func TestNotFinite(t *testing.T) {
	e := newEncoder(t, base(50), [32]byte{})
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, at := range []int{0, 17, 49} {
			update := privacytest.Update("finite", 50, 1)
			update[at] = float32(bad)
			before := append([]float32(nil), update...)
			x, err := e.Encode(update, [32]byte{})
			if x != nil || !errors.Is(err, privacy.ErrNotFinite) || !strings.Contains(err.Error(), fmt.Sprintf("index %d", at)) {
				t.Errorf("%g at %d: %v, %v", bad, at, x, err)
			}
			for i, v := range update {
				if i != at && v != before[i] {
					t.Fatal("a refused update was changed")
				}
			}
		}
	}
}

func TestLengths(t *testing.T) {
	e := newEncoder(t, base(50), [32]byte{})
	for _, n := range []int{0, 49, 51} {
		if _, err := e.Encode(make([]float32, n), [32]byte{}); !errors.Is(err, privacy.ErrLength) {
			t.Errorf("update of %d: %v", n, err)
		}
		if _, err := e.Decode(make([]int64, n), 10); !errors.Is(err, privacy.ErrLength) {
			t.Errorf("sum of %d: %v", n, err)
		}
	}
	for _, count := range []int{-1, 0, 101} {
		if _, err := e.Decode(make([]int64, 50), count); !errors.Is(err, privacy.ErrLength) {
			t.Errorf("count %d: %v", count, err)
		}
	}
	if _, err := privacy.NewEncoder(privacy.Params{}, [32]byte{}); !errors.Is(err, privacy.ErrParams) {
		t.Errorf("zero params: %v", err)
	}
}

// TestValuesRandomAccess: any order, size and overlap of reads gives the
// integers of one sequential read, within and across chunks.
func TestValuesRandomAccess(t *testing.T) {
	const d = 20_000
	e := newEncoder(t, base(d), [32]byte{1})
	x, err := e.Encode(privacytest.Update("access", d, 1), privacytest.Seed("access"))
	if err != nil {
		t.Fatal(err)
	}
	want := all(x, d)
	checkBound(t, e.Params(), want)
	rapid.Check(t, func(t *rapid.T) {
		offset := rapid.OneOf(rapid.IntRange(-1, d+10), rapid.SampledFrom([]int{0, 8191, 8192, 16_384, d - 1})).Draw(t, "offset")
		n := rapid.OneOf(rapid.IntRange(0, 50), rapid.IntRange(0, d)).Draw(t, "n")
		got := make([]int32, n)
		x.Values(offset, got)
		for i, v := range got {
			var w int32
			if at := offset + i; offset >= 0 && at < d {
				w = want[at]
			}
			if v != w {
				t.Fatalf("value %d is %d, want %d", offset+i, v, w)
			}
		}
	})
}

func TestValuesConcurrently(t *testing.T) {
	const d = 50_000
	e := newEncoder(t, base(d), [32]byte{1})
	x, err := e.Encode(privacytest.Update("parallel", d, 1), privacytest.Seed("parallel"))
	if err != nil {
		t.Fatal(err)
	}
	want := all(x, d)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			m := make([]int32, 1024)
			for i := range 50 {
				offset := (i*4 + g) * 1024 % d
				x.Values(offset, m)
				for j, v := range m[:min(1024, d-offset)] {
					if v != want[offset+j] {
						t.Errorf("value %d differs", offset+j)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestDigest(t *testing.T) {
	const d = 3000
	e := newEncoder(t, base(d), [32]byte{1})
	encode := func(seed string) *privacy.Encoded {
		x, err := e.Encode(privacytest.Update("digest", d, 1), privacytest.Seed(seed))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	x := encode("a")
	var raw []byte
	for _, v := range all(x, d)[:d] {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
	}
	if x.Digest() != sha256.Sum256(raw) {
		t.Error("Digest is not SHA-256 of the integers")
	}
	if x.Digest() != encode("a").Digest() {
		t.Error("equal inputs gave different integers")
	}
	if x.Digest() == encode("b").Digest() {
		t.Error("another seed gave the same integers")
	}
}

// TestRoundFixedExactly: floor is left for the next integer exactly when the
// bits reach 2^32 minus the fraction, so the mean over all bits is t/2^32.
func TestRoundFixedExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Int64Range(-1<<58, 1<<58).Draw(t, "t")
		floor, fraction := int32(x>>32), uint64(uint32(x))
		if got := privacy.RoundFixed(x, 0); got != floor {
			t.Fatalf("with zero bits %d, want the floor %d", got, floor)
		}
		if fraction == 0 {
			if got := privacy.RoundFixed(x, math.MaxUint32); got != floor {
				t.Fatalf("an integer moved to %d", got)
			}
			return
		}
		below, at := privacy.RoundFixed(x, uint32(1<<32-fraction-1)), privacy.RoundFixed(x, uint32(1<<32-fraction))
		if below != floor || at != floor+1 {
			t.Fatalf("around the threshold %d, %d, want %d, %d", below, at, floor, floor+1)
		}
	})
}

// TestUnbiased averages many roundings of one update well inside the clipping
// norm (no conditioning happens there). The error per value is at most 1/2
// step over sqrt(trials); 6.5 standard deviations over 64 values and three
// sizes fail by chance with probability below 2*10^-8. The seeds are fixed.
func TestUnbiased(t *testing.T) {
	trials := 4000
	if testing.Short() {
		trials = 1000
	}
	for _, d := range []int{5, 20, 64} {
		e := newEncoder(t, base(d), [32]byte{byte(d)})
		update := privacytest.Update("unbiased", d, 0.5)
		sum := make([]int64, d)
		for k := range trials {
			x, err := e.Encode(append([]float32(nil), update...), privacytest.Seed(fmt.Sprint(k)))
			if err != nil {
				t.Fatal(err)
			}
			if tries, _ := x.Tries(); tries != 1 {
				t.Fatalf("%d tries: the update should never be near the bound", tries)
			}
			for i, v := range all(x, d)[:d] {
				sum[i] += int64(v)
			}
		}
		mean := decodeMany(t, e, sum, trials)
		limit := 6.5 * 0.5 / math.Sqrt(float64(trials)) / e.Params().Grid()
		for i, v := range mean {
			if math.Abs(v-float64(update[i])) > limit {
				t.Errorf("d=%d: mean of value %d is %g, want %g within %g", d, i, v, update[i], limit)
			}
		}
	}
}

// decodeMany decodes a sum of more reports than a batch may have.
func decodeMany(t *testing.T, e *privacy.Encoder, sum []int64, count int) []float64 {
	t.Helper()
	mean, err := e.Decode(sum, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range mean {
		mean[i] *= 100 / float64(count)
	}
	return mean
}

// TestMemory holds a client to 1 MiB beyond its update, counting even what
// the collector would free: the rotation, encoding and one pass over Values.
func TestMemory(t *testing.T) {
	const d = 1_000_000
	update, m := privacytest.Update("memory", d, 2), make([]int32, 1024)
	p, err := privacy.New(base(d))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e, err := privacy.NewEncoder(p, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	x, err := e.Encode(update, privacytest.Seed("memory"))
	if err != nil {
		t.Fatal(err)
	}
	for offset := 0; offset < d; offset += len(m) {
		x.Values(offset, m)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes allocated, want at most 1 MiB", used)
	}
}

func TestRedaction(t *testing.T) {
	e := newEncoder(t, base(3), [32]byte{})
	x, err := e.Encode([]float32{0.1, 0.2, 0.3}, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "encoded", x)
	if !strings.Contains(log.String(), "encoded=[redacted]") {
		t.Errorf("log shows %q", log.String())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, x); got != "[redacted]" {
			t.Errorf("%s shows %q", verb, got)
		}
	}
}
