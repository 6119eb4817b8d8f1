package main

import (
	"context"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
	"github.com/veilsum/veilsum/secagg/secaggbench"
)

// benchDecryptor is decryptor 0 at work on a few reports.
type benchDecryptor struct {
	world   *benchWorld
	charges *pipeline.Charges
	shares  *committee.Shares
}

// decryptorClients are the reports inside one timing.
const decryptorClients = 16

// measureDecryptor times what one decryptor does for one client, in both suites.
func (b *bench) measureDecryptor(ctx context.Context) error {
	ratio, each, bare, err := b.decryptor(ctx, 1)
	if err != nil {
		return err
	}
	b.put("decryptor_over_open_and_verify", ratio)
	b.put("decryptor_us_per_client", each/1e3)
	b.put("open_and_verify_us", bare/1e3)
	if ratio, each, _, err = b.decryptor(ctx, 2); err != nil {
		return err
	}
	b.put("decryptor_over_open_and_verify_suite2", ratio)
	b.put("decryptor_us_per_client_suite2", each/1e3)
	return nil
}

func (b *bench) decryptor(ctx context.Context, suite int) (ratio, each, bare float64, err error) {
	w, err := b.newWorld(ctx, benchWish{values: b.sizes.small, suite: suite, vehicles: decryptorClients})
	if err != nil {
		return 0, 0, 0, err
	}
	if err := w.report(ctx, decryptorClients); err != nil {
		return 0, 0, 0, err
	}
	d := benchDecryptor{world: w, charges: pipeline.NewCharges(w.round.Task.Scope)}
	if d.shares, err = committee.NewShares(w.round.Secagg, 0); err != nil {
		return 0, 0, 0, err
	}
	yardstick, err := secaggbench.NewBare(w.round.Secagg)
	if err != nil {
		return 0, 0, 0, err
	}
	least := timerOf(times(decryptorClients, yardstick.Open))
	whole := timerOf(func() error { return d.clients(ctx) })
	err = interleave(ctx, 2*b.sizes.reps, least, whole)
	return whole.over(least, 1, 1), whole.per(decryptorClients), least.per(decryptorClients), err
}

// clients is the check and the answer for each report, as package decryptor does
// them but for its state file, which it writes once a list.
func (d *benchDecryptor) clients(ctx context.Context) error {
	for i := range d.world.reports {
		seeds, err := d.world.openBox(ctx, d.charges, i, 0)
		if err != nil {
			return err
		}
		kept := seeds.Bytes() // what lies in the state between check and answer
		seeds.Erase()
		again, err := secagg.ParseSeeds(d.world.round.Secagg, 0, kept)
		if err != nil {
			return err
		}
		if err := d.shares.Add(again); err != nil {
			return err
		}
		again.Erase()
	}
	return nil
}

// openBox checks report i and opens the box of decryptor k: header, snapshot,
// signature, hash of the box, participation, HPKE, commitments.
func (w *benchWorld) openBox(ctx context.Context, charges *pipeline.Charges, i, k int) (secagg.Seeds, error) {
	rep, box, err := w.round.ReadHead(ctx, w.store, w.reports[i], k)
	if err != nil {
		return secagg.Seeds{}, err
	}
	h := rep.Header
	if err := charges.CheckVehicle(w.round.Task.Participation, h.TaskID, h.Epoch, h.Vehicle); err != nil {
		return secagg.Seeds{}, err
	}
	commitments := make([][32]byte, len(h.Commitments))
	for j, c := range h.Commitments {
		commitments[j] = c
	}
	return secagg.OpenBox(w.round.Secagg, k, w.keys[k], w.round.ID.Digest, rep.ID.Digest, box, commitments)
}

// measureCollector opens the sum of the stored reports with all answers, and decodes it.
func (b *bench) measureCollector(ctx context.Context) error {
	w, err := b.largeWorld(ctx)
	if err != nil {
		return err
	}
	sum, answers, err := w.answered(ctx)
	if err != nil {
		return err
	}
	encoder, err := privacy.NewEncoder(w.round.Privacy, w.round.ID.Digest)
	if err != nil {
		return err
	}
	p := w.round.Secagg
	x := make([]int32, p.Blocks()*p.N())
	open := timerOf(func() error {
		_, err := committee.Open(p, w.round.ID.Digest, len(w.reports), 0, sum, answers, func(j int, block []int32) error {
			copy(x[j*p.N():], block)
			return nil
		})
		return err
	})
	decode := timerOf(func() error {
		_, err := encoder.DecodeInt32(x[:p.Values()], len(w.reports))
		return err
	})
	if err := interleave(ctx, b.sizes.reps, open, decode); err != nil {
		return err
	}
	b.put("collector_open_ns_per_value", open.per(p.Values()))
	b.put("collector_decode_ns_per_value", decode.per(p.Values()))
	return nil
}

// answered adds all stored reports and lets every decryptor answer.
func (w *benchWorld) answered(ctx context.Context) (*secagg.Sum, []committee.Answer, error) {
	p, charges := w.round.Secagg, pipeline.NewCharges(w.round.Task.Scope)
	sum, shares := secagg.NewSum(p), make([]*committee.Shares, p.Committee().Size)
	for k := range shares {
		var err error
		if shares[k], err = committee.NewShares(p, k); err != nil {
			return nil, nil, err
		}
	}
	for i := range w.reports {
		rep, pieces, err := w.read(ctx, i)
		if err != nil {
			return nil, nil, err
		}
		if err := sum.AddCorr(rep.Corr()); err != nil {
			return nil, nil, err
		}
		if err := sum.AddBlocks(0, pieces); err != nil {
			return nil, nil, err
		}
		for k := range shares {
			seeds, err := w.openBox(ctx, charges, i, k)
			if err != nil {
				return nil, nil, err
			}
			if err := shares[k].Add(seeds); err != nil {
				return nil, nil, err
			}
		}
	}
	answers := make([]committee.Answer, len(shares))
	for k := range shares {
		answers[k] = committee.Answer{Index: k, Shares: shares[k].Packed()}
	}
	return sum, answers, nil
}
