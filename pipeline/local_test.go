package pipeline_test

import (
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy"
)

// TestLocalTrustModel plays a round of each mechanism of the local model: the
// mean is that of the updates within the declared noise, and nearly all of that noise is there.
// False alarm rate: Laplace tails beyond 9 standard deviations, 400 values, below 1e-3 in all.
func TestLocalTrustModel(t *testing.T) {
	for _, mechanism := range []string{"discrete_gaussian", "gaussian", "laplace"} {
		t.Run(mechanism, func(t *testing.T) {
			const d, n = 400, 8
			task := pipelinetest.Task(d)
			task.Privacy.TrustModel, task.Privacy.Mechanism = "local", mechanism
			task.Privacy.NoiseMultiplier = 2
			task.Scope.Epsilon = 1e6
			if mechanism == "laplace" {
				task.Privacy.NoiseMultiplier = 0.2 // over the L1 sensitivity, which is far larger
			}
			f := pipelinetest.New(t, n, task)
			mean, sigma := playRound(t, f, n)
			var square float64
			for j := range mean {
				var want float64
				for i := range n {
					want += float64(f.Update(i).Values[j]) / n
				}
				if math.Abs(mean[j]-want) > 9*sigma {
					t.Fatalf("value %d: %g, want %g, sigma %g", j, mean[j], want, sigma)
				}
				square += (mean[j] - want) * (mean[j] - want) / d
			}
			if got := math.Sqrt(square); got < 0.7*sigma || got > 1.4*sigma {
				t.Errorf("root mean square error %g, declared noise %g", got, sigma)
			}
		})
	}
}

// playRound plays epoch 1 with all vehicles and decryptors 0 to 2.
func playRound(t *testing.T, f *pipelinetest.Fleet, n int) (mean []float64, sigma float64) {
	t.Helper()
	r := f.Open(1)
	for i := range n {
		f.Report(r, i)
	}
	got := f.Finish(r, f.Listed(r, 0, 1, 2), 0, 1, 2)
	enc, err := privacy.NewEncoder(r.Privacy, r.ID.Digest)
	if err != nil {
		t.Fatal(err)
	}
	return got.Mean, enc.NoiseStdDev(n)
}
