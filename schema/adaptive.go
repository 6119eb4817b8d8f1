package schema

// Adaptive says how the clipping norm follows a quantile of the updates' norms
// (Andrew et al. 2021; privacy/GUARANTEE.md section 8). The norm of the first
// round is the task's clipping_norm. In YAML a field of 0 takes its default; a
// signed task states all of them.
type Adaptive struct {
	// TargetQuantile is the fraction of updates to leave unclipped, inside (0,1); default 0.5.
	TargetQuantile Real `json:"target_quantile" yaml:"target_quantile"`
	// LearningRate is eta in C <- C exp(-eta (fraction - target)), > 0, at most 4; default 0.2.
	LearningRate Real `json:"learning_rate" yaml:"learning_rate"`
	// CountStdDev is s_b, the most noise in the count of unclipped updates, in reports; default min_batch_size/20.
	CountStdDev Real `json:"count_std_dev" yaml:"count_std_dev"`
	// MinNorm and MaxNorm bound the norm of every round; default clipping_norm/1024 and 1024 clipping_norm.
	MinNorm Real `json:"min_norm" yaml:"min_norm"`
	MaxNorm Real `json:"max_norm" yaml:"max_norm"`
}

// maxLearningRate keeps one step within a factor of e^4.
const maxLearningRate = 4

func (p Privacy) validateAdaptive() error {
	a := p.Adaptive
	if a == nil {
		return nil
	}
	switch {
	case p.Mechanism != "discrete_gaussian":
		return field("privacy", "adaptive", p.Mechanism, `the mechanism "discrete_gaussian": the indicator has no other noise`)
	case !(a.TargetQuantile > 0 && a.TargetQuantile < 1):
		return field("privacy", "adaptive.target_quantile", float64(a.TargetQuantile), "a number between 0 and 1")
	case !(a.LearningRate > 0 && a.LearningRate <= maxLearningRate):
		return field("privacy", "adaptive.learning_rate", float64(a.LearningRate), "a number above 0, at most 4")
	case !(a.CountStdDev > 0):
		return field("privacy", "adaptive.count_std_dev", float64(a.CountStdDev), "a number above 0")
	case !(a.MinNorm > 0 && a.MinNorm <= p.ClippingNorm):
		return field("privacy", "adaptive.min_norm", float64(a.MinNorm), "a number above 0, at most clipping_norm")
	case !(a.MaxNorm >= p.ClippingNorm):
		return field("privacy", "adaptive.max_norm", float64(a.MaxNorm), "clipping_norm or more")
	}
	return nil
}
