package privacy_test

import (
	"encoding/json"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/veilsum/veilsum/privacy"
)

// failer is what testing.TB and rapid.T share.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// newEncoder makes an encoder or fails the test.
func newEncoder(tb failer, l privacy.Literal, roundID [32]byte) *privacy.Encoder {
	tb.Helper()
	p, err := privacy.New(l)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := privacy.NewEncoder(p, roundID)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// base is a small valid literal.
func base(d int) privacy.Literal {
	return privacy.Literal{Values: d, ClippingNorm: 1, NoiseMultiplier: 1, MinBatchSize: 10, MaxBatchSize: 100}
}

// TestHadamardDefinition compares with the definition, entry (i, j) =
// (-1)^popcount(i&j), for every size that takes another path through the code.
func TestHadamardDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for level := range 17 {
		n := 1 << level
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(r.IntN(2001) - 1000) // integers: sums are exact
		}
		y := append([]float64(nil), x...)
		privacy.Hadamard(y)
		for range min(n, 50) {
			i := r.IntN(n)
			var want float64
			for j, v := range x {
				want += v * float64(1-2*(bits.OnesCount(uint(i&j))&1))
			}
			if y[i] != want {
				t.Fatalf("size %d: value %d is %g, want %g", n, i, y[i], want)
			}
		}
		privacy.Hadamard(y)
		for i := range y {
			if y[i] != x[i]*float64(n) {
				t.Fatalf("size %d: twice is not multiplication by the size", n)
			}
		}
	}
}

// TestRotationVectors checks signs and rotated values against testdata/rotation.py.
func TestRotationVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/rotation.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		RoundID string    `json:"round_id"`
		Values  int       `json:"values"`
		Signs   []string  `json:"signs"`
		Input   []float64 `json:"input"`
		Output  []float64 `json:"output"`
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) < 5 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		e := newEncoder(t, base(c.Values), [32]byte([]byte(c.RoundID)))
		for i, s := range c.Signs {
			if w, _ := strconv.ParseUint(s, 16, 64); e.Signs()[i] != w {
				t.Errorf("d=%d: sign word %d is %x, want %x", c.Values, i, e.Signs()[i], w)
			}
		}
		x, narrow := append([]float64(nil), c.Input...), make([]float32, c.Values)
		for i, v := range x {
			narrow[i] = float32(v)
		}
		e.Rotate64(x)
		e.Rotate32(narrow)
		for i, want := range c.Output {
			if math.Abs(x[i]-want) > 1e-12 || math.Abs(float64(narrow[i])-want) > 1e-5 {
				t.Errorf("d=%d: value %d is %g and %g, want %g", c.Values, i, x[i], narrow[i], want)
			}
		}
	}
}

// TestFloat32IsFarBelowTheGrid: rotating in float32 instead of float64 moves
// no value by more than 3*10^-5 of a grid step at a million values (measured
// 3*10^-6), for a spike and for a dense update. Rounding moves it by up to one.
func TestFloat32IsFarBelowTheGrid(t *testing.T) {
	d := 1_000_000
	if testing.Short() {
		d = 50_000
	}
	e := newEncoder(t, base(d), [32]byte{3})
	steps := e.Params().Grid()
	r := rand.New(rand.NewPCG(3, 4))
	dense, spike := make([]float32, d), make([]float32, d)
	spike[d/3] = float32(steps) // norm C in grid steps
	for i := range dense {
		dense[i] = float32(r.NormFloat64() * steps / math.Sqrt(float64(d)))
	}
	for name, x := range map[string][]float32{"dense": dense, "spike": spike} {
		wide := make([]float64, d)
		for i, v := range x {
			wide[i] = float64(v)
		}
		e.Rotate32(x)
		e.Rotate64(wide)
		var worst float64
		for i, v := range x {
			worst = math.Max(worst, math.Abs(float64(v)-wide[i]))
		}
		t.Logf("%s: largest difference %.2g grid steps", name, worst)
		if worst > 3e-5 {
			t.Errorf("%s: largest difference %.2g grid steps, want at most 3e-5", name, worst)
		}
	}
}
