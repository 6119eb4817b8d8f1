package privacy

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/compress"
)

// ErrParams reports parameters outside what this package supports. The message
// names field, value and range.
var ErrParams = errors.New("privacy: invalid parameters")

// TrustModel says whom a client must trust for its guarantee.
type TrustModel string

// The trust models.
const (
	// Distributed: at least MinBatchSize - MaxDishonest honest clients of a
	// batch add their noise; nobody sees less than their sum.
	Distributed TrustModel = "distributed"
	// Local: the client's own noise suffices, whoever colludes.
	Local TrustModel = "local"
)

// Mechanism names the noise.
type Mechanism string

// The mechanisms.
const (
	// DiscreteGaussian is the sealing noise itself; any number of values.
	DiscreteGaussian Mechanism = "discrete_gaussian"
	// Gaussian and Laplace come from google/differential-privacy and are added
	// before sealing; [Local] only, at most 1000 values (10 to 30 us each).
	Gaussian Mechanism = "gaussian"
	Laplace  Mechanism = "laplace"
)

// NeighboringRelation says which two batches cannot be told apart.
type NeighboringRelation = accountant.NeighboringRelation

// The relations; [New] refuses AddRemove, because the list of a batch is public.
const (
	ZeroOut    = accountant.ZeroOut
	ReplaceOne = accountant.ReplaceOne
	AddRemove  = accountant.AddRemove
)

// Bounds of the literal and of what is derived from it.
const (
	maxValues     = 1 << 28
	maxClip       = 1e30
	maxMultiplier = 1e4
	maxBatch      = 1 << 24
	maxNoisyDim   = 1000    // values of the library mechanisms
	maxBound      = 1 << 26 // D: 1024 squares stay below 2^63
	maxNoisyValue = 1 << 28 // a noisy value; no modulus holds more

	minStdDev = 6.4     // encryption needs it; also makes tau vanish
	maxStdDev = 1 << 20 // the sampler's support

	normInflation = 0.01 // eps_norm: room for rounding in the norm
)

// Group is a range [From, To) of values clipped to an L2 norm of its own.
type Group struct {
	From         int     `json:"from"`
	To           int     `json:"to"`
	ClippingNorm float64 `json:"clipping_norm"`
}

// Literal is what a task asks for. Only Values, a clipping norm,
// NoiseMultiplier, MinBatchSize and MaxBatchSize are required.
type Literal struct {
	// Values is d, the length of an update; 1 to 2^28. Required.
	Values int `json:"values"`
	// ClippingNorm is C, the L2 bound on an update; 1e-30 to 1e30. Required
	// unless Groups are given; with Groups it is 0 or their sqrt(sum C_l^2).
	ClippingNorm float64 `json:"clipping_norm,omitempty"`
	// Groups cover [0, Values) in order, without gaps; none means one group.
	Groups []Group `json:"groups,omitempty"`
	// NoiseMultiplier is z: standard deviation of the noise that is counted
	// (of the summed honest noise, or of one client's in the local model; for
	// Laplace the scale) over the sensitivity to zeroing one update (L2, for
	// Laplace L1); 1e-4 to 1e4. Required.
	NoiseMultiplier float64 `json:"noise_multiplier"`
	// TrustModel: default [Distributed].
	TrustModel TrustModel `json:"trust_model,omitempty"`
	// Mechanism: default [DiscreteGaussian].
	Mechanism Mechanism `json:"mechanism,omitempty"`
	// Relation: default [ZeroOut]; [ReplaceOne] costs twice the sensitivity,
	// the noise stays the same.
	Relation NeighboringRelation `json:"relation,omitempty"`
	// MinBatchSize and MaxBatchSize bound the reports in a batch;
	// MinBatchSize <= MaxBatchSize <= 2^24. Required.
	MinBatchSize int `json:"min_batch_size"`
	MaxBatchSize int `json:"max_batch_size"`
	// MaxDishonest is F_c, the most dishonest clients in one batch (a number,
	// not a share); MinBatchSize - MaxDishonest >= 2 (local model: 1).
	MaxDishonest int `json:"max_dishonest,omitempty"`
	// Kappa and KappaInf in (0, 1] are declared bounds on the batch's mean,
	// over D and over MaxInf; default 1. A breach costs accuracy, not privacy.
	// With Compression, Kappa is of the updates before the map, and KappaInf is not used.
	Kappa    float64 `json:"kappa,omitempty"`
	KappaInf float64 `json:"kappa_inf,omitempty"`
	// MaxInf is M_inf, the bound on one encoded integer; 1 to D, 0 means D.
	MaxInf int64 `json:"max_inf,omitempty"`
	// Adaptive asks for adaptive clipping; [DiscreteGaussian] only. ClippingNorm
	// is then the norm of the first round.
	Adaptive *Adaptive `json:"adaptive,omitempty"`
	// Compression makes every round send the k numbers of a public linear map of
	// the clipped update instead of its d values; nil sends the values. Its
	// Values is 0 or the literal's. Grid, D, noise and capacity are then those of k numbers.
	Compression *compress.Spec `json:"compression,omitempty"`
}

// Params is a validated, immutable [Literal] with all that follows from it.
// The zero value is invalid and refused by [NewEncoder]. Safe for concurrent use.
type Params struct {
	literal     Literal
	clip        float64 // C of this round
	inverseGrid float64 // 1/gamma of this round
	bound       int64   // D
	indicator   int64   // B; 0 without adaptive clipping
	maxInf      int64
	noise       float64 // standard deviation of the counted noise, integer units
	local       float64 // sigma_e
	sent        int     // numbers sent of an update: k, or d without compression
	extra       extraNoise
}

// New validates l and derives the rest. Every error wraps [ErrParams].
func New(l Literal) (Params, error) {
	l = withDefaults(l)
	if err := l.validate(); err != nil {
		return Params{}, err
	}
	p := Params{literal: l, clip: l.ClippingNorm, sent: l.sent()}
	if err := p.derive(); err != nil {
		return Params{}, err
	}
	return p, nil
}

// withDefaults fills optional fields and takes its own copy of what l points to.
func withDefaults(l Literal) Literal {
	l.Groups = append([]Group(nil), l.Groups...)
	if l.TrustModel == "" {
		l.TrustModel = Distributed
	}
	if l.Mechanism == "" {
		l.Mechanism = DiscreteGaussian
	}
	if l.Relation == "" {
		l.Relation = ZeroOut
	}
	if l.Kappa == 0 {
		l.Kappa = 1
	}
	if l.KappaInf == 0 {
		l.KappaInf = 1
	}
	if norm := groupNorm(l.Groups); len(l.Groups) > 0 && l.ClippingNorm == 0 {
		l.ClippingNorm = norm
	}
	l.Adaptive = l.Adaptive.withDefaults(&l)
	if l.Compression != nil {
		c := *l.Compression
		if c.Values == 0 {
			c.Values = l.Values
		}
		c.Shapes = slices.Clone(c.Shapes)
		for i := range c.Shapes {
			c.Shapes[i] = slices.Clone(c.Shapes[i])
		}
		l.Compression = &c
	}
	return l
}

// groupNorm is sqrt(sum C_l^2), computed in a fixed order.
func groupNorm(groups []Group) float64 {
	var sum float64
	for _, g := range groups {
		sum += float64(g.ClippingNorm * g.ClippingNorm)
	}
	return math.Sqrt(sum)
}

func (l *Literal) validate() error {
	checks := []error{
		between("Values", l.Values, 1, maxValues),
		positive("ClippingNorm", l.ClippingNorm, 1/maxClip, maxClip),
		positive("NoiseMultiplier", l.NoiseMultiplier, 1/maxMultiplier, maxMultiplier),
		oneOf("TrustModel", l.TrustModel, Distributed, Local),
		oneOf("Mechanism", l.Mechanism, DiscreteGaussian, Gaussian, Laplace),
		oneOf("Relation", l.Relation, ZeroOut, ReplaceOne),
		between("MinBatchSize", l.MinBatchSize, 1, maxBatch),
		between("MaxBatchSize", l.MaxBatchSize, l.MinBatchSize, maxBatch),
		positive("Kappa", l.Kappa, math.SmallestNonzeroFloat64, 1),
		positive("KappaInf", l.KappaInf, math.SmallestNonzeroFloat64, 1),
		l.validateCompression(),
		l.validateHonest(),
		l.validateMechanism(),
		l.validateGroups(),
		l.validateAdaptive(),
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *Literal) validateCompression() error {
	c := l.Compression
	if c == nil {
		return nil
	}
	if c.Values != l.Values {
		return fmt.Errorf("%w: Compression.Values is %d, want 0 or Values = %d", ErrParams, c.Values, l.Values)
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%w: Compression: %w", ErrParams, err)
	}
	return nil
}

// sent is how many numbers a valid literal sends of an update.
func (l *Literal) sent() int {
	if l.Compression == nil {
		return l.Values
	}
	return l.Compression.Sent()
}

func (l *Literal) validateHonest() error {
	least := 2
	if l.TrustModel == Local {
		least = 1
	}
	if most := l.MinBatchSize - least; l.MaxDishonest < 0 || l.MaxDishonest > most {
		return fmt.Errorf("%w: MaxDishonest is %d, want 0 to MinBatchSize - %d = %d (%s)", ErrParams, l.MaxDishonest, least, most, l.TrustModel)
	}
	return nil
}

func (l *Literal) validateMechanism() error {
	if l.Mechanism == DiscreteGaussian {
		return nil
	}
	if l.TrustModel != Local {
		return fmt.Errorf("%w: Mechanism is %s, which needs TrustModel local", ErrParams, l.Mechanism)
	}
	if sent := l.sent(); sent > maxNoisyDim {
		if l.Compression != nil {
			return fmt.Errorf("%w: Compression sends %d values, want at most %d with Mechanism %s", ErrParams, sent, maxNoisyDim, l.Mechanism)
		}
		return fmt.Errorf("%w: Values is %d, want at most %d with Mechanism %s", ErrParams, sent, maxNoisyDim, l.Mechanism)
	}
	return nil
}

func (l *Literal) validateGroups() error {
	if len(l.Groups) == 0 {
		return nil
	}
	next := 0
	for i, g := range l.Groups {
		if g.From != next || g.To <= g.From || g.To > l.Values {
			return fmt.Errorf("%w: Groups[%d] is [%d, %d), want [%d, up to %d)", ErrParams, i, g.From, g.To, next, l.Values)
		}
		if err := positive(fmt.Sprintf("Groups[%d].ClippingNorm", i), g.ClippingNorm, 1/maxClip, maxClip); err != nil {
			return err
		}
		next = g.To
	}
	if next != l.Values {
		return fmt.Errorf("%w: Groups end at %d, want Values = %d", ErrParams, next, l.Values)
	}
	if norm := groupNorm(l.Groups); math.Abs(l.ClippingNorm-norm) > 1e-9*norm {
		return fmt.Errorf("%w: ClippingNorm is %g, want 0 or the norm of Groups, %g", ErrParams, l.ClippingNorm, norm)
	}
	return nil
}

func between(field string, v, low, high int) error {
	if v < low || v > high {
		return fmt.Errorf("%w: %s is %d, want %d to %d", ErrParams, field, v, low, high)
	}
	return nil
}

func positive(field string, v, low, high float64) error {
	if !(v >= low && v <= high) { // also false for NaN
		return fmt.Errorf("%w: %s is %g, want %g to %g", ErrParams, field, v, low, high)
	}
	return nil
}

func oneOf[T ~string](field string, v T, allowed ...T) error {
	for _, a := range allowed {
		if v == a {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is %.40q, want one of %q", ErrParams, field, string(v), allowed)
}
