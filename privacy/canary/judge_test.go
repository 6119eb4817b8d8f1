package canary_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/privacy/canary"
	"pgregory.net/rapid"
)

// TestCoinsAreFair: the number of heads of 2^20 coins is within 6 standard deviations,
// which fails once in 5*10^8 runs; so are those of each place in a byte, and of pairs of neighbors that agree.
func TestCoinsAreFair(t *testing.T) {
	const n = 1 << 20
	coins, err := canary.Coins(n)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, heads, of int) {
		if math.Abs(float64(heads)-float64(of)/2) > 3*math.Sqrt(float64(of)) {
			t.Errorf("%s: %d of %d", what, heads, of)
		}
	}
	var heads, agree int
	var place [8]int
	for i, c := range coins {
		if c {
			heads++
			place[i%8]++
		}
		if c == coins[(i+1)%n] {
			agree++
		}
	}
	check("heads", heads, n)
	check("equal neighbors", agree, n)
	for _, h := range place {
		check("heads at one place", h, n/8)
	}
	for _, bad := range []int{0, -1, 1<<24 + 1} {
		if _, err := canary.Coins(bad); !errors.Is(err, canary.ErrCounts) {
			t.Errorf("%d coins: %v", bad, err)
		}
	}
}

// TestGuess compares with counting by rank.
func TestGuess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 60).Draw(t, "canaries")
		scores := rapid.SliceOfNDistinct(rapid.Float64Range(-5, 5), n, n, rapid.ID).Draw(t, "scores")
		included := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "included")
		guesses := 2 * rapid.IntRange(1, n/2).Draw(t, "half")
		want := 0
		sorted := slices.Sorted(slices.Values(scores))
		for i, s := range scores {
			if s <= sorted[guesses/2-1] && !included[i] || s >= sorted[n-guesses/2] && included[i] {
				want++
			}
		}
		got, err := canary.Guess(included, scores, guesses)
		if err != nil || got != (canary.Tally{Canaries: n, Guesses: guesses, Correct: want}) {
			t.Fatalf("%+v, %v; want %d correct", got, err, want)
		}
	})
}

// TestGuessIsBlind: scores that tell nothing must not be broken by the coins.
func TestGuessIsBlind(t *testing.T) {
	included := make([]bool, 100)
	for i := range included {
		included[i] = i%2 == 0
	}
	got, err := canary.Guess(included, make([]float64, 100), 100)
	if err != nil || got.Correct != 50 {
		t.Errorf("%+v, %v: want half of the guesses right", got, err)
	}
}

func TestGuessRefuses(t *testing.T) {
	for _, c := range []struct {
		included []bool
		scores   []float64
		guesses  int
	}{
		{make([]bool, 4), make([]float64, 4), 0},
		{make([]bool, 4), make([]float64, 4), 3},
		{make([]bool, 4), make([]float64, 4), 6},
		{make([]bool, 4), make([]float64, 4), -2},
		{make([]bool, 4), make([]float64, 5), 2},
		{nil, nil, 2},
		{make([]bool, 2), []float64{1, math.NaN()}, 2},
	} {
		if _, err := canary.Guess(c.included, c.scores, c.guesses); !errors.Is(err, canary.ErrCounts) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestJudge(t *testing.T) {
	claim := canary.Claim{Epsilon: 2, Delta: 1e-5}
	for _, c := range []struct {
		correct          int
		oneRun, tradeoff bool
		says             string
	}{
		{310, false, false, ""},
		{347, false, false, ""},
		{348, false, true, "assuming a Gaussian trade-off"},
		{364, false, true, "assuming a Gaussian trade-off"},
		{365, true, true, "refuted: epsilon is at least"},
	} {
		v, err := canary.Judge(canary.Tally{Canaries: 20_000, Guesses: 400, Correct: c.correct}, claim, 0.95)
		if err != nil || v.RefutedOneRun != c.oneRun || v.RefutedTradeoff != c.tradeoff {
			t.Errorf("%d correct: %+v, %v", c.correct, v, err)
		}
		switch err := v.Err(); {
		case c.says == "" && err != nil:
			t.Errorf("%d correct: %v", c.correct, err)
		case c.says != "" && (!errors.Is(err, canary.ErrRefuted) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%d correct: %v, want %q", c.correct, err, c.says)
		}
	}
	for _, bad := range []canary.Claim{{}, {Epsilon: 1}, {Epsilon: -1, Delta: 0.1}, {Epsilon: math.NaN(), Delta: 0.1}, {Epsilon: math.Inf(1), Delta: 0.1}, {Epsilon: 1, Delta: 1}, {Epsilon: 1, Delta: math.NaN()}} {
		if _, err := canary.Judge(canary.Tally{Canaries: 10, Guesses: 10, Correct: 5}, bad, 0.9); !errors.Is(err, canary.ErrCounts) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := canary.Judge(canary.Tally{Canaries: 10, Guesses: 10, Correct: 11}, claim, 0.9); !errors.Is(err, canary.ErrCounts) {
		t.Errorf("11 of 10 correct: %v", err)
	}
}

// TestTightClaimIsSeldomRefuted: where a Gaussian mechanism gives exactly what is claimed, 600 runs
// of 300 canaries refute it no oftener than 1-confidence allows: at most 51 of 600 at 95 %,
// exceeded with probability 1e-4 if the true rate were 0.05. (It is far below: the
// bounds are not tight.) Ten times less noise must always be refuted.
func TestTightClaimIsSeldomRefuted(t *testing.T) {
	const runs = 600
	for _, scale := range []float64{1, 0.1} {
		wrong := 0
		for run := range runs {
			v := gaussianRun(t, 300, scale, uint64(run))
			if v.Err() != nil {
				wrong++
			}
		}
		t.Logf("noise scale %g: refuted in %d of %d runs", scale, wrong, runs)
		if scale == 1 && wrong > 51 || scale < 1 && wrong != runs {
			t.Errorf("noise scale %g: refuted in %d of %d runs", scale, wrong, runs)
		}
	}
}

// gaussianRun audits the claim (1, 1e-5), which a multiplier of 3.7306 gives exactly.
func gaussianRun(t *testing.T, m int, scale float64, seed uint64) canary.Verdict {
	t.Helper()
	random := rand.New(rand.NewPCG(1, seed))
	included, scores := make([]bool, m), make([]float64, m)
	for i := range scores {
		included[i] = random.IntN(2) == 1
		scores[i] = 3.730631634816 * scale * random.NormFloat64()
		if included[i] {
			scores[i]++
		}
	}
	tally, err := canary.Guess(included, scores, 60)
	if err != nil {
		t.Fatal(err)
	}
	v, err := canary.Judge(tally, canary.Claim{Epsilon: 1, Delta: 1e-5}, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
