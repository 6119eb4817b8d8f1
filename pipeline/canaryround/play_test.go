package canaryround_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/canaryround"
	"github.com/veilsum/veilsum/privacy/canary"
	"github.com/veilsum/veilsum/storage/mem"
)

var claim = canary.Claim{Epsilon: 2, Delta: 1e-5}

func judge(t *testing.T, p *canaryround.Played, guesses int) canary.Verdict {
	t.Helper()
	tally, err := canary.Guess(p.Included, p.Released, guesses)
	if err != nil {
		t.Fatal(err)
	}
	v, err := canary.Judge(tally, claim, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// deviation is that of the noise in what was released, over its claim z.
func deviation(p *canaryround.Played) float64 {
	var sum float64
	for i, x := range p.Released {
		if p.Included[i] {
			x -= 1 // what the canary added, whoever rounded it
		}
		sum += x * x
	}
	return math.Sqrt(sum/float64(len(p.Released))) / p.NoiseMultiplier
}

// checkNoise wants a deviation of 1.01 to 1.02 (the sensitivity is rounded up) within 6
// standard errors, 1/sqrt(2m) each: wrong once in 10^8 runs.
func checkNoise(t *testing.T, p *canaryround.Played) {
	t.Helper()
	slack := 6 / math.Sqrt(2*float64(len(p.Released)))
	if r := deviation(p); r < 1.01-slack || r > 1.02+slack {
		t.Errorf("the noise is %.3f of what the task says", r)
	}
}

// TestAuditClear is the audit of every change: 4000 canaries, 600 guesses. Right noise is refuted
// with probability below 1e-9. Halved noise escapes the bound that assumes a Gaussian
// trade-off once in a thousand runs (both from 300 simulated runs and a normal tail); it has
// a second try, so this test fails wrongly with probability near 1e-6.
func TestAuditClear(t *testing.T) {
	if testing.Short() {
		t.Skip("draws 3*10^7 noises, which takes half a minute with the race detector: not with -short")
	}
	c := canaryround.Config{Claim: claim, Canaries: 4000, NoiseScale: 1}
	p, err := c.PlayClear(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkNoise(t, p)
	v := judge(t, p, 600)
	t.Logf("right noise: %+v", v)
	if err := v.Err(); err != nil {
		t.Errorf("right noise: %v", err)
	}
	if p.Epsilon > claim.Epsilon || p.Epsilon < 0.999*claim.Epsilon {
		t.Errorf("the audited round gives epsilon %g, want the claim", p.Epsilon)
	}
	c.NoiseScale = 0.5
	for try := 1; ; try++ {
		if p, err = c.PlayClear(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkNoise(t, p)
		v = judge(t, p, 600)
		t.Logf("halved noise: %+v", v)
		if v.RefutedTradeoff && errors.Is(v.Err(), canary.ErrRefuted) {
			return
		}
		if try == 2 {
			t.Fatal("halved noise was not refuted in two tries")
		}
	}
}

// TestPlay plays canaries through every role. The noise that is opened is the
// noise that is claimed. Right noise is refuted with probability 3e-8 (20,000 simulated
// runs, normal tail), a tenth of it always: nearly every guess is then right.
func TestPlay(t *testing.T) {
	scales := []float64{1, 0.1}
	if testing.Short() {
		scales = scales[:1]
	}
	for _, scale := range scales {
		t.Run(fmt.Sprint(scale), func(t *testing.T) {
			s, folder := mem.New(), t.TempDir()
			c := canaryround.Config{Claim: claim, Canaries: 300, NoiseScale: scale}
			p, err := c.Play(t.Context(), s, folder)
			if err != nil {
				t.Fatal(err)
			}
			checkNoise(t, p)
			v := judge(t, p, 240)
			t.Logf("deviation %.3f, %+v", deviation(p), v)
			if refuted := errors.Is(v.Err(), canary.ErrRefuted); refuted != (scale < 1) {
				t.Errorf("refuted %v at noise scale %g", refuted, scale)
			}
			if _, err := os.Stat(filepath.Join(folder, "auditor", "coins.json")); err != nil {
				t.Error(err)
			}
			// The round is one like any other: the offline audit accepts it, and names its own epsilon.
			rep, err := auditor.Audit(t.Context(), s, p.Owner, auditor.Options{Depth: auditor.DepthPieces})
			if err != nil || !rep.Complete {
				t.Errorf("audit of the round: %v", err)
			}
		})
	}
}

// TestAuditRate is the audit at full size, 20 runs each; it prints the rates. Halved noise
// escapes the bound with the assumption with probability 2e-7 and the other with 0.05 a
// run, so fewer than 11 of 20 by the latter has probability 2e-8; right noise is refuted with 6e-6
// (1500 simulated runs, normal tail).
func TestAuditRate(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") != "1" {
		t.Skip("encodes 1.6*10^10 values, a quarter of an hour: set VEILSUM_SLOW=1")
	}
	const runs = 20
	for _, scale := range []float64{1, 0.5} {
		c := canaryround.Config{Claim: claim, Canaries: 20_000, NoiseScale: scale}
		oneRun, tradeoff := 0, 0
		for range runs {
			p, err := c.PlayClear(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			checkNoise(t, p)
			v := judge(t, p, 400)
			t.Logf("noise scale %g: %d of 400 right, epsilon at least %.3f, assuming a Gaussian trade-off %.3f", scale, v.Correct, v.OneRun, v.Tradeoff)
			oneRun, tradeoff = oneRun+count(v.RefutedOneRun), tradeoff+count(v.RefutedTradeoff)
		}
		t.Logf("noise scale %g: refuted in %d of %d runs, assuming a Gaussian trade-off in %d", scale, oneRun, runs, tradeoff)
		switch {
		case scale == 1 && oneRun+tradeoff > 0:
			t.Error("right noise was refuted")
		case scale < 1 && (tradeoff < runs || oneRun < 11):
			t.Error("halved noise escaped too often")
		}
	}
}

// TestAuditSealed is the audit at full size through every role, right and halved: the same
// chances as in TestAuditRate.
func TestAuditSealed(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") != "1" {
		t.Skip("seals 40,000 reports of 20,000 values and holds a gigabyte, three minutes: set VEILSUM_SLOW=1")
	}
	for _, scale := range []float64{1, 0.5} {
		c := canaryround.Config{Claim: claim, Canaries: 20_000, NoiseScale: scale}
		p, err := c.Play(t.Context(), mem.New(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		checkNoise(t, p)
		v := judge(t, p, 400)
		t.Logf("noise scale %g: %+v", scale, v)
		if v.RefutedTradeoff != (scale < 1) || v.RefutedOneRun && scale == 1 {
			t.Errorf("noise scale %g: %v", scale, v.Err())
		}
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestRefused(t *testing.T) {
	good := canaryround.Config{Claim: claim, Canaries: 20, NoiseScale: 1}
	for name, change := range map[string]func(*canaryround.Config){
		"few canaries":  func(c *canaryround.Config) { c.Canaries = 15 },
		"many canaries": func(c *canaryround.Config) { c.Canaries = 100_001 },
		"no noise":      func(c *canaryround.Config) { c.NoiseScale = 0 },
		"more noise":    func(c *canaryround.Config) { c.NoiseScale = 1.5 },
		"hardly noise":  func(c *canaryround.Config) { c.NoiseScale = 0.01 },
		"NaN noise":     func(c *canaryround.Config) { c.NoiseScale = math.NaN() },
		"no claim":      func(c *canaryround.Config) { c.Claim = canary.Claim{} },
		"delta 0":       func(c *canaryround.Config) { c.Claim.Delta = 0 },
		"tiny epsilon":  func(c *canaryround.Config) { c.Claim.Epsilon = 1e-9 },
	} {
		c := good
		change(&c)
		if _, err := c.PlayClear(t.Context()); !errors.Is(err, canaryround.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Play(t.Context(), mem.New(), t.TempDir()); !errors.Is(err, canaryround.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := canaryround.Config{Claim: claim, Canaries: 100, NoiseScale: 1}
	c.Progress = func(_ string, done, _ int) {
		if done == 10 {
			cancel()
		}
	}
	if _, err := c.Play(ctx, mem.New(), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := c.PlayClear(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted in the clear: %v", err)
	}
}
