package statistics

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Names of the fields that [Predict] reads and writes.
const (
	FieldLabel         = "label"         // read: the true class
	FieldProbabilities = "probabilities" // read: a list by class number, or a map by class name
	FieldPredicted     = "predicted"     // written: the likeliest class
	FieldConfidence    = "confidence"    // written: its probability
	FieldCorrect       = "correct"       // written: whether it is the true one
	FieldLoss          = "loss"          // written: -ln of the true class's probability, at most MaxLoss
)

// MaxLoss bounds the loss of one prediction: that of a probability of 2^-32.
var MaxLoss = 32 * math.Ln2

// Predict returns records with what an evaluation asks for beside what they hold: each
// record with [FieldProbabilities] gets predicted, confidence and, if it has a label,
// correct and loss. Fields that are there already are kept. The probabilities themselves
// are dropped. Of equally likely classes the first counts, by number or by name.
func Predict(records []Record) ([]Record, error) {
	out := make([]Record, len(records))
	for i, r := range records {
		given, ok := r[FieldProbabilities]
		if !ok {
			out[i] = r
			continue
		}
		p, err := probabilities(given)
		if err != nil {
			return nil, fmt.Errorf("%w (record %d)", err, i)
		}
		made, err := predicted(p, r)
		if err != nil {
			return nil, fmt.Errorf("%w (record %d)", err, i)
		}
		for k, v := range r {
			made[k] = v
		}
		delete(made, FieldProbabilities)
		out[i] = made
	}
	return out, nil
}

// class is one class with its probability.
type class struct {
	name string
	p    float64
}

func probabilities(v any) ([]class, error) {
	var all []class
	add := func(name string, v any) {
		p, ok := v.(float64)
		if !ok {
			p = math.NaN()
		}
		all = append(all, class{name, p})
	}
	switch v := v.(type) {
	case []any:
		for i, p := range v {
			add(strconv.Itoa(i), p)
		}
	case []float64:
		for i, p := range v {
			add(strconv.Itoa(i), p)
		}
	case map[string]any:
		var names []string
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			add(name, v[name])
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %q is no list or map of numbers", ErrValue, FieldProbabilities)
	}
	for _, c := range all {
		if !(c.p >= 0 && c.p <= 1+1e-6) {
			return nil, fmt.Errorf("%w: %q has a value that is not between 0 and 1", ErrValue, FieldProbabilities)
		}
	}
	return all, nil
}

func predicted(p []class, r Record) (Record, error) {
	best := p[0]
	for _, c := range p[1:] {
		if c.p > best.p {
			best = c
		}
	}
	made := Record{FieldPredicted: best.name, FieldConfidence: best.p}
	if r[FieldLabel] == nil {
		return made, nil
	}
	label, err := text(FieldLabel, r[FieldLabel])
	if err != nil {
		return nil, err
	}
	made[FieldCorrect] = label == best.name
	loss := MaxLoss // of a class that the model does not know
	if i := slices.IndexFunc(p, func(c class) bool { return c.name == label }); i >= 0 && p[i].p > 0 {
		loss = min(max(-math.Log(p[i].p), 0), MaxLoss)
	}
	made[FieldLoss] = loss
	return made, nil
}
