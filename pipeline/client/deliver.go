package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Fate is what the store shows of a report.
type Fate int

// The fates. The last four are final.
const (
	Absent  Fate = iota + 1 // the store has no such report, and the round still takes one
	Sent                    // complete in the store, and no list is frozen, or the store does not show lists
	Listed                  // in the round's frozen list
	Summed                  // in the sum that the round published
	LeftOut                 // in the store, but the round ended without it
	Late                    // the list was frozen, or the round ended, before the report was complete
	Over                    // the round ended, and the store, a gateway, does not show whether with this report
)

// String returns the fate in one word.
func (f Fate) String() string {
	if f < Absent || f > Over {
		return "unknown"
	}
	return []string{"absent", "sent", "listed", "summed", "left out", "late", "over"}[f-Absent]
}

// MarshalText implements encoding.TextMarshaler.
func (f Fate) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Lost tells that the report is in no sum and will be in none, as far as the store shows.
func (f Fate) Lost() bool { return f == LeftOut || f == Late || f == Over }

// Delivery is what became of a report that waited.
type Delivery struct {
	Report schema.ReportID
	Name   pipeline.RoundName
	Fate   Fate
	Bytes  int64 // of all objects of the report; 0 if nothing was to be sent
	// Overdue tells that by this vehicle's clock the round's keys had expired, while
	// the store showed no end of the round. The report was sent: a clock may be wrong.
	Overdue bool
}

// Deliver is [Client.Upload] for a round that may be over: it asks the store first
// and sends nothing that could not count, then tells what became of the report.
// The file is removed in either case, and the participation stays counted.
//
// The vehicle's clock decides nothing here (protocol section 4: no safety property uses a clock): a clock that jumps
// ahead would delete a report that the round still wants. What ends a report is what the store shows, the
// round's receipt or its frozen list, and the price is bounded: a report is sent whole once at most.
// A store that lies about it costs this vehicle its turn, as one that drops the report does.
//
// A round that the store does not show (pipeline.ErrNotReady, storage.ErrNotExist), or shows as another one than the
// report was sealed for (pipeline.ErrUntrusted), leaves the file where it is.
func (c *Client) Deliver(ctx context.Context, s storage.Store, plan *pipeline.Plan, file string, progress func(done, total int64)) (*Delivery, error) {
	f, rep, pieces, err := c.openCounted(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := &Delivery{Report: rep.ID, Name: nameOf(rep.Header)}
	r, err := pipeline.LoadDescriptor(ctx, s, plan, d.Name)
	if err != nil {
		return nil, err
	}
	if r.ID != rep.Header.RoundID {
		return nil, fmt.Errorf("%w: %s: it is another round than the report was sealed for", pipeline.ErrUntrusted, pipeline.DescriptorKey(d.Name))
	}
	if d.Fate, err = FateOf(ctx, s, r, rep.ID); err != nil {
		return nil, err
	}
	if d.Fate == Absent || d.Fate == Sent {
		d.Overdue = c.now().Unix() >= r.Descriptor.KeyExpiry
		if err := send(ctx, s, rep, io.NewSectionReader(f, 0, pieces), progress); err != nil {
			return nil, err
		}
		d.Bytes = pieces + int64(len(rep.Bytes()))
		if d.Fate, err = FateOf(ctx, s, r, rep.ID); err != nil {
			return nil, err
		}
		if d.Fate == Absent { // a gateway shows no report, but it has confirmed this one
			d.Fate = Sent
		}
	}
	return d, c.state.Remove(file)
}

// FateOf tells what the store shows of a report of the round. The receipt and the manifest are signed;
// candidate lists are not, and are believed as the Collector believes them (pipeline.FrozenCandidates).
// An [Announcer] shows descriptors and receipts only: its reports are Absent until the round is Over.
func FateOf(ctx context.Context, s storage.Store, r *pipeline.Round, id schema.ReportID) (Fate, error) {
	if _, ok := s.(Announcer); ok {
		return behindGateway(ctx, s, r)
	}
	complete := true
	if _, err := s.Stat(ctx, pipeline.HeaderKey(r.Name, id)); errors.Is(err, storage.ErrNotExist) {
		complete = false
	} else if err != nil {
		return 0, err
	}
	receipt, err := pipeline.LoadReceipt(ctx, s, r)
	if err == nil {
		return ended(ctx, s, r, receipt, id, complete)
	}
	if !errors.Is(err, storage.ErrNotExist) {
		return 0, err
	}
	list, n, err := pipeline.FrozenCandidates(ctx, s, r)
	if err != nil {
		return 0, err
	}
	switch {
	case n == 0 && complete:
		return Sent, nil
	case n == 0:
		return Absent, nil
	case !complete:
		return Late, nil
	}
	candidates, err := pipeline.LoadCandidates(ctx, s, r, list)
	if err != nil {
		return 0, err
	}
	if has(candidates.Reports, id) {
		return Listed, nil
	}
	return Late, nil
}

func behindGateway(ctx context.Context, s storage.Store, r *pipeline.Round) (Fate, error) {
	_, err := pipeline.LoadReceipt(ctx, s, r)
	if errors.Is(err, storage.ErrNotExist) {
		return Absent, nil
	}
	if err != nil {
		return 0, err
	}
	return Over, nil
}

func ended(ctx context.Context, s storage.Store, r *pipeline.Round, receipt schema.Receipt, id schema.ReportID, complete bool) (Fate, error) {
	if !complete {
		return Late, nil
	}
	if receipt.Status != schema.StatusCommitted {
		return LeftOut, nil
	}
	m, err := pipeline.LoadManifest(ctx, s, r, receipt.Manifest)
	if err != nil {
		return 0, err
	}
	if has(m.Reports, id) {
		return Summed, nil
	}
	return LeftOut, nil
}

// has looks a report up in a sorted list.
func has(sorted []schema.ReportID, id schema.ReportID) bool {
	_, ok := slices.BinarySearchFunc(sorted, id, schema.CompareReports)
	return ok
}
