package accountant_test

import (
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
	"pgregory.net/rapid"
)

// TestSharedClip: the known answers of adaptive clipping.
func TestSharedClip(t *testing.T) {
	splits, sequences := 0, 0
	for _, c := range readShared(t).Inverse {
		switch c["kind"] {
		case "adaptive_clip_split":
			splits++
			got, err := accountant.ValueNoiseMultiplier(number(c, "z"), number(c, "clipped_count_stddev"))
			if err != nil {
				t.Fatal(err)
			}
			near(t, "noise multiplier of the values", got, number(c, "z_delta"), 1e-12)
		case "adaptive_clip_geometric":
			sequences++
			rule := accountant.AdaptiveClip{Quantile: number(c, "gamma"), LearningRate: number(c, "eta")}
			clip := number(c, "C0")
			for _, s := range c["steps"].([]any) {
				step := s.(map[string]any)
				var err error
				if clip, err = rule.Next(clip, number(step, "b_tilde")); err != nil {
					t.Fatal(err)
				}
				near(t, "clip norm", clip, number(step, "C_after"), 1e-12)
			}
		}
	}
	if splits != 3 || sequences != 1 {
		t.Errorf("%d splits and %d sequences", splits, sequences)
	}
}

// TestValueNoiseMultiplier: values and count together cost one Gaussian.
func TestValueNoiseMultiplier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.Float64Range(0.1, 50).Draw(t, "z")
		count := z * rapid.Float64Range(0.51, 1000).Draw(t, "count")
		values, err := accountant.ValueNoiseMultiplier(z, count)
		if err != nil {
			t.Fatal(err)
		}
		both, err1 := accountant.Account([]accountant.Event{gaussian(values), gaussian(2 * count)}, 1e-6, accountant.AddRemove)
		one, err2 := accountant.Account([]accountant.Event{gaussian(z)}, 1e-6, accountant.AddRemove)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if math.Abs(both.Epsilon-one.Epsilon) > 1e-9*one.Epsilon {
			t.Fatalf("together %v, want %v", both.Epsilon, one.Epsilon)
		}
	})
}

// TestAdaptiveClipFindsQuantile: without noise the norm settles at the
// quantile of fixed norms.
func TestAdaptiveClipFindsQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.Float64Range(0.1, 0.9).Draw(t, "quantile")
		clip := rapid.Float64Range(0.01, 100).Draw(t, "start")
		a := accountant.AdaptiveClip{Quantile: q}
		for range 800 {
			var err error
			// Norms uniform on [1, 2]: the fraction within clip.
			if clip, err = a.Next(clip, math.Min(math.Max(clip-1, 0), 1)); err != nil {
				t.Fatal(err)
			}
		}
		if math.Abs(clip-(1+q)) > 1e-6 {
			t.Fatalf("settles at %v, want %v", clip, 1+q)
		}
	})
}

func TestAdaptiveClipRefused(t *testing.T) {
	ok := accountant.AdaptiveClip{Least: 1, Most: 2}
	if c, err := ok.Next(1.5, 100); c != 1 || err != nil {
		t.Errorf("below the least: %v, %v", c, err)
	}
	if c, err := ok.Next(1.5, -100); c != 2 || err != nil {
		t.Errorf("above the most: %v, %v", c, err)
	}
	for _, c := range []struct {
		rule           accountant.AdaptiveClip
		clip, fraction float64
	}{
		{accountant.AdaptiveClip{Quantile: 1}, 1, 0.5},
		{accountant.AdaptiveClip{LearningRate: -1}, 1, 0.5},
		{accountant.AdaptiveClip{Least: 2, Most: 1}, 1, 0.5},
		{accountant.AdaptiveClip{}, 0, 0.5},
		{accountant.AdaptiveClip{}, math.Inf(1), 0.5},
		{accountant.AdaptiveClip{}, 1, math.NaN()},
		{accountant.AdaptiveClip{}, 1, -1e9},
	} {
		if _, err := c.rule.Next(c.clip, c.fraction); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range [][2]float64{{0, 1}, {1, 0}, {2, 1}, {math.NaN(), 1}} {
		if _, err := accountant.ValueNoiseMultiplier(c[0], c[1]); !errors.Is(err, accountant.ErrEvent) {
			t.Errorf("%v: %v", c, err)
		}
	}
}
