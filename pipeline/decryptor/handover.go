package decryptor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ErrHandedOver: this decryptor handed over its seat and votes no more with this committee in the scope.
var ErrHandedOver = errors.New("decryptor: this committee was handed over")

// Handover ends this decryptor's part in the task's committee, for all tasks of the scope, so that the privacy
// owner can replace the committee. From then on it casts no new vote with it; it sends again and
// answers what it voted for. size is that of the checkpoint to name; 0 takes the largest
// that another member named, or else the whole ledger. Handing over again at a larger
// size is allowed: enough members have to name the same one.
func (d *Decryptor) Handover(ctx context.Context, s storage.Store, p *pipeline.Plan, size int64) (schema.Handover, error) {
	k, err := d.Index(p)
	if err != nil {
		return schema.Handover{}, err
	}
	scope := p.Task.Scope.ID()
	signed, err := d.signed(scope)
	if err != nil {
		return schema.Handover{}, err
	}
	voted, err := d.votes(scope)
	if err != nil {
		return schema.Handover{}, err
	}
	l, err := pipeline.OpenLedger(ctx, s, p.Task.Scope, p.Task.Owner, voted)
	if err != nil {
		return schema.Handover{}, err
	}
	if size == 0 {
		if size, err = proposedSize(ctx, l, p, signed); err != nil {
			return schema.Handover{}, err
		}
	}
	c, err := l.CheckHandover(ctx, signed, size)
	if err != nil {
		return schema.Handover{}, err
	}
	if err := l.Continues(p); err != nil { // who signed nothing yet holds on to what the committee before it named
		return schema.Handover{}, err
	}
	if err := d.handOver(scope, p.Task.Committee.ID(), ledger.Later(signed, c)); err != nil {
		return schema.Handover{}, err
	}
	return d.sendHandover(ctx, s, p, k, c)
}

// proposedSize takes what others named, unless this decryptor has signed more.
func proposedSize(ctx context.Context, l *pipeline.Ledger, p *pipeline.Plan, signed ledger.Checkpoint) (int64, error) {
	size, err := l.LargestHandover(ctx, p)
	if size < signed.Size {
		size = 0
	}
	return size, err
}

// handOver makes the promise durable before anybody reads it.
func (d *Decryptor) handOver(scope schema.ScopeID, committee schema.Digest, c ledger.Checkpoint) error {
	m, err := d.memory()
	if err != nil {
		return err
	}
	if m.HandedOver == nil {
		m.HandedOver = map[string][]schema.Digest{}
	}
	if !slices.Contains(m.HandedOver[scope.String()], committee) {
		m.HandedOver[scope.String()] = append(m.HandedOver[scope.String()], committee)
	}
	m.Signed[scope.String()] = c.Text()
	return d.memorize(m)
}

func (d *Decryptor) sendHandover(ctx context.Context, s storage.Store, p *pipeline.Plan, k int, c ledger.Checkpoint) (schema.Handover, error) {
	h := schema.Handover{
		Version: schema.Version, Scope: p.Task.Scope.ID(), Committee: p.Task.Committee.ID(), Index: k, Size: c.Size, Root: schema.Digest(c.Root),
	}
	signed, err := schema.SignBody(h, d.key)
	if err != nil {
		return h, err
	}
	e := record.Entry{Kind: record.Handover, List: h.Committee, Scope: h.Scope, Checkpoint: c.Text()}
	if err := d.note(e, pipeline.RoundName{}, signed.Bytes()); err != nil {
		return h, err
	}
	_, err = s.PutOnce(ctx, pipeline.HandoverKey(h.Scope, h.Committee, h.Size, k), signed.Bytes())
	return h, err
}

func (d *Decryptor) refuseHandedOver(p *pipeline.Plan) error {
	m, err := d.memory()
	if err != nil {
		return err
	}
	if slices.Contains(m.HandedOver[p.Task.Scope.ID().String()], p.Task.Committee.ID()) {
		return fmt.Errorf("%w: no new vote in scope %q", ErrHandedOver, p.Task.Scope.Name)
	}
	return nil
}
