package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Refused says why a report does not count, with one of schema's reasons.
type Refused struct {
	Report schema.ReportID
	Reason string
	Err    error
}

// Error implements error.
func (r *Refused) Error() string {
	return fmt.Sprintf("report %s refused (%s): %v", r.Report.Short(), r.Reason, r.Err)
}

// Unwrap returns ErrUntrusted and the cause.
func (r *Refused) Unwrap() []error { return []error{ErrUntrusted, r.Err} }

func refuse(id schema.ReportID, reason string, format string, args ...any) error {
	return &Refused{Report: id, Reason: reason, Err: fmt.Errorf(format, args...)}
}

// CheckReport verifies what every role checks of a report: that it belongs to
// this round and lane with exactly the task's parameters, that its vehicle is
// enrolled, and the vehicle's signature. Errors are [*Refused]. The hashes of boxes, corr and
// pieces are checked by whoever reads them.
func (r *Round) CheckReport(rep *schema.Report, id schema.ReportID) error {
	h, want := rep.Header, r.Header()
	want.TaskID, want.RoundID, want.Epoch, want.Lane = r.Name.Task, r.ID, r.Name.Epoch, r.Name.Lane
	want.Vehicle, want.CorrHash, want.Root, want.Commitments = h.Vehicle, h.CorrHash, h.Root, h.Commitments
	switch {
	case rep.ID != id:
		return refuse(id, schema.ReasonHeader, "its header hashes to %s", rep.ID.Short())
	case !equalHeaders(h, want):
		return refuse(id, schema.ReasonHeader, "parameters, task or round differ from this round's")
	case schema.LaneOf(h.TaskID, h.Epoch, h.Vehicle, r.Task.Batch.Lanes) != h.Lane:
		return refuse(id, schema.ReasonHeader, "vehicle %s belongs to another lane", h.Vehicle)
	}
	key, ok := r.Snapshot.Key(h.Vehicle)
	if !ok {
		return refuse(id, schema.ReasonVehicle, "vehicle %s is not in the snapshot", h.Vehicle)
	}
	if err := rep.Verify(key); err != nil {
		return refuse(id, schema.ReasonSignature, "%w", err)
	}
	return nil
}

func equalHeaders(a, b schema.Header) bool {
	if !slices.Equal(a.Commitments, b.Commitments) {
		return false
	}
	a.Commitments, b.Commitments = nil, nil
	return a.Suite == b.Suite && a.TaskID == b.TaskID && a.RoundID == b.RoundID && a.Epoch == b.Epoch && a.Lane == b.Lane &&
		a.N == b.N && a.Q == b.Q && a.Values == b.Values && a.PieceBlocks == b.PieceBlocks && a.Size == b.Size && a.Threshold == b.Threshold
}

// ReadReport reads a whole header object, checks it with [Round.CheckReport] and all
// boxes against their signed hashes: a report with another box is incomplete.
func (r *Round) ReadReport(ctx context.Context, s storage.Store, id schema.ReportID) (*schema.Report, error) {
	raw, err := r.ReadHeaderObject(ctx, s, id, nil)
	if err != nil {
		return nil, err
	}
	return r.DecodeReport(raw, id)
}

// DecodeReport is ReadReport of a header object that was read. The report keeps referring to it.
func (r *Round) DecodeReport(object []byte, id schema.ReportID) (*schema.Report, error) {
	rep, err := schema.DecodeReport(object)
	if err != nil {
		return nil, refuse(id, schema.ReasonHeader, "%w", err)
	}
	if err := r.CheckReport(rep, id); err != nil {
		return nil, err
	}
	if err := rep.VerifyBoxes(); err != nil {
		return nil, refuse(id, schema.ReasonBox, "%w", err)
	}
	return rep, nil
}

// ReadHeaderObject reads a whole header object, into buf if that has room for it, and checks nothing but its
// size. One that is missing is a [*Refused].
func (r *Round) ReadHeaderObject(ctx context.Context, s storage.Store, id schema.ReportID, buf []byte) ([]byte, error) {
	raw, err := storage.ReadInto(ctx, s, HeaderKey(r.Name, id), int64(r.Secagg.HeaderObjectBytes()), buf)
	if err != nil {
		return nil, missing(id, err)
	}
	return raw, nil
}

// ReadHead reads and checks only header, box hashes and signature, and the box of
// decryptor k unless k is negative. Sizes are the task's, so one range is enough.
func (r *Round) ReadHead(ctx context.Context, s storage.Store, id schema.ReportID, k int) (*schema.Report, []byte, error) {
	want := r.Header()
	want.Commitments = make([]schema.Digest, r.Secagg.Sets())
	off, n := want.BoxOffset(max(k, 0))
	length := off
	if k >= 0 {
		length += n
	}
	raw, err := readRange(ctx, s, HeaderKey(r.Name, id), length)
	if err != nil {
		return nil, nil, missing(id, err)
	}
	rep, err := schema.DecodeReportHead(raw)
	if err != nil {
		return nil, nil, refuse(id, schema.ReasonHeader, "%w", err)
	}
	if err := r.CheckReport(rep, id); err != nil {
		return nil, nil, err
	}
	if k < 0 {
		return rep, nil, nil
	}
	if err := rep.CheckBox(k, raw[off:]); err != nil {
		return nil, nil, refuse(id, schema.ReasonBox, "%w", err)
	}
	return rep, raw[off:], nil
}

// missing tells a report that is absent or has a wrong size from a store that fails.
func missing(id schema.ReportID, err error) error {
	if errors.Is(err, storage.ErrNotExist) || errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrRange) || errors.Is(err, storage.ErrDamaged) {
		return refuse(id, schema.ReasonMissing, "%w", err)
	}
	return err
}

func readRange(ctx context.Context, s storage.Store, key string, n int64) ([]byte, error) {
	rc, err := s.GetRange(ctx, key, 0, n)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return readFull(rc, n)
}

// ListReports returns the reports whose header object is in the store, sorted.
// They are complete but not checked.
func ListReports(ctx context.Context, s storage.Store, n RoundName) ([]schema.ReportID, error) {
	var ids []schema.ReportID
	for info, err := range s.List(ctx, ReportsPrefix(n), "") {
		if err != nil {
			return nil, err
		}
		if id, ok := reportOf(n, info.Key); ok {
			ids = append(ids, id)
		}
		if len(ids) > schema.MaxReports {
			return nil, Untrusted(ReportsPrefix(n), fmt.Errorf("more than %d reports", schema.MaxReports))
		}
	}
	slices.SortFunc(ids, schema.CompareReports)
	return ids, nil
}
