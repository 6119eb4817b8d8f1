package batch

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Runner does the steps of one level, each at least once, wherever it likes. It returns when all of them are
// done; that a step ran twice, or on two machines at a time, does no harm.
type Runner interface {
	// RunLevel returns what was done in the order of the steps.
	RunLevel(ctx context.Context, steps []*Step) ([]*Done, error)
}

// Ran is the result of a whole batch.
type Ran struct {
	Root  *Done
	Tops  []*Done // of the plan's regions
	Steps int
	Found int // of the steps: done before
	Read  int // reports that were read and verified, without those of found steps
}

// Run does all levels of a tree and returns its root. The partial sum is in the store like any other.
func Run(ctx context.Context, t *Tree, runner Runner) (*Ran, error) {
	ran := &Ran{Tops: make([]*Done, len(t.Tops))}
	kept := map[schema.StepID]*Done{t.Root().ID: nil} // the others' lists may go once their level is done
	for _, top := range t.Tops {
		kept[top.ID] = nil
	}
	for i, steps := range t.Levels {
		all, err := runner.RunLevel(ctx, steps)
		if err != nil {
			return nil, err
		}
		if len(all) != len(steps) {
			return nil, fmt.Errorf("batch: %d of %d steps of level %d were run", len(all), len(steps), i+1)
		}
		for j, d := range all {
			if d == nil || d.Step == nil || d.Step.ID != steps[j].ID {
				return nil, fmt.Errorf("batch: step %d of level %d was not run, or not told in its place", j, i+1)
			}
			ran.Steps++
			if _, ok := kept[steps[j].ID]; ok {
				kept[steps[j].ID] = d
			}
			switch {
			case d.Found:
				ran.Found++
			case d.Step.Level == 1:
				ran.Read += d.Step.Reports
			}
		}
	}
	for i, top := range t.Tops {
		ran.Tops[i] = kept[top.ID]
	}
	ran.Root = kept[t.Root().ID]
	return ran, nil
}

// Local runs steps in this process, some at a time. It is a Runner.
type Local struct {
	Store storage.Store
	Round *pipeline.Round
	// Workers is how many steps run at a time; 0: one for each processor.
	Workers int
	// ReadAhead is how many reports each of them reads before they are needed; 0: 2.
	ReadAhead int
	// Progress is told how many of all reports of a level are done, by one goroutine at a time; may be nil.
	Progress aggregator.Progress
}

// RunLevel implements [Runner]. Memory is that of one accumulator and 1 + ReadAhead reports for each worker.
func (l *Local) RunLevel(ctx context.Context, steps []*Step) ([]*Done, error) {
	processors, readers := l.Workers, l.ReadAhead
	if processors < 1 {
		processors = runtime.GOMAXPROCS(0)
	}
	if readers < 1 {
		readers = 2
	}
	workers := max(1, min(processors, len(steps)))
	// Those that fewer steps leave idle add inside the steps.
	opt := aggregator.Options{Workers: processors / workers}
	opt.Readers = readers * opt.Workers
	p := &levelProgress{tell: l.Progress}
	for _, s := range steps {
		p.total += s.Reports
	}
	done := make([]*Done, len(steps))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for i, step := range steps {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			own := opt
			own.Progress = p.of(step)
			d, err := Do(ctx, l.Store, l.Round, step, own)
			if err != nil {
				return fmt.Errorf("step %d of level %d: %w", step.Index, step.Level, err)
			}
			p.finish(step)
			done[i] = d
			return nil
		})
	}
	return done, g.Wait()
}

// levelProgress adds up the progress of the steps of one level.
type levelProgress struct {
	tell  aggregator.Progress
	mu    sync.Mutex
	told  map[*Step]int
	done  int
	total int
}

// of is the progress of one step, whose inputs are reports or partial sums: scaled to its reports.
func (p *levelProgress) of(s *Step) aggregator.Progress {
	return func(done, total int) { p.set(s, s.Reports*done/max(1, total)) }
}

func (p *levelProgress) finish(s *Step) { p.set(s, s.Reports) }

func (p *levelProgress) set(s *Step, reports int) {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == nil {
		p.told = map[*Step]int{}
	}
	if reports > p.told[s] {
		p.done += reports - p.told[s]
		p.told[s] = reports
		p.tell(p.done, p.total)
	}
}
