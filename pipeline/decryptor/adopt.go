package decryptor

import (
	"context"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// adopt starts the record of a state directory that never had one, as those of older programs have not: whatever the
// state knows that it signed is written down, once. That is no more than the state remembers: if it was
// restored before, the comparison with the store follows and finds what it finds. Killed half-way it starts again.
func (d *Decryptor) adopt(ctx context.Context, s storage.Store) error {
	m, err := d.memory()
	if err != nil || m.Recorded {
		return err
	}
	tasks, err := d.tasks()
	if err != nil {
		return err
	}
	for _, id := range tasks {
		p, err := pipeline.LoadTask(ctx, s, id, d.owner)
		if err != nil {
			return err
		}
		k, err := d.Index(p)
		if err != nil {
			continue // nothing of this task was signed with this key
		}
		if err := d.adoptTask(ctx, s, m, p, id, k); err != nil {
			return err
		}
	}
	m.Recorded = true
	return d.memorize(m)
}

func (d *Decryptor) adoptTask(ctx context.Context, s storage.Store, m *memory, p *pipeline.Plan, id schema.TaskID, k int) error {
	names, err := d.rounds(id)
	if err != nil {
		return err
	}
	for _, n := range names {
		if _, ok, err := d.statusIfAny(n); err != nil || !ok {
			if err != nil {
				return err
			}
			continue // damaged: its key is lost, nothing can be signed with it
		}
		f, err := d.load(p, n)
		if err != nil {
			return err
		}
		if err := d.adoptRound(p, n, f, k); err != nil {
			return err
		}
		if err := d.adoptChecks(ctx, s, p, n, k); err != nil {
			return err
		}
	}
	handovers, err := pipeline.HandoversBy(ctx, s, p, k)
	if err != nil {
		return err
	}
	for _, raw := range handovers {
		h, err := schema.Decode[schema.Handover](raw)
		if err != nil || !slices.Contains(m.HandedOver[h.Body.Scope.String()], h.Body.Committee) {
			continue // the comparison with the store refuses it
		}
		c := ledger.Checkpoint{Origin: pipeline.LedgerScope(p.Task.Scope).Origin(), Size: h.Body.Size, Root: ledger.ID(h.Body.Root)}
		e := record.Entry{Kind: record.Handover, List: h.Body.Committee, Scope: h.Body.Scope, Checkpoint: c.Text()}
		if err := d.note(e, pipeline.RoundName{}, raw); err != nil {
			return err
		}
	}
	return nil
}

// adoptRound writes down what a round's file says. Signatures of one key over one body are always the same.
func (d *Decryptor) adoptRound(p *pipeline.Plan, n pipeline.RoundName, f *roundFile, k int) error {
	if err := d.note(record.Entry{Kind: record.Key}, n, f.Published); err != nil || f.RoundID == (schema.RoundID{}) {
		return err
	}
	r := &pipeline.Round{Plan: p, Name: n, ID: f.RoundID}
	if err := d.noteAccepted(r); err != nil {
		return err
	}
	m, c, ok := f.record.Choice()
	if !ok {
		return nil
	}
	if _, err := d.signVote(r, k, f, schema.ManifestID{Digest: m}, c); err != nil {
		return err
	}
	if _, ok := f.record.Answered(); !ok {
		return nil
	}
	_, err := d.signAnswer(r, f, schema.ManifestID{Digest: m})
	return err
}

// adoptChecks writes down the checks in the store: the state does not keep them, and they are evidence only.
func (d *Decryptor) adoptChecks(ctx context.Context, s storage.Store, p *pipeline.Plan, n pipeline.RoundName, k int) error {
	signed, err := pipeline.SignedBy(ctx, s, p, n, k)
	if err != nil {
		return err
	}
	for key, raw := range signed {
		if !strings.HasPrefix(key, pipeline.ChecksPrefix(n)) {
			continue
		}
		c, err := schema.Decode[schema.Check](raw)
		if err != nil {
			return err
		}
		if err := d.note(record.Entry{Kind: record.Check, Round: c.Body.RoundID, List: c.Body.Candidates}, n, raw); err != nil {
			return err
		}
	}
	return nil
}
