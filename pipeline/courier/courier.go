// Package courier carries a round to clients that have no store, and their reports back, as bytes that any messenger
// can take: a training coordinator, a queue, a memory stick.
//
// [Pack] makes a bundle for one epoch: the signed task and the signed descriptors, which hold the committee's round
// keys, and nothing else. A client needs no enrollment snapshot and no model to seal. [Unpack] gives the client a store with
// just these objects; it verifies them as it would any store's, against the privacy owner's key that it was built with, so the
// messenger is trusted with nothing but delivery. [Add] puts a report that came back into the store, as the client's own
// upload would. FORMAT.md section 13 has the bytes of both.
package courier

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

// Pack returns the bundle of an epoch: all its open rounds, one a lane, and the rounds of the earlier epochs whose models
// they accept, as far back as a client looks for the model it started from. If none is open it is pipeline.ErrNotReady.
func Pack(ctx context.Context, s storage.Store, p *pipeline.Plan, task schema.TaskID, epoch uint64) ([]byte, error) {
	objects, oldest, err := descriptors(ctx, s, p, task, epoch)
	if err != nil {
		return nil, err
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("%w: no round of epoch %d is open", pipeline.ErrNotReady, epoch)
	}
	for i := uint64(1); i <= min(client.MaxLearned, epoch-oldest); i++ {
		earlier, _, err := descriptors(ctx, s, p, task, epoch-i)
		if err != nil {
			return nil, err
		}
		objects = append(objects, earlier...)
	}
	raw, err := storage.ReadAll(ctx, s, pipeline.TaskKey(task), schema.MaxObject)
	if err != nil {
		return nil, err
	}
	return encode(append(objects, object{pipeline.TaskKey(task), raw}))
}

// descriptors reads the descriptors of an epoch that verify, and the oldest epoch whose model one of them accepts.
func descriptors(ctx context.Context, s storage.Store, p *pipeline.Plan, task schema.TaskID, epoch uint64) (objects []object, oldest uint64, err error) {
	oldest = epoch
	for lane := range p.Task.Batch.Lanes {
		n := pipeline.RoundName{Task: task, Epoch: epoch, Lane: uint32(lane)}
		r, err := pipeline.LoadDescriptor(ctx, s, p, n)
		if errors.Is(err, pipeline.ErrNotReady) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		raw, err := storage.ReadAll(ctx, s, pipeline.DescriptorKey(n), schema.MaxObject)
		if err != nil {
			return nil, 0, err
		}
		objects, oldest = append(objects, object{pipeline.DescriptorKey(n), raw}), min(oldest, r.Descriptor.OldestModel)
	}
	return objects, oldest, nil
}

// Bundle is a bundle that was unpacked.
type Bundle struct {
	Store storage.Store // with the bundle's objects; none of them is verified
	Task  schema.TaskID
	Epoch uint64 // to seal for: the last one in the bundle
}

// Unpack reads a bundle. Its errors wrap schema.ErrFormat. Nothing in it is verified here: who reads the store does.
func Unpack(ctx context.Context, raw []byte) (*Bundle, error) {
	objects, err := decode(raw)
	if err != nil {
		return nil, err
	}
	b := &Bundle{}
	store := mem.New()
	for _, o := range objects {
		x, _ := pipeline.ParseObject(o.key)
		b.Task = x.Round.Task
		b.Epoch = max(b.Epoch, x.Round.Epoch)
		if _, err := store.PutOnce(ctx, o.key, o.body); err != nil {
			return nil, fmt.Errorf("%w: bundle: %w", schema.ErrFormat, err)
		}
	}
	b.Store = store
	return b, nil
}

var errNoSnapshot = errors.New("courier: the round was loaded without its enrollment snapshot: take pipeline.LoadRound")

// Added is what became of a report that was added.
type Added struct {
	Report  schema.ReportID
	Vehicle schema.VehicleID
	Fate    client.Fate
}

// Add verifies a report of size bytes as every reader of the round will, and writes it to the store. Added again, it
// changes nothing. One that could not count any more, because the round's list is frozen or the round has ended, is
// not written: its fate says so. A report that does not verify is a [*pipeline.Refused], one whose bytes do not fit
// together client.ErrDamaged.
//
// A second report of one vehicle is written, too: the one with the smaller ReportID will count. Who takes reports from
// strangers should ask the vehicle for its login first, as a gateway does.
func Add(ctx context.Context, s storage.Store, r *pipeline.Round, f io.ReaderAt, size int64) (*Added, error) {
	if most := r.Secagg.ReportBytes() + 8; size > most {
		return nil, fmt.Errorf("%w: %d bytes, a report of this round has at most %d", client.ErrDamaged, size, most)
	}
	if r.Snapshot == nil { // as a bundle's round: nobody's key is known
		return nil, errNoSnapshot
	}
	c, err := client.ReadCarried(f, size)
	if err != nil {
		return nil, err
	}
	if err := r.CheckReport(c.Report, c.ID); err != nil {
		return nil, err
	}
	a := &Added{Report: c.ID, Vehicle: c.Header.Vehicle}
	if a.Fate, err = client.FateOf(ctx, s, r, c.ID); err != nil || a.Fate != client.Absent {
		return a, err
	}
	if err := c.Send(ctx, s); err != nil {
		return nil, err
	}
	a.Fate, err = client.FateOf(ctx, s, r, c.ID)
	return a, err
}
