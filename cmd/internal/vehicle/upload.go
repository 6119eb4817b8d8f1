package vehicle

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Upload sends what waits in the outbox for the task, oldest first, and tells what became of it.
func (p *Program) Upload(ctx context.Context, w Where) (int, error) {
	s, err := p.open(ctx, w)
	if err != nil {
		return 0, err
	}
	defer s.close()
	waiting, err := s.client.Outbox()
	if err != nil {
		return 0, err
	}
	res, code := uploadResult{Reports: []schema.ReportID{}, Deliveries: []delivery{}}, exit.Done
	var stuck error
	for _, x := range waiting {
		one, err := s.deliver(ctx, x, &res)
		code = max(code, one)
		if err != nil && stuck == nil {
			stuck = err
		}
		if err != nil && !errors.Is(err, pipeline.ErrUntrusted) && !errors.Is(err, storage.ErrConflict) {
			break // the link or the store: the others would not fare better
		}
	}
	res.idle = len(waiting) == 0
	if stuck == nil || len(res.Deliveries) > 0 { // what was sent before the link went down was sent
		p.Out.Result(res)
	}
	return code, stuck
}

// deliver handles one file. What only this report suffers from does not stop the others.
func (s *session) deliver(ctx context.Context, x client.Waiting, res *uploadResult) (int, error) {
	switch {
	case x.Damaged != nil:
		s.Out.Warn("a damaged report was removed; its turn is lost, and stays counted: %v", x.Damaged)
		return exit.Refused, s.state.Remove(x.File)
	case x.Name.Task != s.task:
		s.Out.Info("%s waits for task %s", s.state.Path(x.File), x.Name.Task)
		return exit.Done, nil
	}
	d, err := s.client.Deliver(ctx, s.store, s.plan, x.File, s.sent())
	switch {
	case errors.Is(err, client.ErrDamaged):
		s.Out.Warn("a damaged report was removed; its turn is lost, and stays counted: %v", err)
		return exit.Refused, s.state.Remove(x.File)
	case refused(err):
		s.Out.Warn("epoch %d: %v; the report stays in the outbox until the round has ended", x.Name.Epoch, err)
		return exit.Refused, nil
	case err != nil:
		return 0, exit.WithHint(err, "the report is safe in the outbox: \"%s upload\" sends the rest", s.Name)
	}
	if !d.Fate.Lost() {
		res.Reports = append(res.Reports, d.Report)
	}
	res.Deliveries = append(res.Deliveries, delivery{Report: d.Report, Epoch: d.Name.Epoch, Lane: d.Name.Lane, Fate: d.Fate, Bytes: d.Bytes})
	return s.warn(d), nil
}

// refused tells a gateway that takes this report no more. Its word is not signed, so the report stays.
func refused(err error) bool {
	var e *remote.Error
	return errors.As(err, &e) && errors.Is(e, remote.ErrRefused)
}

// warn says what a person should know of a delivery, and returns its exit status.
func (p *Program) warn(d *client.Delivery) int {
	if d.Overdue {
		p.Out.Warn("by this vehicle's clock the keys of epoch %d have expired; the store shows no end of the round, so the report was sent", d.Name.Epoch)
	}
	if !d.Fate.Lost() {
		return exit.Done
	}
	switch d.Fate {
	case client.Late:
		p.Out.Warn("epoch %d: too late, the round's list was frozen without this report; the participation stays counted", d.Name.Epoch)
	case client.Over:
		p.Out.Warn("epoch %d: the round has ended; unless an earlier upload went through, this report is not in its sum", d.Name.Epoch)
	default:
		p.Out.Warn("epoch %d: the round ended without this report; the participation stays counted", d.Name.Epoch)
	}
	return exit.Refused
}

func (p *Program) sent() func(done, total int64) {
	return func(done, total int64) { p.Out.Progress("bytes sent", done, total) }
}

// outcome is a fate in a line for people.
func outcome(f client.Fate) string {
	switch f {
	case client.Sent:
		return "uploaded"
	case client.Listed:
		return "uploaded, in the round's list"
	case client.Summed:
		return "uploaded, in the round's sum"
	}
	return f.String()
}

type uploadResult struct {
	Reports    []schema.ReportID `json:"reports"` // that arrived in time
	Deliveries []delivery        `json:"deliveries"`
	idle       bool              // nothing waited
}

type delivery struct {
	Report schema.ReportID `json:"report_id"`
	Epoch  uint64          `json:"epoch"`
	Lane   uint32          `json:"lane"`
	Fate   client.Fate     `json:"fate"`
	Bytes  int64           `json:"bytes"` // sent now
}

// Text implements ui.Result.
func (r uploadResult) Text() string {
	if r.idle {
		return "nothing to send\n"
	}
	s := ""
	for _, d := range r.Deliveries {
		s += fmt.Sprintf("%s %s, epoch %d\n", d.Report, outcome(d.Fate), d.Epoch)
	}
	return s
}
