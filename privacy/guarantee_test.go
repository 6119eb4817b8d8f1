package privacy_test

import (
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/accountant"
)

// TestWorkedExample is the example of GUARANTEE.md: z = 1, one round, delta =
// 1e-5 gives rho = 1/2 and epsilon = 4.7284 at order 5.43 (also case s048 of
// the accounting vectors: 4.728386984943314).
func TestWorkedExample(t *testing.T) {
	p, err := privacy.New(privacy.Literal{Values: 100_000, ClippingNorm: 0.5, NoiseMultiplier: 1, MinBatchSize: 10_000, MaxBatchSize: 12_000, MaxDishonest: 100})
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Guarantee(1, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "epsilon", g.Epsilon, 4.728386984943314, 1e-9)
	near(t, "order", g.Order, 5.4318, 1e-3)
	if g.Relation != privacy.ZeroOut || g.Unit != "vehicle" || g.TrustModel != "distributed" || g.Delta != 1e-5 {
		t.Errorf("%+v", g)
	}
	if want := "(4.728, 1e-05)-DP per vehicle under zero_out, distributed trust model"; g.String() != want {
		t.Errorf("prints %q, want %q", g, want)
	}
}

// TestReplaceOneIsTwiceTheSensitivity: four times rho, the same noise.
func TestReplaceOneIsTwiceTheSensitivity(t *testing.T) {
	l := base(1000)
	l.NoiseMultiplier = 2
	zero, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	l.Relation = privacy.ReplaceOne
	replace, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	if zero.LocalStdDev() != replace.LocalStdDev() {
		t.Error("the relation changed the noise")
	}
	a, errA := zero.Guarantee(4, 1e-6)
	b, errB := replace.Guarantee(1, 1e-6)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	near(t, "replace_one once against zero_out four times", b.Epsilon, a.Epsilon, 1e-9)
}

func TestLocalGuarantees(t *testing.T) {
	l := local(100, privacy.Laplace)
	l.NoiseMultiplier = 4
	p, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Guarantee(3, 1e-9)
	if err != nil {
		t.Fatal(err)
	}
	if g.Method != "pure" || math.Abs(g.Epsilon-0.75) > 1e-12 || g.TrustModel != "local" {
		t.Errorf("Laplace: %+v", g)
	}
	for _, m := range []privacy.Mechanism{privacy.DiscreteGaussian, privacy.Gaussian} {
		p, err := privacy.New(local(100, m))
		if err != nil {
			t.Fatal(err)
		}
		g, err := p.Guarantee(1, 1e-5)
		if err != nil {
			t.Fatal(err)
		}
		near(t, string(m), g.Epsilon, 4.728386984943314, 1e-9)
	}
}

func TestNoiseMultiplierFor(t *testing.T) {
	for _, relation := range []privacy.NeighboringRelation{privacy.ZeroOut, privacy.ReplaceOne} {
		for _, m := range []privacy.Mechanism{privacy.DiscreteGaussian, privacy.Laplace} {
			l := base(100)
			if m == privacy.Laplace {
				l = local(100, m)
			}
			l.Relation, l.MaxDishonest = relation, 3
			z, err := privacy.NoiseMultiplierFor(l, 50, 3, 1e-6)
			if err != nil {
				t.Fatal(err)
			}
			l.NoiseMultiplier = z
			p, err := privacy.New(l)
			if err != nil {
				t.Fatal(err)
			}
			g, err := p.Guarantee(50, 1e-6)
			if err != nil || g.Epsilon > 3 || g.Epsilon < 3*(1-1e-6) {
				t.Errorf("%s %s: z = %g gives %v, %v", relation, m, z, g, err)
			}
			if n, err := p.Rounds(nil, 3, 1e-6); err != nil || n != 50 {
				t.Errorf("%s %s: %d rounds affordable, %v", relation, m, n, err)
			}
		}
	}
	l := base(100)
	l.Values = 0
	if _, err := privacy.NoiseMultiplierFor(l, 1, 1, 1e-6); !errors.Is(err, privacy.ErrParams) {
		t.Errorf("bad literal: %v", err)
	}
	if _, err := privacy.NoiseMultiplierFor(base(100), 1, 1e-9, 1e-20); !errors.Is(err, accountant.ErrUnreachable) {
		t.Errorf("an impossible target: %v", err)
	}
}

// TestRoundsAfterSpending: what was spent before counts.
func TestRoundsAfterSpending(t *testing.T) {
	l := base(100)
	l.NoiseMultiplier = 8
	p, err := privacy.New(l)
	if err != nil {
		t.Fatal(err)
	}
	event, err := p.Event()
	if err != nil {
		t.Fatal(err)
	}
	n, err := p.Rounds(nil, 5, 1e-6)
	if err != nil || n < 10 {
		t.Fatalf("%d rounds, %v", n, err)
	}
	left, err := p.Rounds([]accountant.Event{accountant.Repeat(event, 7)}, 5, 1e-6)
	if err != nil || left != n-7 {
		t.Errorf("%d rounds left of %d after 7, %v", left, n, err)
	}
	if _, err := (privacy.Params{}).Event(); !errors.Is(err, privacy.ErrParams) {
		t.Errorf("zero params: %v", err)
	}
}
