package schema

import "fmt"

// Task holds the parameters that all roles agree on for many rounds. It is
// valid only when signed by the privacy owner. Its identifier is its hash, so no field can change.
//
// Ring and Derived follow from the other fields; whoever reads a task
// recomputes them (pipeline.NewPlan) and refuses a task that states others.
type Task struct {
	Version int    `json:"version" yaml:"-"`
	Name    string `json:"name" yaml:"name"` // 1 to 128 bytes, for people
	// Scope is the BudgetScope whose budget all tasks with the same scope share.
	Scope   Scope    `json:"scope" yaml:"scope"`
	Tensors []Tensor `json:"tensors" yaml:"tensors"`
	Privacy Privacy  `json:"privacy" yaml:"privacy"`
	// Compression is present if rounds send less than the values themselves.
	Compression *Compression `json:"compression,omitempty" yaml:"compression,omitempty"`
	// MaxExamples is present if updates count by how many examples they were made from, up to this many: 1 to 2^30. See [Task.ExampleWeight].
	MaxExamples   int           `json:"max_examples,omitempty" yaml:"max_examples,omitempty"`
	Batch         Batch         `json:"batch" yaml:"batch"`
	Participation Participation `json:"participation" yaml:"participation"`
	Committee     Committee     `json:"committee" yaml:"committee"`
	// Suite names the HPKE ciphers of the seed boxes: 1 ML-KEM-768+X25519, 2 X25519 (not post-quantum).
	Suite int `json:"suite" yaml:"suite"`
	// PieceBlocks is K, the packed blocks in one piece; 0 in YAML takes the largest with at most 256 KiB.
	PieceBlocks int `json:"piece_blocks" yaml:"piece_blocks"`
	// Collector, Authority and Owner are the signing keys of these roles.
	Collector PublicKey `json:"collector" yaml:"collector"`
	Authority PublicKey `json:"authority" yaml:"authority"`
	Owner     PublicKey `json:"owner" yaml:"owner"`
	// Releaser signs which models the vehicles load; absent: the Collector does. See [Task.ReleaseKey].
	Releaser PublicKey `json:"releaser,omitzero" yaml:"releaser,omitempty"`
	// Checkpoint is the identity of the first checkpoint of the scope's ledger; it follows from the scope.
	Checkpoint Digest `json:"checkpoint" yaml:"-"`
	// Statistics is present if the task asks the fleet questions instead of training a model.
	Statistics *Statistics `json:"statistics,omitempty" yaml:"statistics,omitempty"`
	// Renewal is present if the committee replaces another one of the scope.
	Renewal *Renewal `json:"renewal,omitempty" yaml:"-"`
	Ring    Ring     `json:"ring" yaml:"-"`
	Derived Derived  `json:"derived" yaml:"-"`
}

// Scope is a BudgetScope: the population and data that one privacy budget belongs to.
type Scope struct {
	Name       string `json:"name" yaml:"name"`             // 1 to 128 bytes
	Population string `json:"population" yaml:"population"` // whom and what it covers, in words; up to 1024 bytes
	Epsilon    Real   `json:"epsilon" yaml:"epsilon"`       // most epsilon ever spent, > 0
	Delta      Real   `json:"delta" yaml:"delta"`           // at this delta, in (0,1)
	Unit       string `json:"unit" yaml:"unit"`             // privacy unit: "vehicle"
	Relation   string `json:"relation" yaml:"relation"`     // neighboring relation: "zero_out" or "replace_one"
}

// ID returns the identity of the scope. The budget is part of it: a task cannot raise it.
func (s Scope) ID() ScopeID {
	raw, err := marshal(s)
	if err != nil { // a Real that is not finite: refused by validate
		return ScopeID{}
	}
	return ScopeID{Hash("scope", raw)}
}

// Privacy holds the clipping and the noise. There is no sensitivity here: it follows from the clipping norm.
type Privacy struct {
	// TrustModel is "distributed" (each vehicle adds its share of the noise) or "local" (each adds all of it).
	TrustModel string `json:"trust_model" yaml:"trust_model"`
	// Mechanism is "discrete_gaussian", or in the local model "gaussian" or "laplace" (at most 1,000 values).
	Mechanism string `json:"mechanism" yaml:"mechanism"`
	// ClippingNorm is C, the L2 bound of one update, > 0; with Groups it is their root sum of squares and may be 0 in YAML.
	ClippingNorm Real `json:"clipping_norm" yaml:"clipping_norm"`
	// Groups clips sets of consecutive tensors each to its own norm; empty means one group.
	Groups []Group `json:"groups,omitempty" yaml:"groups,omitempty"`
	// NoiseMultiplier is z, the standard deviation of the summed honest noise over the sensitivity, > 0.
	NoiseMultiplier Real `json:"noise_multiplier" yaml:"noise_multiplier"`
	// Kappa and KappaInf are declared bounds on the mean update over the clipping bounds, in (0,1]; a breach costs accuracy, never privacy.
	Kappa    Real `json:"kappa" yaml:"kappa"`
	KappaInf Real `json:"kappa_inf" yaml:"kappa_inf"`
	// MaxInf is M_inf, the bound on one encoded value; 0 means the L2 bound.
	MaxInf int64 `json:"max_inf" yaml:"max_inf"`
	// Adaptive lets the clipping norm of later rounds follow the updates' norms; nil keeps it constant.
	Adaptive *Adaptive `json:"adaptive,omitempty" yaml:"adaptive,omitempty"`
}

// Group is a run of consecutive tensors clipped together.
type Group struct {
	Tensors      []string `json:"tensors" yaml:"tensors"`
	ClippingNorm Real     `json:"clipping_norm" yaml:"clipping_norm"`
}

// Batch bounds the list of one round.
type Batch struct {
	Min          int `json:"min_batch_size" yaml:"min_batch_size"` // fewest reports in a list
	Max          int `json:"max_batch_size" yaml:"max_batch_size"` // most reports in a list
	MaxDishonest int `json:"max_dishonest" yaml:"max_dishonest"`   // F_c, most dishonest vehicles in one list
	Lanes        int `json:"lanes" yaml:"lanes"`                   // rounds of one epoch, 1 to 4096
}

// Participation limits what one vehicle may give inside the BudgetScope.
type Participation struct {
	Max           int `json:"max" yaml:"max"`                       // most rounds, 0 = no limit
	MinSeparation int `json:"min_separation" yaml:"min_separation"` // fewest epochs of one task between two reports, at least 1
}

// Committee is (n_c, t, f) with the decryptors' signing keys in the order of their indices.
type Committee struct {
	Size      int         `json:"size" yaml:"size"`
	Threshold int         `json:"threshold" yaml:"threshold"`
	Malicious int         `json:"malicious" yaml:"malicious"`
	Keys      []PublicKey `json:"keys" yaml:"keys"`
}

// Ring is the modulus the task's capacity asks for.
type Ring struct {
	N int    `json:"n"`
	Q uint32 `json:"q"`
}

// Derived are the integers that the privacy claim rests on.
type Derived struct {
	Values      int   `json:"values"`        // d, of the update, whatever is sent of it
	Sensitivity int64 `json:"sensitivity"`   // D, L2 bound of the encoded update
	LocalStdDev Real  `json:"local_std_dev"` // sigma_e, the noise of one vehicle
	HonestMin   int   `json:"honest_min"`    // h_min
	Grid        Real  `json:"grid"`          // 1/gamma, grid steps per unit
}

func (Task) label() string { return "task" }
func (Task) maxBytes() int { return 4 << 20 }

// A tensor of 8 dimensions has 10 commas and at least 57 bytes; naming it in a group takes 1 and 4.
func (Task) bytesPerComma() int { return 5 }

// MaxTensors bounds the tensors of one task.
const MaxTensors = 16384

func (t Task) validate() error {
	if err := version("task", t.Version); err != nil {
		return err
	}
	if err := t.Validate(); err != nil {
		return err
	}
	return t.validateDerived()
}

// validateDerived refuses what no task can derive. That the values follow from
// the other fields is the business of pipeline.NewPlan.
func (t Task) validateDerived() error {
	d, err := t.Values()
	if err != nil {
		return err
	}
	switch {
	case !AllowedModulus(t.Ring.N, t.Ring.Q):
		return field("ring", "n, q", fmt.Sprint(t.Ring.N, t.Ring.Q), "a row of PROTOCOL.md section 2: complete the task before it is signed")
	case t.Derived.Values != d:
		return field("derived", "values", t.Derived.Values, fmt.Sprint(d))
	case t.Derived.Sensitivity < 1:
		return field("derived", "sensitivity", t.Derived.Sensitivity, "1 or more")
	case !localStdDev(t.Derived.LocalStdDev):
		return field("derived", "local_std_dev", float64(t.Derived.LocalStdDev), "6.4 to 2^20")
	case t.Derived.HonestMin < 1 || t.Derived.HonestMin > t.Batch.Max:
		return field("derived", "honest_min", t.Derived.HonestMin, "1 to max_batch_size")
	case !(t.Derived.Grid > 0):
		return field("derived", "grid", float64(t.Derived.Grid), "a number above 0")
	}
	return nil
}

// Validate checks every field that a person gives for itself; version, [Ring] and
// [Derived] are filled in by pipeline.Complete and checked by pipeline.NewPlan.
func (t Task) Validate() error {
	if err := name("task", "name", t.Name); err != nil {
		return err
	}
	for _, check := range []func() error{t.Scope.validate, t.validateTensors, t.Privacy.validate, t.Privacy.validateAdaptive, t.validateGroups, t.validateCompression, t.Batch.validate, t.Committee.validate, t.Statistics.validate, t.validateRenewal, t.validateRest} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (t Task) validateRenewal() error { return t.Renewal.validate(t.Committee) }

func (t Task) validateRest() error {
	switch {
	case t.MaxExamples < 0 || t.MaxExamples > MaxExamples:
		return field("task", "max_examples", t.MaxExamples, "1 to 2^30, or absent")
	case t.MaxExamples > 0 && t.Statistics != nil:
		return field("task", "max_examples", t.MaxExamples, "none beside statistics, whose queries have weights of their own")
	case t.Participation.Max < 0:
		return field("participation", "max", t.Participation.Max, "0 (no limit) or more")
	case t.Participation.MinSeparation < 1:
		return field("participation", "min_separation", t.Participation.MinSeparation, "1 or more epochs")
	case t.Suite != 1 && t.Suite != 2:
		return field("task", "suite", t.Suite, "1 (ML-KEM-768+X25519) or 2 (X25519)")
	case t.PieceBlocks < 1 || t.PieceBlocks > MaxPieceBlocks:
		return field("task", "piece_blocks", t.PieceBlocks, "1 to 65536 blocks")
	case t.Collector.IsZero() || t.Authority.IsZero() || t.Owner.IsZero():
		return field("task", "collector, authority, owner", "one is absent", "three public keys of 64 hexadecimal digits")
	}
	return nil
}

// MaxExamples bounds [Task.MaxExamples].
const MaxExamples = 1 << 30

// ExampleWeight returns the factor in (0,1] of an update that was made from so many examples, at least 1: min(examples, MaxExamples) over MaxExamples;
// 1 if the task does not weigh. It multiplies an update before it is clipped, so the bound of one update is what it was. The cap is public and
// the same for all: a vehicle with very many examples counts like one at the cap.
func (t Task) ExampleWeight(examples int) float64 {
	if t.MaxExamples == 0 {
		return 1
	}
	return float64(min(max(examples, 1), t.MaxExamples)) / float64(t.MaxExamples)
}

func (t Task) validateTensors() error {
	for _, x := range t.Tensors {
		if x.Shape == nil { // a forgotten shape must not read as a scalar
			return field("tensor", "shape", "absent", "a list of dimensions, [] for a scalar")
		}
	}
	_, err := t.Values()
	return err
}

// validateGroups checks that the groups name all tensors in the task's order.
func (t Task) validateGroups() error {
	next := 0
	for _, g := range t.Privacy.Groups {
		if len(g.Tensors) == 0 || !(g.ClippingNorm > 0) {
			return field("privacy", "groups", fmt.Sprintf("%d tensors, clipping norm %v", len(g.Tensors), float64(g.ClippingNorm)), "at least one tensor and a norm above 0 in every group")
		}
		for _, x := range g.Tensors {
			if next == len(t.Tensors) || t.Tensors[next].Name != x {
				return field("privacy", "groups", fmt.Sprintf("%.20q", x), "all tensors in the task's order")
			}
			next++
		}
	}
	if len(t.Privacy.Groups) > 0 && next < len(t.Tensors) {
		return field("privacy", "groups", fmt.Sprintf("%.20q", t.Tensors[next].Name), "every tensor in a group")
	}
	return nil
}

// Values returns d, the number of values of all tensors.
func (t Task) Values() (int, error) {
	if len(t.Tensors) == 0 || len(t.Tensors) > MaxTensors {
		return 0, field("task", "tensors", len(t.Tensors), "1 to 16384 tensors")
	}
	d, seen := 0, map[string]bool{}
	for _, x := range t.Tensors {
		if err := x.validate(); err != nil {
			return 0, err
		}
		n, err := x.Size()
		if err != nil || seen[x.Name] || d > MaxValues-n {
			return 0, field("task", "tensors", fmt.Sprintf("%q %v", x.Name, x.Shape), "unique names and at most 2^31-1 values in all")
		}
		seen[x.Name], d = true, d+n
	}
	return d, nil
}

func (t Tensor) validate() error {
	if err := name("tensor", "name", t.Name); err != nil {
		return err
	}
	if t.DType != "float32" && t.DType != "float64" {
		return field("tensor", "dtype", fmt.Sprintf("%.20q", t.DType), `"float32" or "float64"`)
	}
	if len(t.Shape) > 8 {
		return field("tensor", "shape", fmt.Sprintf("%d dimensions", len(t.Shape)), "at most 8 dimensions")
	}
	return nil
}

func (s Scope) validate() error {
	if err := name("scope", "name", s.Name); err != nil {
		return err
	}
	if err := prose("scope", "population", s.Population); err != nil {
		return err
	}
	switch {
	case !(s.Epsilon > 0):
		return field("scope", "epsilon", float64(s.Epsilon), "a number above 0")
	case !(s.Delta > 0 && s.Delta < 1):
		return field("scope", "delta", float64(s.Delta), "a number between 0 and 1")
	case s.Unit != "vehicle":
		return field("scope", "unit", fmt.Sprintf("%.20q", s.Unit), `"vehicle"`)
	case s.Relation != "zero_out" && s.Relation != "replace_one":
		return field("scope", "relation", fmt.Sprintf("%.20q", s.Relation), `"zero_out" or "replace_one"`)
	}
	return nil
}

func (p Privacy) validate() error {
	if err := mechanism("privacy", p.TrustModel, p.Mechanism); err != nil {
		return err
	}
	switch {
	case !(p.ClippingNorm > 0):
		return field("privacy", "clipping_norm", float64(p.ClippingNorm), "a number above 0")
	case !(p.NoiseMultiplier > 0):
		return field("privacy", "noise_multiplier", float64(p.NoiseMultiplier), "a number above 0")
	case !(p.Kappa > 0 && p.Kappa <= 1):
		return field("privacy", "kappa", float64(p.Kappa), "a number above 0, at most 1")
	case !(p.KappaInf > 0 && p.KappaInf <= 1):
		return field("privacy", "kappa_inf", float64(p.KappaInf), "a number above 0, at most 1")
	case p.MaxInf < 0:
		return field("privacy", "max_inf", p.MaxInf, "0 (the L2 bound) or more")
	}
	return nil
}

// mechanism checks the two words that say who adds which noise.
func mechanism(object, trust, m string) error {
	switch {
	case trust != "distributed" && trust != "local":
		return field(object, "trust_model", fmt.Sprintf("%.20q", trust), `"distributed" or "local"`)
	case m == "discrete_gaussian" || trust == "local" && (m == "gaussian" || m == "laplace"):
		return nil
	}
	return field(object, "mechanism", fmt.Sprintf("%.20q", m), `"discrete_gaussian", or in the local model "gaussian" or "laplace"`)
}

func (b Batch) validate() error {
	switch {
	case b.Max < 2 || b.Max > MaxReports:
		return field("batch", "max_batch_size", b.Max, "2 to 1048576")
	case b.Min < 2 || b.Min > b.Max:
		return field("batch", "min_batch_size", b.Min, "2 to max_batch_size")
	case b.MaxDishonest < 0 || b.MaxDishonest > b.Min-2:
		return field("batch", "max_dishonest", b.MaxDishonest, "0 to min_batch_size - 2, so that two honest vehicles remain")
	case b.Lanes < 1 || b.Lanes > 4096:
		return field("batch", "lanes", b.Lanes, "1 to 4096")
	}
	return nil
}

func (c Committee) validate() error {
	if !AllowedCommittee(c.Size, c.Threshold, c.Malicious) {
		return field("committee", "size, threshold, malicious", [3]int{c.Size, c.Threshold, c.Malicious},
			"t > f, 2t - n_c > f and n_c - f >= t with at most 16 decryptors, for example 4, 3, 1")
	}
	if len(c.Keys) != c.Size {
		return field("committee", "keys", len(c.Keys), fmt.Sprintf("%d public keys", c.Size))
	}
	seen := map[PublicKey]bool{{}: true}
	for i, k := range c.Keys {
		if seen[k] {
			return field("committee", "keys", i, "distinct keys that are not zero: one key in two seats would vote twice")
		}
		seen[k] = true
	}
	return nil
}
