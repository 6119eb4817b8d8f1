package main

import (
	"strings"
	"testing"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/batch"
	"github.com/veilsum/veilsum/schema"
)

// FuzzStepInput: whatever an engine hands to "batch step", it is a step of the plan with just these inputs, or a
// mistake in its usage.
func FuzzStepInput(f *testing.F) {
	r := &pipeline.Round{Name: pipeline.RoundName{Epoch: 1}, ID: schema.RoundID{Digest: schema.Digest{9}}}
	ids := []schema.ReportID{{Digest: schema.Digest{1}}, {Digest: schema.Digest{2}}, {Digest: schema.Digest{3}}}
	t, err := batch.New(r.ID, schema.Digest{4}, 2, schema.BatchRegion{Reports: ids})
	if err != nil {
		f.Fatal(err)
	}
	for _, level := range t.Levels {
		for _, s := range level {
			line := stepLine{Plan: t.ID, Level: s.Level, Index: s.Index, Step: s.ID}
			for _, x := range s.Inputs() {
				line.Inputs = append(line.Inputs, inputName(r, s.Level, x))
			}
			f.Add([]byte(line.Text()))
			f.Add([]byte(strings.Join(line.Inputs, "\n")))
		}
	}
	f.Add([]byte("{}"))
	f.Add([]byte(ids[0].String() + "\n\n" + ids[0].String()))
	f.Fuzz(func(t2 *testing.T, raw []byte) {
		w, err := parseWish(raw)
		var s *batch.Step
		if err == nil {
			s, err = w.find(r, t)
		}
		if err == nil && (len(s.Inputs()) != len(w.inputs) || !w.step.IsZero() && w.step != s.ID) {
			t2.Errorf("%q is step %+v", raw, s)
		}
		if err == nil {
			return
		}
		if code, _ := explain(t2.Context(), err); code != exit.Mistake {
			t2.Errorf("%q: exit status %d: %v", raw, code, err)
		}
	})
}
