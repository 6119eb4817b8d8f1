package realshare

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
)

// finish closes the list, lets the last vehicle come too late, and opens the sum; where links let too few
// reports through, there is no list.
func (w *world) finish(ctx context.Context, out *Calibration, sum []float64) error {
	late, err := w.set(ctx, w.c.onTime()) // sealed in time
	if err != nil {
		return err
	}
	defer late.end()
	w.compare(out)
	if w.delivered < w.c.least() {
		return nil
	}
	mean, err := w.openSum(ctx, out)
	if err != nil {
		return err
	}
	if err := w.tooLate(ctx, late, out); err != nil {
		return err
	}
	return w.judge(mean, sum, out)
}

// openSum plays the round from its list to its receipt, and notes what the roles spent. It returns the mean.
func (w *world) openSum(ctx context.Context, out *Calibration) ([]float64, error) {
	var collecting, members time.Duration
	var refused atomic.Int64 // by all members, who check at once
	var candidates schema.Digest
	var proposal *collector.Proposal
	var got *collector.Collected
	s, r := w.c.Store, w.round
	for _, step := range []struct {
		spent *time.Duration
		do    func() error
	}{
		{&collecting, func() (err error) { candidates, _, err = w.collector.Close(ctx, s, r); return err }},
		{&members, w.members(func(d *decryptor.Decryptor) error {
			checked, err := d.Check(ctx, s, r, candidates, nil)
			if err == nil {
				refused.Add(int64(len(checked.Refused)))
			}
			return err
		})},
		{&collecting, func() (err error) { proposal, err = w.collector.Propose(ctx, s, r, candidates); return err }},
		{&members, w.members(func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, s, r); return err })},
		{&members, w.members(func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, s, r, nil); return err })},
		{&collecting, func() (err error) { got, err = w.collector.Collect(ctx, s, r, nil); return err }},
	} {
		start := w.c.Clock()
		if err := step.do(); err != nil {
			return nil, err
		}
		*step.spent += w.c.Clock() - start
	}
	if got.Receipt.Status != schema.StatusCommitted {
		return nil, fmt.Errorf("realshare: the round ended %s", got.Receipt.Status)
	}
	n := w.c.onTime()
	out.Refused += int(refused.Load())
	out.Listed = proposal.Reports
	out.MemberSeconds = members.Seconds() / float64(w.Plan.Task.Committee.Size*n)
	out.CollectSeconds = collecting.Seconds() / float64(n)
	return got.Mean, nil
}

// members is a step of each decryptor.
func (w *world) members(step func(*decryptor.Decryptor) error) func() error {
	return func() error {
		if err := w.Committee(func(_ int, d *decryptor.Decryptor) error { return step(d) }); err != nil {
			return fmt.Errorf("realshare: %w", err)
		}
		w.c.Progress("committee", 1, 1)
		return nil
	}
}

// tooLate delivers the last report after the round's end.
func (w *world) tooLate(ctx context.Context, t *trip, out *Calibration) error {
	t.wire.reset(0)
	w.gate.take()
	fate, err := w.deliver(ctx, t)
	if err != nil {
		return err
	}
	w.note(w.c.onTime(), t, fate, out)
	out.LateFate = fate
	return nil
}

// judge compares the opened mean with the updates, and the broken uploads with the model.
func (w *world) judge(mean, sum []float64, out *Calibration) error {
	n := float64(out.Listed)
	encoder, err := privacy.NewEncoder(w.Plan.Privacy, w.round.ID.Digest)
	if err != nil {
		return err
	}
	square := 0.0
	for i, x := range mean {
		square += (x - sum[i]/n) * (x - sum[i]/n)
	}
	values := float64(len(mean))
	out.NoiseRatio = math.Sqrt(square/values) / encoder.NoiseStdDev(out.Listed)
	out.NoiseStdErr = 1 / math.Sqrt(2*values)
	return nil
}

// compare gathers the means over unbroken uploads, and what the others cost beyond them.
func (w *world) compare(out *Calibration) {
	var seal []float64
	var extra []float64
	whole, waits, wholes := 0.0, 0.0, 0.0
	for _, v := range out.Vehicles[:w.c.onTime()] {
		seal = append(seal, v.SealSeconds)
		if v.Breaks == 0 && v.Fate != gaveUp {
			whole, waits, wholes = whole+float64(v.Sent-v.Reported), waits+float64(v.Requests)+2, wholes+1
		}
	}
	slices.Sort(seal)
	out.SealSeconds = seal[len(seal)/2]
	if wholes == 0 {
		return
	}
	out.ConnectBytes, out.ConnectTrips = int(whole/wholes), waits/wholes
	for _, v := range out.Vehicles[:w.c.onTime()] {
		if v.Breaks == 1 && v.Fate != gaveUp {
			extra = append(extra, float64(v.Sent-v.Reported)-whole/wholes)
		}
	}
	mean := 0.0
	for _, x := range extra {
		mean += x / float64(len(extra))
	}
	out.AgainBytes = mean
	if len(extra) == 0 {
		return
	}
	for _, at := range w.cuts { // the piece under way, and another connection
		out.AgainModel += (float64(at%w.Plan.Header().PieceBytes(0)) + float64(out.ConnectBytes)) / float64(len(w.cuts))
	}
}
