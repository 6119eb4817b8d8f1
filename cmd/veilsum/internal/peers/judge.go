package peers

import (
	"errors"
	"fmt"
	"math"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/accountant"
)

// ErrClaim reports settings whose real epsilon exceeds what they claim, or that protect nothing.
var ErrClaim = errors.New("peers: the setting does not give what it claims")

// Question is what a file does not say. Zero values are unknown.
type Question struct {
	// Rounds in which one client takes part; replaces the file's.
	Rounds int64
	// Delta at which epsilon is asked for, where the file has none; inside (0, 1).
	Delta float64
	// Values of the model; only the sparse vector technique needs it.
	Values int64
	// Claim is the epsilon that somebody relies on for all rounds together; it replaces the file's.
	Claim float64
	// Relation of the verdict; zero_out if empty.
	Relation accountant.NeighboringRelation
}

// Words of a [Verdict].
const (
	// Exceeds: the real epsilon is above the claim.
	Exceeds = "exceeds"
	// Holds: it is not.
	Holds = "holds"
	// Unclaimed: nothing is claimed, so there is nothing to compare with.
	Unclaimed = "no_claim"
	// Unprotected: there is no noise, so no finite epsilon.
	Unprotected = "no_guarantee"
)

// Verdict is what a setting really gives. Where a number is infinite or unknown it is nil.
type Verdict struct {
	Framework string                         `json:"framework"`
	Mechanism string                         `json:"mechanism"`
	Where     string                         `json:"where"`
	Arguments map[string]any                 `json:"arguments"`
	Ignored   []string                       `json:"ignored,omitempty"`
	Relation  accountant.NeighboringRelation `json:"relation"`
	Rounds    int64                          `json:"rounds"`
	Delta     float64                        `json:"delta,omitempty"`
	// Claimed is for Per "round" or "all_rounds"; nil if nothing is claimed.
	Claimed *Claim `json:"claimed"`
	Per     string `json:"claimed_per,omitempty"`
	// FrameworkEpsilon is what the framework's own ledger would report for one round.
	FrameworkEpsilon *float64 `json:"framework_epsilon,omitempty"`
	// Real epsilons: under both relations, of one round and of all.
	Real []Bound `json:"real"`
	// Epsilon is the one that is compared with the claim.
	Epsilon *float64 `json:"epsilon"`
	Verdict string   `json:"verdict"`
	Reasons []string `json:"reasons"`
	// Veilsum is a setting of a task that gives the claimed epsilon over all rounds; nil if there is none.
	Veilsum *Advice `json:"veilsum"`
}

// Bound is epsilon under one relation.
type Bound struct {
	Relation accountant.NeighboringRelation `json:"relation"`
	Rounds   int64                          `json:"rounds"`
	// Pure is epsilon at delta 0, RDP and Tight those at the verdict's delta.
	Pure  *float64 `json:"pure"`
	RDP   *float64 `json:"rdp"`
	Tight *float64 `json:"tight"`
	// Method is how Tight was found: exact, pld, rdp or pure.
	Method string `json:"tight_method,omitempty"`
}

// least is the smallest epsilon that is proved, at delta 0 if there is no other.
func (b Bound) least() *float64 {
	best := b.Pure
	for _, x := range []*float64{b.RDP, b.Tight} {
		if x != nil && (best == nil || *x < *best) {
			best = x
		}
	}
	return best
}

// Advice is a Veilsum setting.
type Advice struct {
	TrustModel      string                         `json:"trust_model"`
	ClippingNorm    float64                        `json:"clipping_norm,omitempty"`
	NoiseMultiplier float64                        `json:"noise_multiplier"`
	Rounds          int64                          `json:"rounds"`
	Epsilon         float64                        `json:"epsilon"`
	Delta           float64                        `json:"delta"`
	Relation        accountant.NeighboringRelation `json:"relation"`
}

// maxMultiplier is more noise than anybody adds.
const maxMultiplier = 1e12

// Judge says what the setting gives. The error wraps [ErrSetting] if a number is
// missing that neither file nor question states.
func (s Setting) Judge(q Question) (Verdict, error) {
	v := Verdict{
		Framework: s.Framework, Mechanism: s.Mechanism, Where: s.Where, Arguments: s.Arguments, Ignored: s.Ignored,
		Relation: q.Relation, Rounds: s.Rounds, Delta: q.Delta, Claimed: s.Claim, Per: "round", Reasons: []string{}, Real: []Bound{},
	}
	if err := s.complete(&v, q); err != nil {
		return v, err
	}
	if n := s.noise; n.kind == gaussian && !(n.zero >= 0 && n.zero <= maxMultiplier && n.replace <= maxMultiplier) {
		return v, refuse("%s: the noise is %g times the sensitivity: want at most %g", s.Mechanism, n.zero, maxMultiplier)
	}
	if s.noise.kind == none || s.noise.kind == gaussian && s.noise.zero == 0 {
		v.Verdict, v.Reasons = Unprotected, append([]string{"there is no noise, so no finite epsilon at any delta below 1"}, s.notes...)
		v.advise(s, q)
		return v, nil
	}
	for _, rounds := range []int64{1, v.Rounds} {
		if rounds == 1 && len(v.Real) > 0 {
			break
		}
		for _, relation := range []accountant.NeighboringRelation{accountant.ZeroOut, accountant.ReplaceOne} {
			b, err := s.bound(relation, rounds, v.Delta, q.Values)
			if err != nil {
				return v, err
			}
			v.Real = append(v.Real, b)
		}
	}
	if s.noise.kind == sparseVector {
		selected, _, release := s.svt(q.Values)
		v.FrameworkEpsilon = finite(s.noise.selection + release)
		v.Reasons = append(v.Reasons,
			fmt.Sprintf("epsilon %g pays for the selection only: the release of %d of %d values costs %.6g more (under replace_one; half of it under zero_out)", s.noise.selection, selected, q.Values, release),
			"the selection does not stop at the values that it is paid for, so it costs up to their number over the paid one times as much")
	}
	v.Reasons = append(v.Reasons, s.notes...)
	v.compare()
	v.advise(s, q)
	return v, nil
}

// complete fills in what only the question knows.
func (s Setting) complete(v *Verdict, q Question) error {
	if v.Relation == "" {
		v.Relation = accountant.ZeroOut
	}
	if q.Rounds != 0 {
		v.Rounds = q.Rounds
	}
	if v.Rounds < 1 || v.Rounds > MaxRounds {
		return refuse("rounds: the file does not say how many: pass --rounds, 1 to %d", int64(MaxRounds))
	}
	if q.Claim != 0 {
		v.Claimed, v.Per = &Claim{q.Claim, q.Delta}, "all_rounds"
	}
	if own := s.Claim; own != nil && own.Delta > 0 {
		switch {
		case q.Delta == 0:
			v.Delta = own.Delta
			if q.Claim != 0 {
				v.Claimed.Delta = own.Delta
			}
		case q.Claim == 0 && q.Delta != own.Delta:
			return refuse("delta: the file claims its epsilon at delta %g: pass --delta with --claim only", own.Delta)
		}
	}
	switch s.noise.kind {
	case gaussian:
		if v.Delta == 0 {
			return refuse("delta: the file has none and Gaussian noise needs one: pass --delta, well below one over the number of clients")
		}
	case sparseVector:
		if q.Values < 1 || q.Values > 1<<40 {
			return refuse("values: epsilon grows with the number of values released, which the file does not say: pass --values, the values of the model")
		}
	}
	if v.Claimed == nil {
		v.Per = ""
	}
	return nil
}

// bound is epsilon of rounds rounds.
func (s Setting) bound(relation accountant.NeighboringRelation, rounds int64, delta float64, values int64) (Bound, error) {
	b := Bound{Relation: relation, Rounds: rounds}
	e, extra := accountant.Event{Type: accountant.Gaussian, NoiseMultiplier: s.noise.zero}, 0.0
	if relation == accountant.ReplaceOne {
		e.NoiseMultiplier = s.noise.replace
	}
	count := rounds
	if s.noise.kind == sparseVector {
		selected, selection, release := s.svt(values)
		e, extra = accountant.Event{Type: accountant.Laplace, NoiseMultiplier: 2 * float64(selected) / release}, float64(rounds)*selection
		pure := extra + float64(rounds)*release
		if relation == accountant.ZeroOut {
			pure -= float64(rounds) * release / 2
		}
		b.Pure = finite(pure)
		if delta == 0 || selected > MaxRounds/rounds {
			return b, nil
		}
		count = selected * rounds
	}
	events := []accountant.Event{accountant.Repeat(e, count)}
	// (epsilon, 0) and (epsilon', delta) compose to their sum: Dwork and Roth 2014, Theorem 3.16.
	if g, err := accountant.Account(events, delta, relation); err == nil {
		b.RDP = finite(g.Epsilon + extra)
	} else if !errors.Is(err, accountant.ErrNoGuarantee) && !errors.Is(err, accountant.ErrUnsupported) {
		return b, refuse("the noise cannot be judged: %v", err)
	}
	if g, err := accountant.AccountTight(events, delta, relation); err == nil {
		b.Tight, b.Method = finite(g.Epsilon+extra), g.Method
	}
	if b.Tight == nil {
		b.Method = ""
	}
	if b.Pure != nil && (b.Tight == nil || *b.Pure < *b.Tight) {
		b.Tight, b.Method = b.Pure, "pure"
	}
	return b, nil
}

// finite is nil for what has no form in JSON.
func finite(f float64) *float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil
	}
	return &f
}

// svt is one round of the sparse vector technique over so many values: how many it
// releases, what the selection costs, and what the release costs when an update is replaced.
//
// Every value above the noisy threshold costs epsilon_query/selected (Lyu, Su and Li 2017), and
// as the filter only stops at the end of a pass, all values may be above it.
func (s Setting) svt(values int64) (selected int64, selection, release float64) {
	n := s.noise
	selected = int64(math.Min(math.Ceil(float64(values)*n.fraction), float64(values)))
	threshold := n.threshold
	if threshold == 0 {
		threshold = n.selection / (1 + math.Pow(2*float64(selected), 2.0/3))
	}
	selection = threshold + (n.selection-threshold)*float64(values)/float64(selected)
	if release = n.release; release == 0 {
		release = float64(selected) * n.perValue
	}
	return selected, selection, release
}

// compare sets the verdict.
func (v *Verdict) compare() {
	rounds := v.Rounds
	if v.Per == "round" {
		rounds = 1
	}
	for _, b := range v.Real {
		if b.Relation != v.Relation || b.Rounds != rounds {
			continue
		}
		if v.Epsilon = b.least(); v.Claimed != nil && v.Claimed.Delta == 0 {
			v.Epsilon = b.Pure // a claim without delta is about delta 0
		} else if v.Epsilon != b.Pure && b.Method != "exact" {
			v.Reasons = append(v.Reasons, "the epsilon compared is an upper bound: the truth may be smaller, but nobody has proved it")
		}
	}
	switch {
	case v.Claimed == nil:
		v.Verdict = Unclaimed
	case v.Epsilon == nil || *v.Epsilon > v.Claimed.Epsilon*(1+1e-12):
		v.Verdict = Exceeds
	default:
		v.Verdict = Holds
	}
}

// adviceValues stands for a model whose size is not known; the noise hardly depends on it.
const adviceValues = 1 << 20

// advise looks for the noise that would give the claim over all rounds.
func (v *Verdict) advise(s Setting, q Question) {
	if v.Claimed == nil || v.Delta == 0 {
		return
	}
	l := privacy.Literal{
		Values: adviceValues, ClippingNorm: 1, TrustModel: privacy.Local, Relation: v.Relation, MinBatchSize: 2, MaxBatchSize: 2,
	}
	if q.Values > 0 && q.Values <= 1<<28 {
		l.Values = int(q.Values)
	}
	if n := s.noise.clients; n >= 2 {
		l.TrustModel, l.MinBatchSize, l.MaxBatchSize = privacy.Distributed, n, n
	}
	z, err := privacy.NoiseMultiplierFor(l, v.Rounds, v.Claimed.Epsilon, v.Delta)
	if err != nil {
		v.Reasons = append(v.Reasons, fmt.Sprintf("no Veilsum task gives the claim either: %v", err))
		return
	}
	unit := math.Pow(10, 4-math.Floor(math.Log10(z)))
	v.Veilsum = &Advice{
		TrustModel: string(l.TrustModel), NoiseMultiplier: math.Ceil(z*unit) / unit, Rounds: v.Rounds,
		Epsilon: v.Claimed.Epsilon, Delta: v.Delta, Relation: v.Relation,
	}
	if s.noise.kind == gaussian {
		v.Veilsum.ClippingNorm = s.noise.clip
	}
}
