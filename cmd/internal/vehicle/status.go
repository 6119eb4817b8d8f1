package vehicle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// Status prints what the vehicle gave, what waits, and, if a store and a task are
// given, when it may report again and what became of its last report. Without a link it prints what the disk tells, then fails.
func (p *Program) Status(ctx context.Context, w Where) (int, error) {
	id, floor, err := p.Identity(w.State)
	if err != nil {
		return 0, err
	}
	if w.Store == "" || w.Task == "" {
		dir, err := state.Open(w.State)
		if err != nil {
			return 0, err
		}
		defer dir.Close()
		res, _, err := diskStatus(dir, id, floor)
		if err != nil {
			return 0, err
		}
		p.Out.Result(res)
		return exit.Done, nil
	}
	s, err := p.open(ctx, w)
	if err != nil {
		return 0, errors.Join(p.offline(w, id, floor), err)
	}
	defer s.close()
	res, disk, err := diskStatus(s.state, id, floor)
	if err != nil {
		return 0, err
	}
	err = s.ask(ctx, res, disk)
	p.Out.Result(res)
	return exit.Done, err
}

// offline prints what the disk tells when the store does not answer.
func (p *Program) offline(w Where, id client.Identity, floor client.Floor) error {
	if _, _, err := w.ids(); err != nil {
		return nil // a mistake on the command line, which is told
	}
	dir, err := state.Open(w.State)
	if err != nil {
		return nil // in use, which is told
	}
	defer dir.Close()
	res, _, err := diskStatus(dir, id, floor)
	if err == nil {
		p.Out.Result(res)
	}
	return err
}

func diskStatus(dir *state.Dir, id client.Identity, floor client.Floor) (*statusResult, *client.Status, error) {
	disk, err := client.ReadStatus(dir)
	if err != nil {
		return nil, nil, err
	}
	res := &statusResult{
		ID: id.ID, PublicKey: schema.NewPublicKey(id.Key), MinBatchSize: floor.MinBatchSize, NoiseMultiplier: floor.NoiseMultiplier,
		Waiting: []waiting{}, Given: []given{},
	}
	for _, x := range disk.Waiting {
		one := waiting{File: dir.Path(x.File), Bytes: x.Bytes}
		if x.Damaged != nil {
			one.Damaged = x.Damaged.Error()
		} else {
			one.Task, one.Epoch, one.Lane, one.Report = &x.Name.Task, x.Name.Epoch, x.Name.Lane, &x.Report
		}
		res.Waiting = append(res.Waiting, one)
	}
	for _, g := range disk.Tasks {
		res.Given = append(res.Given, given{Scope: g.Scope, Task: g.Task, Participations: g.Participations, LastEpoch: g.LastEpoch, LastReport: g.LastReport})
	}
	return res, disk, nil
}

// ask adds what only the store tells.
func (s *session) ask(ctx context.Context, res *statusResult, disk *client.Status) error {
	t := s.plan.Task
	next, may := disk.Next(s.task, t.Scope.ID(), t.Participation)
	res.Next = &allowed{Task: s.task, Epoch: next, May: may, Max: t.Participation.Max}
	for _, g := range disk.Tasks {
		if g.Task != s.task {
			continue
		}
		name := pipeline.RoundName{Task: s.task, Epoch: g.LastEpoch, Lane: schema.LaneOf(s.task, g.LastEpoch, s.id.ID, t.Batch.Lanes)}
		r, err := pipeline.LoadDescriptor(ctx, s.store, s.plan, name)
		if err != nil {
			return err
		}
		if r.ID != g.LastRound {
			return fmt.Errorf("%w: %s: it is another round than the report was sealed for", pipeline.ErrUntrusted, pipeline.DescriptorKey(name))
		}
		fate, err := client.FateOf(ctx, s.store, r, g.LastReport)
		if err != nil {
			return err
		}
		if _, far := s.store.(client.Announcer); far && fate == client.Absent && !waits(disk, g.LastReport) {
			fate = client.Sent // a gateway shows no reports, but confirmed this one, or it would wait
		}
		res.Last = &last{Epoch: g.LastEpoch, Report: g.LastReport, Fate: fate}
	}
	return nil
}

func waits(disk *client.Status, id schema.ReportID) bool {
	return slices.ContainsFunc(disk.Waiting, func(w client.Waiting) bool { return w.Report == id })
}

type statusResult struct {
	ID              schema.VehicleID `json:"id"`
	PublicKey       schema.PublicKey `json:"public_key"`
	MinBatchSize    int              `json:"min_batch_size"` // the vehicle's floor
	NoiseMultiplier float64          `json:"noise_multiplier"`
	Waiting         []waiting        `json:"waiting"`
	Given           []given          `json:"given"`
	Next            *allowed         `json:"next,omitempty"` // of the task that was named
	Last            *last            `json:"last,omitempty"`
}

type waiting struct {
	File    string           `json:"file"`
	Bytes   int64            `json:"bytes"`
	Task    *schema.TaskID   `json:"task_id,omitempty"`
	Epoch   uint64           `json:"epoch"`
	Lane    uint32           `json:"lane"`
	Report  *schema.ReportID `json:"report_id,omitempty"`
	Damaged string           `json:"damaged,omitempty"`
}

type given struct {
	Scope          string          `json:"scope_id"`
	Task           schema.TaskID   `json:"task_id"`
	Participations int             `json:"participations"` // in the scope
	LastEpoch      uint64          `json:"last_epoch"`
	LastReport     schema.ReportID `json:"last_report"`
}

type allowed struct {
	Task  schema.TaskID `json:"task_id"`
	Epoch uint64        `json:"epoch"` // first one in which the vehicle may report
	May   bool          `json:"may"`   // false: it gave all that the task allows
	Max   int           `json:"max"`   // participations that the task allows, 0 for any number
}

type last struct {
	Epoch  uint64          `json:"epoch"`
	Report schema.ReportID `json:"report_id"`
	Fate   client.Fate     `json:"fate"`
}

// Text implements ui.Result.
func (r *statusResult) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "vehicle   %s, key %s\nfloor     min_batch_size %d, noise_multiplier %g\n", r.ID, r.PublicKey, r.MinBatchSize, r.NoiseMultiplier)
	fmt.Fprintf(&b, "outbox    %d waiting\n", len(r.Waiting))
	for _, w := range r.Waiting {
		if w.Damaged != "" {
			fmt.Fprintf(&b, "  damaged: %s\n", w.File)
			continue
		}
		fmt.Fprintf(&b, "  epoch %d lane %d, %d bytes, %s, task %s\n", w.Epoch, w.Lane, w.Bytes, w.Report.Short(), w.Task.Short())
	}
	for _, g := range r.Given {
		fmt.Fprintf(&b, "given     %s in scope %.8s, last in epoch %d of task %s\n", participations(g.Participations), g.Scope, g.LastEpoch, g.Task.Short())
	}
	if r.Last != nil {
		fmt.Fprintf(&b, "last      %s of epoch %d: %s\n", r.Last.Report.Short(), r.Last.Epoch, r.Last.Fate)
	}
	if n := r.Next; n != nil && !n.May {
		fmt.Fprintf(&b, "next      none: all %d participations of the task are given\n", n.Max)
	} else if n != nil {
		fmt.Fprintf(&b, "next      epoch %d or later of task %s\n", n.Epoch, n.Task.Short())
	}
	return b.String()
}

func participations(n int) string {
	if n == 1 {
		return "1 participation"
	}
	return fmt.Sprintf("%d participations", n)
}
