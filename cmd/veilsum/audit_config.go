package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/peers"
	"github.com/veilsum/veilsum/privacy/accountant"
)

const auditConfigLong = `Reads the differential-privacy settings of a Flower or NVIDIA FLARE job from FILE, or
from standard input for -, and says what they give in truth.

FLOWER  LocalDpMod and the four strategies DifferentialPrivacy{Server,Client}Side{Fixed,Adaptive}Clipping:
an object of arguments under the name of the class, {"path": "…LocalDpMod", "args": {…}}, or
the flat keys of an app in pyproject.toml ([tool.flwr.app.config]), with or without "dp-". NVFLARE
config_fed_client.json or privacy.json: SVTPrivacy and PercentilePrivacy among task_result_filters.
JSON, YAML or TOML, at most 1 MiB. What is not known is refused (status 2), never guessed.

The file says neither how many rounds one client takes part in (unless it has them: --rounds), nor
the size of the model (--values, for SVTPrivacy), nor the delta of a strategy's noise (--delta).

RELATION  The verdict is under --relation zero_out, what zeroing one client's updates may change: the reading that is
kindest to the setting. replace_one, any update for any other, is printed as well; local
differential privacy means that one.

VERDICT  exceeds: more than the claim. The claim is the file's for one round, or
--claim for all rounds together. no_guarantee: no noise, so no finite epsilon. Both end with
status 5. holds, no_claim: status 0. Real epsilons are upper bounds; that of Gaussian noise is
exact, and that of SVTPrivacy at delta 0 is reached but for the selection's part.

JSON  One object for each mechanism: "framework", "mechanism", "where", "arguments", "relation",
"rounds", "delta", "claimed" with "claimed_per" (round or all_rounds), "framework_epsilon" (of its own
ledger), "real" (epsilons "pure", "rdp", "tight" by relation and rounds), "epsilon" (the one
compared), "verdict", "reasons", "veilsum" (a setting that gives the claim over all rounds).`

func (a *app) auditConfigCommand() *cobra.Command {
	q := &peers.Question{}
	var relation string
	c := verb("config FILE", "Say what another framework's privacy settings really give", auditConfigLong,
		`  echo '{"LocalDpMod": {"clipping_norm": 1, "sensitivity": 1e-4, "epsilon": 10, "delta": 1e-5}, "rounds": 3}' | veilsum audit config -
  veilsum audit config config_fed_client.json --rounds 1 --values 7033290 --delta 1e-5
  veilsum audit config pyproject.toml --delta 1e-6 --claim 8`, cobra.ExactArgs(1),
		func(_ context.Context, args []string) error {
			q.Relation = accountant.NeighboringRelation(relation)
			return a.auditConfig(args[0], *q)
		})
	c.Flags().Int64Var(&q.Rounds, "rounds", 0, "rounds that one client takes part in; replaces the file's")
	c.Flags().Float64Var(&q.Delta, "delta", 0, "delta at which epsilon is asked for")
	c.Flags().Int64Var(&q.Values, "values", 0, "values of the model")
	c.Flags().Float64Var(&q.Claim, "claim", 0, "epsilon that is relied on, for all rounds together; replaces the file's")
	c.Flags().StringVar(&relation, "relation", "zero_out", "zero_out or replace_one")
	return c
}

func (a *app) auditConfig(file string, q peers.Question) error {
	switch {
	case q.Relation != accountant.ZeroOut && q.Relation != accountant.ReplaceOne:
		return usage("--relation %.40q: want zero_out or replace_one", string(q.Relation))
	case q.Delta != 0 && !(q.Delta > 0 && q.Delta < 1):
		return usage("--delta %g: want a number between 0 and 1", q.Delta)
	case q.Claim != 0 && !(q.Claim > 0 && q.Claim < 1e9):
		return usage("--claim %g: want an epsilon above 0", q.Claim)
	case q.Rounds < 0 || q.Rounds > peers.MaxRounds:
		return usage("--rounds %d: want 1 to %d", q.Rounds, int64(peers.MaxRounds))
	}
	raw, err := a.readInput(file, peers.MaxBytes)
	if err != nil {
		return err
	}
	settings, err := peers.Parse(raw)
	if err != nil {
		return configMistake(err)
	}
	var verdicts []peers.Verdict
	for _, s := range settings { // all before any is printed: half an answer would look like a whole one
		v, err := s.Judge(q)
		if err != nil {
			return configMistake(err)
		}
		verdicts = append(verdicts, v)
	}
	var failed []string
	for _, v := range verdicts {
		a.out.Result(configResult{v})
		if v.Verdict == peers.Exceeds || v.Verdict == peers.Unprotected {
			failed = append(failed, v.Mechanism)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%w: %s", peers.ErrClaim, strings.Join(failed, ", "))
	}
	return nil
}

func configMistake(err error) error {
	if errors.Is(err, peers.ErrSetting) {
		return &usageError{Err: err, Hint: `nothing was judged; "veilsum audit config --help" says what is read`}
	}
	return err
}

// configResult is the verdict on one mechanism.
type configResult struct{ peers.Verdict }

// Text implements ui.Result.
func (r configResult) Text() string {
	b := &strings.Builder{}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-9s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintf(b, "%s %s", r.Framework, r.Mechanism)
	if r.Where != r.Mechanism {
		fmt.Fprintf(b, ", %s", r.Where)
	}
	b.WriteString("\n")
	var args []string
	for _, name := range slices.Sorted(maps.Keys(r.Arguments)) {
		args = append(args, fmt.Sprintf("%s %v", name, argument(r.Arguments[name])))
	}
	line("set", "%s", strings.Join(args, ", "))
	if c := r.Claimed; c != nil {
		line("claimed", "epsilon %g at delta %g for %s", c.Epsilon, c.Delta, map[string]string{"round": "one round", "all_rounds": fmt.Sprintf("all %d rounds", r.Rounds)}[r.Per])
	}
	if f := r.FrameworkEpsilon; f != nil {
		line("ledger", "epsilon %.8g for one round by the framework's own accountant", *f)
	}
	for _, x := range r.Real {
		line("real", "epsilon %s; %s, %s", boundText(x, r.Delta), many(x.Rounds, "round"), x.Relation)
	}
	line("verdict", "%s%s", strings.ReplaceAll(r.Verdict.Verdict, "_", " "), r.compared())
	for _, why := range r.Reasons {
		line("why", "%s", why)
	}
	if v := r.Veilsum; v != nil {
		clip := ""
		if v.ClippingNorm > 0 {
			clip = fmt.Sprintf(", clipping_norm %g", v.ClippingNorm)
		}
		line("veilsum", "trust_model %s%s, noise_multiplier %g gives epsilon %g at delta %g over %s, %s", v.TrustModel, clip, v.NoiseMultiplier, v.Epsilon, v.Delta, many(v.Rounds, "round"), v.Relation)
	}
	return b.String()
}

// compared names the epsilon that the verdict is about.
func (r configResult) compared() string {
	if r.Epsilon == nil {
		return ""
	}
	if c := r.Claimed; c != nil {
		return fmt.Sprintf(": epsilon %.6g under %s, %.3g times the claim", *r.Epsilon, r.Relation, *r.Epsilon/c.Epsilon)
	}
	return fmt.Sprintf(": epsilon %.6g under %s", *r.Epsilon, r.Relation)
}

func boundText(x peers.Bound, delta float64) string {
	var parts []string
	if x.Tight != nil {
		parts = append(parts, fmt.Sprintf("%.6g (%s) and %s (rdp) at delta %g", *x.Tight, x.Method, epsilonText(x.RDP), delta))
	}
	if x.Pure != nil {
		parts = append(parts, fmt.Sprintf("%.8g at delta 0", *x.Pure))
	}
	if len(parts) == 0 {
		return "beyond what is computed"
	}
	return strings.Join(parts, ", ")
}

func argument(v any) string {
	if f, ok := v.(float64); ok {
		return fmt.Sprintf("%.4g", f)
	}
	return fmt.Sprint(v)
}
