package peers_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/peers"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/accountant"
)

// one parses a file with one mechanism and judges it.
func one(t *testing.T, text string, q peers.Question) peers.Verdict {
	t.Helper()
	all, err := peers.Parse([]byte(text))
	if err != nil || len(all) != 1 {
		t.Fatalf("%d settings, %v", len(all), err)
	}
	v, err := all[0].Judge(q)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func near(t *testing.T, what string, got *float64, want, relative float64) {
	t.Helper()
	if got == nil || !(math.Abs(*got-want) <= relative*want) {
		t.Errorf("%s is %v, want %g", what, show(got), want)
	}
}

func show(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}

// of is the bound of one relation and number of rounds.
func of(t *testing.T, v peers.Verdict, relation accountant.NeighboringRelation, rounds int64) peers.Bound {
	t.Helper()
	for _, b := range v.Real {
		if b.Relation == relation && b.Rounds == rounds {
			return b
		}
	}
	t.Fatalf("no bound for %s and %d rounds", relation, rounds)
	return peers.Bound{}
}

const flip = `{"LocalDpMod": {"clipping_norm": 1.0, "sensitivity": 1e-4, "epsilon": 10, "delta": 1e-5}, "rounds": 3}`

// A deployed setting: noise of 4.845e-5 for updates of norm 1. The epsilons are
// the formula of Balle and Wang at mu = 1/4.8448e-5, checked with 60 digits.
func TestNoiseForASensitivityThatIsNotTheClippingNorm(t *testing.T) {
	v := one(t, flip, peers.Question{})
	sigma := v.Arguments["noise_std_dev"].(float64)
	if math.Abs(sigma-4.84481e-5) > 1e-9 {
		t.Errorf("sigma is %g", sigma)
	}
	zero, replace := of(t, v, accountant.ZeroOut, 1), of(t, v, accountant.ReplaceOne, 1)
	near(t, "zero_out", zero.Tight, 2.1310e8, 1e-3)
	near(t, "replace_one", replace.Tight, 8.5225e8, 1e-3)
	near(t, "rdp", zero.RDP, 2.131e8, 1e-3)
	// The dominating term is 1/(2 sigma^2), four times that when replaced.
	near(t, "zero_out", zero.Tight, 1/(2*sigma*sigma), 1e-3)
	if zero.Method != "exact" || v.Verdict != peers.Exceeds || v.Rounds != 3 || v.Per != "round" || *v.Claimed != (peers.Claim{Epsilon: 10, Delta: 1e-5}) {
		t.Errorf("%+v", v)
	}
	near(t, "compared", v.Epsilon, *zero.Tight, 0)
	// What is advised gives the claim over all rounds, and a little less noise does not.
	for _, c := range []struct {
		factor float64
		holds  bool
	}{{1, true}, {0.999, false}} {
		p, err := privacy.New(privacy.Literal{Values: 5000, ClippingNorm: v.Veilsum.ClippingNorm, NoiseMultiplier: v.Veilsum.NoiseMultiplier * c.factor, TrustModel: privacy.Local, MinBatchSize: 2, MaxBatchSize: 2})
		if err != nil {
			t.Fatal(err)
		}
		if g, err := p.Guarantee(v.Rounds, v.Delta); err != nil || (g.Epsilon <= v.Claimed.Epsilon) != c.holds {
			t.Errorf("%g times the advice gives %v %v", c.factor, g, err)
		}
	}
	if !strings.Contains(strings.Join(v.Reasons, "\n"), "10000 times too small") && !strings.Contains(strings.Join(v.Reasons, "\n"), "1e+04 times too small") {
		t.Errorf("reasons are %q", v.Reasons)
	}
}

// The stock sparse vector technique of NVIDIA FLARE over a DenseNet of some 7
// million values: its own ledger says 70,333 for one round.
func TestStockSparseVector(t *testing.T) {
	v := one(t, `{"format_version": 2, "task_result_filters": [{"tasks": ["train"], "filters": [
		{"path": "nvflare.app_common.filters.exclude_vars.ExcludeVars", "args": {}},
		{"path": "nvflare.app_common.filters.svt_privacy.SVTPrivacy", "args": {}}]}]}`, peers.Question{Rounds: 1, Values: 7_033_290})
	near(t, "the framework's ledger", v.FrameworkEpsilon, 70_333, 1e-9)
	// The release costs 70,332.9; the selection at most 1 where all values pass.
	near(t, "replace_one", of(t, v, accountant.ReplaceOne, 1).Pure, 70_333.9, 1e-6)
	near(t, "zero_out", of(t, v, accountant.ZeroOut, 1).Pure, 70_332.9/2+1, 1e-6)
	if v.Verdict != peers.Exceeds || v.Claimed.Epsilon != 0.1 || v.Claimed.Delta != 0 || v.Veilsum != nil {
		t.Errorf("%+v", v)
	}
	// With a delta the composition of Laplaces costs far less, and still thousands.
	v = one(t, `{"name": "SVTPrivacy", "args": {}, "rounds": 2}`, peers.Question{Values: 7_033_290, Delta: 1e-5})
	b := of(t, v, accountant.ReplaceOne, 1)
	if b.Method != "pld" || !(*b.Tight > 3700 && *b.Tight < *b.RDP && *b.RDP < 4000) {
		t.Errorf("%+v", b)
	}
	near(t, "two rounds", of(t, v, accountant.ReplaceOne, 2).Pure, 2*70_333.9, 1e-6)
	if v.Veilsum == nil || v.Veilsum.TrustModel != "local" || v.Veilsum.NoiseMultiplier < 40 {
		t.Errorf("advice is %+v", v.Veilsum)
	}
}

// The parts of the sparse vector technique, by its own split.
func TestSparseVectorParts(t *testing.T) {
	for _, c := range []struct {
		args   string
		values int64
		ledger float64
		pure   float64 // replace_one
	}{
		{`{"fraction": 1, "epsilon": 2, "noise_var": 0.5}`, 10, 7, 7},
		{`{"fraction": 0.5, "epsilon": 2, "noise_var": 0.5, "epsilon_threshold": 0.5}`, 10, 4.5, 0.5 + 1.5*2 + 2.5},
		{`{"fraction": 0.5, "epsilon": 2, "epsilon_query": 1.5, "epsilon_release": 3}`, 10, 5, 0.5 + 1.5*2 + 3},
		{`{"fraction": 0.01, "epsilon": 2, "epsilon_release": 3, "epsilon_threshold": 0.5, "epsilon_query": 1.5}`, 10, 5, 0.5 + 1.5*10 + 3},
	} {
		v := one(t, `{"SVTPrivacy": `+c.args+`}`, peers.Question{Rounds: 1, Values: c.values})
		near(t, c.args+" ledger", v.FrameworkEpsilon, c.ledger, 1e-12)
		near(t, c.args+" pure", of(t, v, accountant.ReplaceOne, 1).Pure, c.pure, 1e-12)
	}
}

// A strategy of the server claims nothing by itself.
func TestFixedClipping(t *testing.T) {
	text := "[tool.poetry]\nepsilon = [1,\n 2]\n[tool.flwr.app.config]\n# of the example\nnoise-multiplier = 0.2\nclipping-norm = 10\nnum-sampled-clients = 20\nnum-server-rounds = 3\nfraction-train = 0.5 # the app's\n[tool.flwr.federations]\ndefault = \"x\"\n"
	v := one(t, text, peers.Question{Delta: 1e-5})
	if v.Verdict != peers.Unclaimed || v.Mechanism != "DifferentialPrivacyServerSideFixedClipping" || v.Rounds != 3 || v.Arguments["noise_std_dev_of_mean"] != 0.1 || len(v.Ignored) != 1 {
		t.Errorf("%+v", v)
	}
	for relation, rounds := range map[accountant.NeighboringRelation]int64{accountant.ZeroOut: 3, accountant.ReplaceOne: 1} {
		g, err := accountant.AccountTight([]accountant.Event{accountant.Repeat(accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 0.2}, rounds)}, 1e-5, relation)
		if err != nil {
			t.Fatal(err)
		}
		near(t, string(relation), of(t, v, relation, rounds).Tight, g.Epsilon, 1e-12)
	}
	if v = one(t, text, peers.Question{Delta: 1e-5, Claim: 8}); v.Verdict != peers.Exceeds || v.Per != "all_rounds" || v.Veilsum.TrustModel != "distributed" {
		t.Errorf("%+v", v)
	}
	// What is advised gives the claim, and the same noise here holds it but for the relation's other half.
	held := strings.Replace(text, "0.2", "1", 1)
	if v = one(t, held, peers.Question{Delta: 1e-5, Claim: 30}); v.Verdict != peers.Holds {
		t.Errorf("%+v", v)
	}
	if v = one(t, strings.Replace(text, "0.2", "0", 1), peers.Question{Delta: 1e-5}); v.Verdict != peers.Unprotected || v.Epsilon != nil {
		t.Errorf("%+v", v)
	}
}

// The count of clipped updates is 0 or 1 for each client: more than the split of the noise pays for when one is
// zeroed, and just what it pays for when one is replaced.
func TestAdaptiveClipping(t *testing.T) {
	v := one(t, `{"DifferentialPrivacyClientSideAdaptiveClipping": {"noise_multiplier": 1.5, "num_sampled_clients": 60, "clipped_count_stddev": null}}`, peers.Question{Rounds: 5, Delta: 1e-6})
	if v.Arguments["clipped_count_stddev"] != 3.0 || v.Arguments["initial_clipping_norm"] != 0.1 {
		t.Errorf("%v", v.Arguments)
	}
	exact := func(mu float64) float64 { // of five rounds
		x, err := accountant.NewExact(accountant.ZeroOut)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Compose(accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: 1 / mu}, 5); err != nil {
			t.Fatal(err)
		}
		eps, err := x.Epsilon(1e-6)
		if err != nil {
			t.Fatal(err)
		}
		return eps
	}
	values := 1/(1.5*1.5) - 1/36.0
	near(t, "zeroed", of(t, v, accountant.ZeroOut, 5).Tight, exact(math.Sqrt(values+1/9.0)), 1e-9)
	near(t, "replaced", of(t, v, accountant.ReplaceOne, 5).Tight, exact(2/1.5), 1e-9)
}

func TestPercentileProtectsNothing(t *testing.T) {
	v := one(t, `{"scopes": [{"name": "public", "task_result_filters": []}, {"name": "private", "task_result_filters": [{"name": "PercentilePrivacy", "args": {"percentile": 10, "gamma": 0.02}}]}], "default_scope": "public"}`, peers.Question{Rounds: 1})
	if v.Verdict != peers.Unprotected || v.Where != `scope "private"` || len(v.Real) != 0 {
		t.Errorf("%+v", v)
	}
}

// JSON, YAML and TOML of the same setting give the same verdict.
func TestFormsAgree(t *testing.T) {
	var first string
	for _, text := range []string{
		`{"clipping-norm": 1, "sensitivity": 0.5, "epsilon": 1, "delta": 1e-5, "num_rounds": 4, "lr": 0.1}`,
		"clipping_norm: 1.0\nsensitivity: 0.5\nepsilon: 1\ndelta: 1e-5\nrounds: 4\nlr: 0.1\n",
		"dp-clipping-norm = 1\ndp-sensitivity = 0.5\ndp-epsilon = 1.0\ndp-delta = 1e-5\ndp-enabled = true\nnum-server-rounds = 4\nlr = 0.1\n",
	} {
		b, err := json.Marshal(one(t, text, peers.Question{}))
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(b)
		}
		if string(b) != first {
			t.Errorf("%s\ngives %s\nnot   %s", text, b, first)
		}
	}
	v := one(t, "dp-enabled = false\ndp-epsilon = 1.0\nrounds = 1\n", peers.Question{})
	if v.Verdict != peers.Unprotected {
		t.Errorf("switched off: %+v", v)
	}
}

// Every file in testdata/refused names in its first line what the message must say.
func TestRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*.txt")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		want, text, _ := strings.Cut(string(raw), "\n")
		_, err = peers.Parse([]byte(text))
		if !errors.Is(err, peers.ErrSetting) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", f, err, want)
		}
	}
	if _, err := peers.Parse(make([]byte, peers.MaxBytes+1)); !errors.Is(err, peers.ErrSetting) {
		t.Errorf("a long file: %v", err)
	}
	if _, err := peers.Parse([]byte(strings.Repeat("[", 1<<16))); !errors.Is(err, peers.ErrSetting) {
		t.Errorf("a deep file: %v", err)
	}
}

// What neither the file nor the question says is asked for, not assumed.
func TestQuestionMustBeComplete(t *testing.T) {
	for text, want := range map[string]string{
		`{"LocalDpMod": {"clipping_norm": 1, "sensitivity": 1, "epsilon": 1, "delta": 1e-5}}`: "pass --rounds",
		`{"SVTPrivacy": {}, "rounds": 1}`: "pass --values",
		`{"DifferentialPrivacyServerSideFixedClipping": {"noise_multiplier": 1, "clipping_norm": 1, "num_sampled_clients": 9}, "rounds": 1}`: "pass --delta",
	} {
		all, err := peers.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all[0].Judge(peers.Question{}); !errors.Is(err, peers.ErrSetting) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	all, err := peers.Parse([]byte(flip))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all[0].Judge(peers.Question{Delta: 1e-6}); !errors.Is(err, peers.ErrSetting) {
		t.Errorf("another delta than the claim's: %v", err)
	}
}

// FuzzParse: whatever the bytes, they are refused with a name or judged with
// numbers that have a form in JSON.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		flip, `{"task_result_filters": [{"tasks": ["train"], "filters": [{"name": "SVTPrivacy"}]}], "workflows": [{"args": {"num_rounds": 3}}]}`,
		"noise-multiplier = 0.2\nclipping-norm = 10\nnum-sampled-clients = 20\n", "DifferentialPrivacyServerSideAdaptiveClipping:\n  noise_multiplier: 1\n  num_sampled_clients: 50\n",
		`{"scopes": [{"name": "x", "task_result_filters": [{"name": "PercentilePrivacy"}]}]}`, "a: &x [1]\nb: *x\n", "\t{}", "[[a]]\nb=1",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := peers.Parse(data)
		if err != nil {
			if !errors.Is(err, peers.ErrSetting) {
				t.Fatal(err)
			}
			return
		}
		if len(all) == 0 {
			t.Fatal("nothing was found and nothing was refused")
		}
		for _, s := range all {
			v, err := s.Judge(peers.Question{Rounds: 2, Values: 1000, Delta: 1e-6, Claim: 3})
			if err != nil {
				if !errors.Is(err, peers.ErrSetting) {
					t.Fatal(err)
				}
				continue
			}
			if _, err := json.Marshal(v); err != nil || v.Verdict == "" {
				t.Fatalf("%v %+v", err, v)
			}
		}
	})
}
