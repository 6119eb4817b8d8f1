package batch_test

import (
	"context"
	"testing"

	"github.com/veilsum/veilsum/pipeline/batch"
)

// sloppy is a Runner that says less than it should.
type sloppy struct {
	batch.Runner
	spoil func([]*batch.Done)
}

func (l sloppy) RunLevel(ctx context.Context, steps []*batch.Step) ([]*batch.Done, error) {
	all, err := l.Runner.RunLevel(ctx, steps)
	l.spoil(all)
	return all, err
}

// TestSloppyRunner: a Runner that leaves a step out, or tells two in each other's place, is an error and no result.
func TestSloppyRunner(t *testing.T) {
	w := newWorld(t, 6)
	tree := w.tree(t, 2)
	for name, spoil := range map[string]func([]*batch.Done){
		"left out": func(all []*batch.Done) { all[0] = nil },
		"empty":    func(all []*batch.Done) { all[0] = &batch.Done{} },
		"swapped": func(all []*batch.Done) {
			if len(all) > 1 {
				all[0], all[1] = all[1], all[0]
			}
		},
	} {
		ran, err := batch.Run(ctx, tree, sloppy{&batch.Local{Store: w.copied(t), Round: w.round}, spoil})
		if err == nil {
			t.Errorf("%s: %+v", name, ran)
		}
	}
}
