package courier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/courier"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// carry seals vehicle i's report from nothing but the bundle.
func carry(t *testing.T, f *pipelinetest.Fleet, bundle []byte, i int) []byte {
	t.Helper()
	b, err := courier.Unpack(t.Context(), bundle)
	if err != nil {
		t.Fatal(err)
	}
	c, done := f.Vehicle(i)
	defer done()
	s, err := c.Seal(t.Context(), b.Store, b.Task, b.Epoch, f.Update(i))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := c.Export(s.File(), &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// packed is the bundle of an epoch.
func packed(t testing.TB, f *pipelinetest.Fleet, epoch uint64) []byte {
	t.Helper()
	bundle, err := courier.Pack(t.Context(), f.Store, f.Plan, f.TaskID, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func add(f *pipelinetest.Fleet, r *pipeline.Round, report []byte) (*courier.Added, error) {
	return courier.Add(context.Background(), f.Store, r, bytes.NewReader(report), int64(len(report)))
}

func TestCarriedReportIsTheUploadedOne(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	r := f.Open(1)
	bundle := packed(t, f, 1)
	report := carry(t, f, bundle, 0)
	for range 2 { // the second time changes nothing
		a, err := add(f, r, report)
		if err != nil || a.Fate != client.Sent || a.Vehicle != f.Vehicles[0].ID {
			t.Fatal(a, err)
		}
	}
	before := f.Objects()
	c := f.Client(0) // the outbox still holds what was exported: its upload finds everything there
	files, err := c.Pending()
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if _, err := c.Upload(t.Context(), f.Store, files[0], nil); err != nil {
		t.Fatal(err)
	}
	if after := f.Objects(); len(after) != len(before) {
		t.Errorf("%d objects, %d before", len(after), len(before))
	}
}

// TestCarrierCannotCheat: whoever carries bundle and report can lose them and nothing else.
func TestCarrierCannotCheat(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	r := f.Open(1)
	bundle := packed(t, f, 1)
	c := f.Client(1)
	for i := 0; i < len(bundle); i += 97 {
		bad := bytes.Clone(bundle)
		bad[i] ^= 4
		b, err := courier.Unpack(t.Context(), bad)
		if err == nil {
			_, err = c.Seal(t.Context(), b.Store, f.TaskID, 1, f.Update(1))
			if err == nil {
				t.Fatalf("byte %d: sealed", i)
			}
		}
	}
	report := carry(t, f, bundle, 0)
	for i := 0; i < len(report); i += 211 {
		bad := bytes.Clone(report)
		bad[i] ^= 4
		f.Unchanged(nil, func() error {
			if _, err := add(f, r, bad); !errors.Is(err, client.ErrDamaged) && !errors.Is(err, pipeline.ErrUntrusted) {
				t.Errorf("byte %d: %v", i, err)
			}
			return nil
		})
	}
	f.Unchanged(client.ErrDamaged, func() error { _, err := add(f, r, append(bytes.Clone(report), 0)); return err })
	f.Unchanged(client.ErrDamaged, func() error { _, err := add(f, r, report[1:]); return err })
}

func TestOutsiderIsRefused(t *testing.T) {
	f := pipelinetest.New(t, 5, pipelinetest.Task(100))
	f.Enroll(2, f.Vehicles[:4])
	r := f.Open(1)
	bundle := packed(t, f, 1)
	_, err := add(f, r, carry(t, f, bundle, 4))
	var refused *pipeline.Refused
	if !errors.As(err, &refused) || refused.Reason != schema.ReasonVehicle {
		t.Error(err)
	}
}

func TestLateReportIsNotWritten(t *testing.T) {
	f := pipelinetest.New(t, 5, pipelinetest.Task(100))
	r := f.Open(1)
	bundle := packed(t, f, 1)
	for i := range 4 {
		if _, err := add(f, r, carry(t, f, bundle, i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := f.Collector.Close(t.Context(), f.Store, r); err != nil {
		t.Fatal(err)
	}
	late := carry(t, f, bundle, 4)
	f.Unchanged(nil, func() error {
		a, err := add(f, r, late)
		if err == nil && a.Fate != client.Late {
			t.Error(a.Fate)
		}
		return err
	})
}

func TestClosedEpochHasNoBundle(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	if _, err := courier.Pack(t.Context(), f.Store, f.Plan, f.TaskID, 1); !errors.Is(err, pipeline.ErrNotReady) {
		t.Error(err)
	}
}

// TestLanesInOneBundle: a client finds its own lane, whatever the order of names.
func TestLanesInOneBundle(t *testing.T) {
	task := pipelinetest.Task(10)
	task.Batch.Lanes = 12
	f := pipelinetest.New(t, 3, task)
	f.Keys(1)
	for lane := range uint32(12) {
		if lane != 5 {
			openLane(t, f, lane)
		}
	}
	bundle := packed(t, f, 1)
	for i, v := range f.Vehicles {
		if schema.LaneOf(f.TaskID, 1, v.ID, 12) != 5 {
			carry(t, f, bundle, i)
		}
	}
}

// TestOlderModelInABundle: a client that saw nothing of the epochs before may start from an older model that the round accepts.
func TestOlderModelInABundle(t *testing.T) {
	f := pipelinetest.New(t, 3, pipelinetest.Task(10))
	for epoch := uint64(1); epoch <= 4; epoch++ {
		f.Keys(epoch)
		if _, err := f.Collector.Open(t.Context(), f.Store, f.Plan, collector.Opening{
			Name: f.Name(epoch), Model: fmt.Append(nil, "model ", epoch), OldestModel: max(epoch, 3) - 2, Snapshot: f.Snapshot, Deadline: f.Now(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	bundle := packed(t, f, 4)
	b, err := courier.Unpack(t.Context(), bundle)
	if err != nil || b.Epoch != 4 {
		t.Fatal(b, err)
	}
	c := f.Client(0)
	for epoch, want := range []error{1: client.ErrModel, 2: nil} { // there is no epoch 0
		u := f.Update(0)
		u.ModelHash = schema.HashModel(fmt.Append(nil, "model ", epoch))
		if _, err := c.Seal(t.Context(), b.Store, b.Task, b.Epoch, u); epoch > 0 && !errors.Is(err, want) {
			t.Errorf("epoch %d: %v, want %v", epoch, err, want)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	fleet := pipelinetest.New(f, 1, pipelinetest.Task(10))
	fleet.Open(1)
	bundle := packed(f, fleet, 1)
	f.Add(bundle)
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := courier.Unpack(context.Background(), raw)
		if (b == nil) == (err == nil) || err != nil && !errors.Is(err, schema.ErrFormat) {
			t.Fatal(b, err)
		}
	})
}

// TestNoSnapshot: a round that knows no vehicle's key takes no report, and does not fall over.
func TestNoSnapshot(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	r := f.Open(1)
	bundle := packed(t, f, 1)
	report := carry(t, f, bundle, 0)
	bare, err := pipeline.LoadDescriptor(t.Context(), f.Store, f.Plan, r.Name)
	if err != nil {
		t.Fatal(err)
	}
	before := len(f.Objects())
	if a, err := add(f, bare, report); err == nil || len(f.Objects()) != before {
		t.Errorf("taken: %+v", a)
	}
}
