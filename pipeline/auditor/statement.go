package auditor

import (
	"fmt"
	"math"
	"slices"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/schema"
)

// StatementFormat names the format of [Statement]; fields are only ever added within one number.
const StatementFormat = "veilsum-privacy-statement/1"

// Statement is the privacy statement that an audit supports, for programs and
// people. If Complete is false a flaw was found and nothing in it may be relied on.
type Statement struct {
	Format   string           `json:"format"`
	Complete bool             `json:"complete"`
	Flaw     *Flaw            `json:"flaw"`
	Store    string           `json:"store"`
	Owner    schema.PublicKey `json:"owner"`
	// Scopes say what was spent, one for each BudgetScope; epsilons of different scopes do not add up
	// unless their populations overlap.
	Scopes []ScopeStatement `json:"scopes"`
	Tasks  []TaskStatement  `json:"tasks"`
	// Plain is the statement in plain language, one sentence each.
	Plain []string `json:"plain_language"`
	// Enforcement says how the budget is kept, OutsideBudget which choices it does not cover.
	Enforcement   []string `json:"enforcement"`
	OutsideBudget []string `json:"outside_budget"`
	// Implementation are facts about how noise is made and numbers are handled.
	Implementation []string `json:"implementation"`
	NotProtected   []string `json:"not_protected"`
	Software       Software `json:"software"`
}

// ScopeStatement is what one BudgetScope promises and has spent.
type ScopeStatement struct {
	ID         schema.ScopeID `json:"id"`
	Name       string         `json:"name"`
	Population string         `json:"population"`
	Unit       string         `json:"unit"`     // what is protected: one of these, all its contributions together
	Relation   string         `json:"relation"` // zero_out or replace_one
	Meaning    string         `json:"relation_meaning"`
	Delta      float64        `json:"delta"`
	Allowed    float64        `json:"epsilon_allowed"`
	// Spent is for a vehicle that took part in every charged epoch: the least that an accountant proves.
	Spent       float64   `json:"epsilon_spent"`
	Accountants []Account `json:"accountants"`
	Silent      []string  `json:"accountants_without_bound"`
	// Rho is the zCDP of the Gaussian mechanisms, Mu their Gaussian DP; null with others. The
	// distances of the discrete sums and of the sampler come on top and are in epsilon.
	Rho *float64 `json:"rho"`
	Mu  *float64 `json:"mu"`
	// Worst is the vehicle that took part most often, by its own participations.
	Worst    *Group  `json:"worst_vehicle"`
	Vehicles []Group `json:"vehicles"`
	Enrolled int     `json:"enrolled"` // most vehicles in one snapshot
	// DeltaTimesEnrolled should be well below 1.
	DeltaTimesEnrolled float64 `json:"delta_times_enrolled"`
	Epochs             int     `json:"epochs_charged"`
	Sampling           string  `json:"sampling"` // amplification that is claimed: "none"
	MaxParticipation   int     `json:"max_participation"`
	MinSeparation      uint64  `json:"min_separation"`
	Within             bool    `json:"within_budget"`
	// Ledger is what the audit saw of the scope's ledger; its checkpoint is for the next audit.
	Ledger *Ledger `json:"ledger"`
}

// TaskStatement is the mechanism of one task in integers, and what its rounds were worth.
type TaskStatement struct {
	ID            schema.TaskID        `json:"id"`
	Name          string               `json:"name"`
	Scope         schema.ScopeID       `json:"scope"`
	Event         schema.Event         `json:"event"`
	ClippingNorm  float64              `json:"clipping_norm"` // of all rounds, or of the first if adaptive
	Adaptive      *Adaptive            `json:"adaptive,omitempty"`
	ClippingNorms []NormStatement      `json:"clipping_norms,omitempty"` // with adaptive clipping: of every round
	TrustModel    string               `json:"trust_model"`
	Trust         []string             `json:"trust"` // who has to be honest
	Participation schema.Participation `json:"participation"`
	Committed     int                  `json:"rounds_committed"`
	Void          int                  `json:"rounds_void"`
	Open          int                  `json:"rounds_open"`
	Recomputed    int                  `json:"sums_recomputed"`
	Signed        int                  `json:"sums_taken_as_signed"`
	// NoiseStdDev and SNR are the medians over the committed rounds, in the update's units.
	NoiseStdDev float64 `json:"noise_std_dev"`
	SNR         float64 `json:"signal_to_noise"`
}

// NormStatement is the clipping norm of one round, which follows from another round
// ("" for the task's own), and the published fraction of updates within it.
type NormStatement struct {
	Round        string       `json:"round"`
	ClippingNorm float64      `json:"clipping_norm"`
	Follows      string       `json:"follows,omitempty"`
	Unclipped    *schema.Real `json:"unclipped,omitempty"`
}

// Statement draws the statement from what was verified.
func (r *Report) Statement() Statement {
	s := Statement{
		Format: StatementFormat, Complete: r.Complete, Flaw: r.Flaw, Store: r.Store, Owner: r.Owner,
		Scopes: []ScopeStatement{}, Tasks: []TaskStatement{}, Plain: []string{}, Software: r.Software,
		Enforcement: slices.Clone(enforcement), OutsideBudget: slices.Concat(outsideBudget, clippingWords(r.Tasks)), Implementation: implementation, NotProtected: notProtected,
	}
	for _, sc := range r.Scopes {
		s.Scopes = append(s.Scopes, r.scopeStatement(sc))
		s.Enforcement = append(s.Enforcement, sc.rollback())
	}
	for _, t := range r.Tasks {
		s.Tasks = append(s.Tasks, taskStatement(t))
	}
	s.Plain = plain(&s)
	return s
}

func (r *Report) scopeStatement(sc *Scope) ScopeStatement {
	x := ScopeStatement{
		ID: sc.ID, Name: sc.Scope.Name, Population: sc.Scope.Population, Unit: sc.Scope.Unit,
		Relation: sc.Scope.Relation, Meaning: relationMeaning(sc.Scope.Relation),
		Delta: float64(sc.Scope.Delta), Allowed: float64(sc.Scope.Epsilon),
		Accountants: sc.Spent, Silent: sc.Silent, Vehicles: sc.Vehicles, Epochs: len(sc.Charges), Sampling: "none",
		MaxParticipation: sc.MaxParticipation, MinSeparation: sc.MinSeparation, Within: sc.Within, Ledger: sc.Ledger,
	}
	if eps := least(sc.Spent); !math.IsInf(eps, 1) {
		x.Spent = eps
	}
	if n := len(sc.Vehicles); n > 0 {
		x.Worst = &sc.Vehicles[n-1]
	}
	for _, t := range r.Tasks {
		for _, round := range t.Rounds {
			if t.Scope == sc.ID {
				x.Enrolled = max(x.Enrolled, round.Enrolled)
			}
		}
	}
	x.DeltaTimesEnrolled = x.Delta * float64(x.Enrolled)
	if rho, ok := zcdp(sc); ok {
		mu := math.Sqrt(2 * rho)
		x.Rho, x.Mu = &rho, &mu
	}
	return x
}

// zcdp adds up the zCDP of the charges, if all are Gaussian.
func zcdp(sc *Scope) (rho float64, ok bool) {
	for _, c := range sc.Charges {
		z := float64(c.Event.NoiseMultiplier)
		switch c.Event.Mechanism {
		case "gaussian":
		case "discrete_gaussian":
			z = float64(c.Event.LocalStdDev) * math.Sqrt(float64(c.Event.HonestMin)) / float64(c.Event.Sensitivity)
		default:
			return 0, false
		}
		if sc.Scope.Relation == string(accountant.ReplaceOne) {
			z /= 2
		}
		rho += 1 / (2 * z * z)
	}
	return rho, true
}

func taskStatement(t *Task) TaskStatement {
	x := TaskStatement{
		ID: t.ID, Name: t.Name, Scope: t.Scope, Event: t.Event, ClippingNorm: float64(t.ClippingNorm),
		TrustModel: t.Event.TrustModel, Trust: t.trust(), Participation: t.Participation, Adaptive: t.Adaptive,
	}
	var noise, snr []float64
	for _, r := range t.Rounds {
		if !r.Verified {
			continue // the flaw is in it
		}
		if t.Adaptive != nil {
			x.ClippingNorms = append(x.ClippingNorms, NormStatement{Round: r.Name, ClippingNorm: float64(r.ClippingNorm), Follows: r.Follows, Unclipped: r.Unclipped})
		}
		switch r.Status {
		case schema.StatusCommitted:
			x.Committed++
			noise, snr = append(noise, r.NoiseStdDev), append(snr, r.SNR)
		case schema.StatusVoid:
			x.Void++
		default:
			x.Open++
		}
		switch r.Depth {
		case SumRecomputed:
			x.Recomputed++
		case SumSigned:
			x.Signed++
		}
	}
	x.NoiseStdDev, x.SNR = median(noise), median(snr)
	return x
}

// trust says who has to be honest for the guarantee of a task.
func (t *Task) trust() []string {
	all := []string{
		fmt.Sprintf("at most %d of the %d decryptors are malicious; any %d of them open a sum, %d alone learn nothing", t.Malicious, t.Members, t.Threshold, t.Threshold-1),
		"each vehicle's own computer is honest, and its key is its own",
	}
	if t.Event.TrustModel == "local" {
		return append(all, "nobody else: every vehicle adds all the noise itself, so the guarantee holds against everybody together")
	}
	all = append(all,
		fmt.Sprintf("at most %d of the vehicles of one list are dishonest, so that of at least %d reports the noise of %d counts (max_dishonest, min_batch_size, honest_min)", t.MaxDishonest, t.MinBatch, t.Event.HonestMin),
		"the enrollment authority gives every vehicle one pseudonym only")
	if !t.PostQuantum {
		all = append(all, "nobody breaks X25519 later: this suite is not post-quantum")
	}
	return all
}

func relationMeaning(relation string) string {
	if relation == string(accountant.ReplaceOne) {
		return "one vehicle's updates are replaced by any others, in all rounds; the lists of vehicles are public"
	}
	return "one vehicle's updates are replaced by zero, in all rounds; the lists of vehicles are public"
}
