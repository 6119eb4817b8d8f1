package pipeline

import (
	"fmt"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
)

// Plan is a task with the parameters of the pillars that follow from it. It is
// immutable and safe for concurrent use.
type Plan struct {
	Task    schema.Task
	Privacy privacy.Params
	Secagg  secagg.Params
	// Statistics are the queries of a task of fleet statistics; else nil.
	Statistics *statistics.Set
}

// NewPlan recomputes everything a task derives (D, sigma_e, Q …) and refuses a
// task that states anything else: a wrong modulus or noise would be a wrong claim.
func NewPlan(t schema.Task) (*Plan, error) {
	done, plan, err := complete(t)
	if err != nil {
		return nil, err
	}
	if done.Ring != t.Ring || done.Derived != t.Derived {
		return nil, fmt.Errorf("%w: ring and derived are %+v %+v, the other fields give %+v %+v", ErrTask, t.Ring, t.Derived, done.Ring, done.Derived)
	}
	if c := done.Compression; c != nil && *c != *t.Compression {
		return nil, fmt.Errorf("%w: compression is %+v, its other fields and the tensors give %+v", ErrTask, *t.Compression, *c)
	}
	if done.Checkpoint != t.Checkpoint {
		return nil, fmt.Errorf("%w: checkpoint is %s, the scope's ledger begins with %s", ErrTask, t.Checkpoint.Short(), done.Checkpoint.Short())
	}
	if err := checkRenewal(t); err != nil {
		return nil, err
	}
	return plan, nil
}

// Complete fills in what follows from the fields a person chooses: version,
// ring, derived, the first checkpoint of the scope's ledger, and the defaults of piece_blocks, clipping_norm, adaptive and compression.
func Complete(t schema.Task) (schema.Task, error) {
	done, _, err := complete(t)
	return done, err
}

func complete(t schema.Task) (schema.Task, *Plan, error) {
	t.Version = schema.Version
	params, err := privacyParams(t)
	if err != nil {
		return t, nil, err
	}
	t.Privacy.ClippingNorm = schema.Real(params.ClippingNorm())
	t.Privacy.Adaptive = statedAdaptive(params)
	t.Compression = statedCompression(params.Compression())
	sum, err := secureSum(t, params)
	if err != nil {
		return t, nil, err
	}
	if t.PieceBlocks == 0 {
		t.PieceBlocks = sum.DefaultPieceBlocks()
	}
	t.Ring = schema.Ring{N: sum.N(), Q: sum.Q()}
	t.Derived = schema.Derived{
		Values: params.Values(), Sensitivity: params.Sensitivity(), LocalStdDev: schema.Real(params.LocalStdDev()),
		HonestMin: params.HonestMin(), Grid: schema.Real(params.Grid()),
	}
	t.Checkpoint = schema.Digest(LedgerScope(t.Scope).Genesis().ID())
	if err := t.Validate(); err != nil {
		return t, nil, fmt.Errorf("%w: %w", ErrTask, err)
	}
	questions, err := checkStatistics(t)
	if err != nil {
		return t, nil, err
	}
	return t, &Plan{Task: t, Privacy: params, Secagg: sum, Statistics: questions}, nil
}

func privacyParams(t schema.Task) (privacy.Params, error) {
	d, err := t.Values()
	if err != nil {
		return privacy.Params{}, fmt.Errorf("%w: %w", ErrTask, err)
	}
	groups, err := groupRanges(t)
	if err != nil {
		return privacy.Params{}, err
	}
	compression, err := compression(t, d)
	if err != nil {
		return privacy.Params{}, err
	}
	p, err := privacy.New(privacy.Literal{
		Values: d, ClippingNorm: float64(t.Privacy.ClippingNorm), Groups: groups,
		NoiseMultiplier: float64(t.Privacy.NoiseMultiplier),
		TrustModel:      privacy.TrustModel(t.Privacy.TrustModel), Mechanism: privacy.Mechanism(t.Privacy.Mechanism),
		Relation:     privacy.NeighboringRelation(t.Scope.Relation),
		MinBatchSize: t.Batch.Min, MaxBatchSize: t.Batch.Max, MaxDishonest: t.Batch.MaxDishonest,
		Kappa: float64(t.Privacy.Kappa), KappaInf: float64(t.Privacy.KappaInf), MaxInf: t.Privacy.MaxInf,
		Adaptive: adaptive(t), Compression: compression,
	})
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrTask, err)
	}
	return p, nil
}

// groupRanges turns tensor names into value ranges.
func groupRanges(t schema.Task) ([]privacy.Group, error) {
	var groups []privacy.Group
	next, at := 0, 0
	for _, g := range t.Privacy.Groups {
		from := at
		for _, want := range g.Tensors {
			if next >= len(t.Tensors) || t.Tensors[next].Name != want {
				return nil, fmt.Errorf("%w: privacy.groups: %q: groups must name all tensors in the task's order", ErrTask, want)
			}
			n, err := t.Tensors[next].Size()
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrTask, err)
			}
			next, at = next+1, at+n
		}
		groups = append(groups, privacy.Group{From: from, To: at, ClippingNorm: float64(g.ClippingNorm)})
	}
	if len(groups) > 0 && next != len(t.Tensors) {
		return nil, fmt.Errorf("%w: privacy.groups: %q is in no group", ErrTask, t.Tensors[next].Name)
	}
	return groups, nil
}

// secureSum takes the smallest modulus that holds the largest batch.
func secureSum(t schema.Task, p privacy.Params) (secagg.Params, error) {
	for _, m := range secagg.Moduli() {
		if float64(m.Q)/2 < p.RequiredHalfModulus(m.N) {
			continue
		}
		s, err := secagg.New(secagg.Literal{
			N: m.N, Q: m.Q, Values: p.EncodedValues(), LocalStdDev: p.LocalStdDev(), Suite: secagg.Suite(t.Suite),
			Committee: secagg.Committee{Size: t.Committee.Size, Threshold: t.Committee.Threshold, Malicious: t.Committee.Malicious},
		})
		if err != nil {
			return s, fmt.Errorf("%w: %w", ErrTask, err)
		}
		return s, nil
	}
	return secagg.Params{}, fmt.Errorf("%w: no modulus holds %d reports: lower max_batch_size, noise_multiplier or kappa", ErrTask, t.Batch.Max)
}

// Event is what one round of this task spends. Adaptive clipping adds one value to it and nothing else:
// the indicator lies inside the same sensitivity.
func (p *Plan) Event() schema.Event {
	// Compressed or not, what counts is what is sent.
	return schema.Event{
		Mechanism: p.Task.Privacy.Mechanism, TrustModel: p.Task.Privacy.TrustModel,
		Sensitivity: p.Privacy.Sensitivity(), LocalStdDev: schema.Real(p.Privacy.LocalStdDev()),
		HonestMin: p.Privacy.HonestMin(), Values: p.Privacy.EncodedValues(), MaxBatch: p.Task.Batch.Max, NoiseMultiplier: p.Task.Privacy.NoiseMultiplier,
	}
}

// Header returns the fields of a report header that the task fixes.
func (p *Plan) Header() schema.Header {
	return schema.Header{
		Suite: p.Task.Suite, N: p.Secagg.N(), Q: p.Secagg.Q(), Values: p.Secagg.Values(),
		PieceBlocks: p.Task.PieceBlocks, Size: p.Task.Committee.Size, Threshold: p.Task.Committee.Threshold,
	}
}
