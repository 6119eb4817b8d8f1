package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/dir"
)

// TestDemoAdaptive: the norm of round 2 is what the published fraction of round 1 gives, the page and the last line
// tell the history, the budget is the same, and an audit of the demo's store finds the same norms.
func TestDemoAdaptive(t *testing.T) {
	out := filepath.Join(t.TempDir(), "demo")
	code, stdout, stderr := demoTest(t, "--json", "--vehicles", "40", "--rounds", "2", "--adaptive", "--clipping-norm", "20", "--out", out)
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d, standard error %q, output %s", code, stderr, stdout)
	}
	all := lines(t, stdout)
	result, rounds := all["result"][0], all["round"]
	var norms []float64
	want := 20.0
	for _, r := range rounds {
		norm, fraction := r["clipping_norm"].(float64), textReal(t, r["unclipped"])
		if math.Abs(norm-want) > 1e-12*want {
			t.Errorf("norm %.17g, want %.17g", norm, want)
		}
		norms = append(norms, norm)
		want = norm * math.Exp(-demoLearningRate*(math.Min(1, math.Max(0, fraction))-0.5))
	}
	if next := result["next_clipping_norm"].(float64); math.Abs(next-want) > 1e-12*want || result["clipping_norm"] != norms[1] {
		t.Errorf("next norm %v, want %g", next, want)
	}
	checkEpsilon(t, rounds, result["noise_multiplier"].(float64))
	if e := result["epsilon"].(float64); e > 7.5 {
		t.Errorf("epsilon %g", e)
	}
	page, err := os.ReadFile(result["report"].(string))
	if err != nil || !strings.Contains(string(page), "L2 bound on one vehicle&#39;s update, by round") {
		t.Errorf("the page does not tell of the norms: %v", err)
	}
	auditNorms(t, out, result, norms)
}

// textReal reads a real number, which is a text in JSON.
func textReal(t *testing.T, v any) float64 {
	t.Helper()
	var r schema.Real
	text, ok := v.(string)
	if !ok || r.UnmarshalText([]byte(text)) != nil {
		t.Fatalf("%v is no real", v)
	}
	return float64(r)
}

func auditNorms(t *testing.T, out string, result map[string]any, norms []float64) {
	t.Helper()
	s, err := dir.Open(filepath.Join(out, "store"))
	if err != nil {
		t.Fatal(err)
	}
	var owner schema.PublicKey
	if err := owner.UnmarshalText([]byte(result["owner"].(string))); err != nil {
		t.Fatal(err)
	}
	rep, err := auditor.Audit(t.Context(), s, owner, auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rep.Tasks[0].Rounds {
		if float64(r.ClippingNorm) != norms[i] {
			t.Errorf("round %s has norm %g in the audit, %g in the demo", r.Name, float64(r.ClippingNorm), norms[i])
		}
	}
}

// TestDemoAdaptiveAccuracy starts three runs with a norm ten times too large. The norm settles near the median of the
// updates' norms, about 1, and the accuracy is near that without privacy, where a constant norm of 20 loses ten points. A simulation of the
// same noise gave -1.7 points with a standard deviation of 1 a run, so the mean of three misses five points by
// chance less often than once in 10^7 runs of this test.
func TestDemoAdaptiveAccuracy(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") == "" {
		t.Skip("about two minutes; set VEILSUM_SLOW=1")
	}
	difference := 0.0
	for seed := range 3 {
		code, stdout, stderr := demoTest(t, "--json", "--adaptive", "--clipping-norm", "20", "--seed", string(rune('1'+seed)), "--out", filepath.Join(t.TempDir(), "demo"))
		if code != 0 {
			t.Fatalf("exit status %d: %s", code, stderr)
		}
		r := lines(t, stdout)["result"][0]
		private, plain, norm := r["accuracy"].(float64), r["accuracy_plain"].(float64), r["clipping_norm"].(float64)
		t.Logf("seed %d: private %.4f, plain %.4f, last norm %.3f, epsilon %.4f", seed+1, private, plain, norm, r["epsilon"])
		difference += (private - plain) / 3
		if norm < 0.5 || norm > 2 {
			t.Errorf("the norm ends at %g", norm)
		}
	}
	if difference < -0.05 {
		t.Errorf("mean difference %.4f", difference)
	}
}
