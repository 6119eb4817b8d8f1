package accountant_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// training is the usual long case: 10^5 steps of a sampled Gaussian.
func training(steps int64) accountant.Event {
	inner := gaussian(1.2)
	return accountant.Repeat(accountant.Event{Type: accountant.Poisson, SamplingProbability: 0.005, Event: &inner}, steps)
}

func BenchmarkRDPEpsilon(b *testing.B) {
	for b.Loop() {
		r, _ := accountant.NewRDP(accountant.AddRemove)
		if err := r.Compose(training(100_000), 1); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Epsilon(1e-7); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPLDEpsilon(b *testing.B) {
	for _, c := range []struct {
		name  string
		steps int64
	}{{"1e3", 1000}, {"1e5", 100_000}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				p, _ := accountant.NewPLD(accountant.AddRemove)
				if err := p.Compose(training(c.steps), 1); err != nil {
					b.Fatal(err)
				}
				if _, err := p.Epsilon(1e-7); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPLDBounds(b *testing.B) {
	for b.Loop() {
		p, _ := accountant.NewPLD(accountant.AddRemove)
		if err := p.Compose(training(100_000), 1); err != nil {
			b.Fatal(err)
		}
		if _, _, err := p.Bounds(1e-7); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWouldExceed(b *testing.B) {
	budget, err := accountant.NewBudget(8, 1e-6, accountant.AddRemove)
	if err != nil {
		b.Fatal(err)
	}
	if err := budget.Spend(training(1000), 1); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := budget.WouldExceed(training(1), 1); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCalibrateTight(b *testing.B) {
	for b.Loop() {
		_, err := accountant.CalibrateTight(func(z float64) ([]accountant.Event, error) {
			inner := gaussian(z)
			return []accountant.Event{accountant.Repeat(accountant.Event{Type: accountant.Poisson, SamplingProbability: 0.01, Event: &inner}, 1000)}, nil
		}, 2, 1e-6, accountant.AddRemove)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPython runs the same queries with dp_accounting and prv_accountant
// where VEILSUM_ORACLES has them, and reports their times in one iteration.
func BenchmarkPython(b *testing.B) {
	python := os.Getenv("VEILSUM_ORACLES")
	if python == "" {
		b.Skip("VEILSUM_ORACLES names no Python with dp_accounting and prv_accountant")
	}
	for b.Loop() {
		out, err := exec.Command(python, "testdata/timing.py").Output()
		if err != nil {
			b.Fatal(err)
		}
		b.Log(strings.TrimSpace(string(out)))
	}
}
