// Package keeper looks after a store: [Check] finds what is damaged, missing or left
// over, and [Sweep] removes what no receipt and no open round needs.
//
// Both trust no key that a caller pins. A TaskID is the hash of its task, and the task names
// the keys of its roles, so what belongs to a task is verified with these; that the task is the one
// that people agreed on is what an audit is for, which also recomputes the sums and the budget.
//
// Sweep is safe beside all roles, since it removes only from rounds that have ended: a receipt
// is never changed, so nobody can come to need what a receipt left behind.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// object is one object of a store with its name taken apart.
type object struct {
	storage.Info
	pipeline.Object
}

// report is what is stored of one report.
type report struct {
	header bool
	size   int64 // of the header object
	pieces map[int]storage.Info
}

// round is what is stored of one round.
type round struct {
	name    pipeline.RoundName
	objects []object // all but reports, in the order of names
	reports map[schema.ReportID]*report
}

// has tells whether an object of this name is there.
func (r *round) has(key string) bool {
	_, ok := r.find(key)
	return ok
}

func (r *round) find(key string) (object, bool) {
	for _, o := range r.objects {
		if o.Info.Key == key {
			return o, true
		}
	}
	return object{}, false
}

// visitor is told of everything in a store, in the order of names.
type visitor interface {
	object(o object) error           // outside of rounds
	round(r *round) error            // with all its objects
	unknown(info storage.Info) error // of no kind
}

// walk lists a store once. It holds the names of one round in memory.
func walk(ctx context.Context, s storage.Store, v visitor) error {
	var at *round
	flush := func() error {
		if at == nil {
			return nil
		}
		r := at
		at = nil
		return v.round(r)
	}
	for info, err := range s.List(ctx, "", "") {
		if err != nil {
			return err
		}
		o, ok := pipeline.ParseObject(info.Key)
		inRound := ok && strings.HasPrefix(info.Key, pipeline.RoundPrefix(o.Round))
		if at != nil && (!inRound || o.Round != at.name) && !strings.HasPrefix(info.Key, pipeline.RoundPrefix(at.name)) {
			if err := flush(); err != nil {
				return err
			}
		}
		switch {
		case !ok:
			err = v.unknown(info)
		case !inRound:
			err = v.object(object{info, o})
		default:
			if at == nil {
				at = &round{name: o.Round, reports: map[schema.ReportID]*report{}}
			}
			at.add(object{info, o})
		}
		if err != nil {
			return err
		}
	}
	return flush()
}

func (r *round) add(o object) {
	if o.Kind != pipeline.KindHeader && o.Kind != pipeline.KindPiece {
		r.objects = append(r.objects, o)
		return
	}
	rep := r.reports[o.Report]
	if rep == nil {
		rep = &report{pieces: map[int]storage.Info{}}
		r.reports[o.Report] = rep
	}
	if o.Kind == pipeline.KindHeader {
		rep.header, rep.size = true, o.Info.Size
	} else {
		rep.pieces[o.Index] = o.Info
	}
}

// plans are the tasks of a store, each verified once with the key of the owner that it names.
type plans struct {
	ctx   context.Context
	store storage.Store
	known map[schema.TaskID]planned
	// region tells that this is a region's own store: what the committee and the Collector wrote is not here.
	region bool
}

type planned struct {
	plan *pipeline.Plan
	err  error
}

func newPlans(ctx context.Context, s storage.Store) *plans {
	return &plans{ctx: ctx, store: s, known: map[schema.TaskID]planned{}}
}

// load returns a task. Errors of the evidence are kept; those of the store end everything.
func (p *plans) load(id schema.TaskID) (*pipeline.Plan, error) {
	if known, ok := p.known[id]; ok {
		return known.plan, known.err
	}
	plan, err := p.read(id)
	if err != nil && !blamed(err) {
		return nil, err
	}
	p.known[id] = planned{plan, err}
	return plan, err
}

func (p *plans) read(id schema.TaskID) (*pipeline.Plan, error) {
	raw, err := storage.ReadAll(p.ctx, p.store, pipeline.TaskKey(id), schema.MaxObject)
	if err != nil {
		return nil, err
	}
	x, err := schema.Decode[schema.Task](raw)
	if err != nil {
		return nil, err
	}
	return pipeline.LoadTask(p.ctx, p.store, id, x.Body.Owner)
}

// blamed tells an error that an object is to blame for from one of the store.
func blamed(err error) bool {
	for _, e := range []error{
		pipeline.ErrUntrusted, pipeline.ErrTask, pipeline.ErrFork, pipeline.ErrNotReady, schema.ErrFormat, schema.ErrSignature,
		storage.ErrNotExist, storage.ErrTooLarge, storage.ErrRange, storage.ErrDamaged, storage.ErrKey,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ended returns the receipt of a round with its descriptor, nil if it goes on. Only a receipt
// that the Collector signed ends a round: a planted one must not cost an open round its reports.
func (p *plans) ended(n pipeline.RoundName) (*pipeline.Round, *schema.Receipt, error) {
	plan, err := p.load(n.Task)
	if err != nil {
		return nil, nil, err
	}
	r, err := pipeline.LoadDescriptor(p.ctx, p.store, plan, n)
	if err != nil {
		return nil, nil, err
	}
	c, err := pipeline.LoadReceipt(p.ctx, p.store, r)
	if errors.Is(err, storage.ErrNotExist) {
		return r, nil, nil
	}
	if err != nil {
		return r, nil, err
	}
	if c.TaskID != n.Task || c.Epoch != n.Epoch || c.Lane != n.Lane {
		return r, nil, fmt.Errorf("%w: %s: it belongs to another round", pipeline.ErrUntrusted, pipeline.ReceiptKey(n))
	}
	return r, &c, nil
}

// Amount counts objects and their bytes.
type Amount struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

func (a *Amount) add(info storage.Info) { a.Objects++; a.Bytes += info.Size }

func (a *Amount) plus(b Amount) { a.Objects += b.Objects; a.Bytes += b.Bytes }

// String returns the amount for people.
func (a Amount) String() string {
	word := "objects"
	if a.Objects == 1 {
		word = "object"
	}
	return fmt.Sprintf("%d %s, %d bytes", a.Objects, word, a.Bytes)
}

// leftovers returns what interrupted writes of ours left behind before a time, which no list
// shows. Others may write to the same bucket: their uploads are theirs.
func (p *plans) leftovers(before time.Time) (ours []storage.Leftover, err error) {
	j, ok := p.store.(storage.Janitor)
	if !ok {
		return nil, nil
	}
	all, err := j.Leftovers(p.ctx, before)
	for _, l := range all {
		if _, known := pipeline.ParseObject(l.Key); l.Key == "" || known {
			ours = append(ours, l)
		}
	}
	return ours, err
}

// old tells whether a time lies before now by at least an age.
func old(now, at time.Time, age time.Duration) bool { return !at.After(now.Add(-age)) }
