package client_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// seal seals vehicle i's report and leaves it in the outbox.
func seal(f *pipelinetest.Fleet, r *pipeline.Round, i int) *client.Sealed {
	f.T.Helper()
	c, exit := f.Vehicle(i)
	defer exit()
	s, err := c.SealRound(r, f.Update(i))
	if err != nil {
		f.T.Fatal(err)
	}
	return s
}

// deliver delivers vehicle i's report and wants a fate.
func deliver(f *pipelinetest.Fleet, i int, s *client.Sealed, want client.Fate) *client.Delivery {
	f.T.Helper()
	c, exit := f.Vehicle(i)
	defer exit()
	d, err := c.Deliver(ctx, f.Store, f.Plan, s.File(), nil)
	if err != nil {
		f.T.Fatal(err)
	}
	if d.Fate != want || d.Report != s.Report {
		f.T.Errorf("%s, want %s", d.Fate, want)
	}
	if files, err := c.Pending(); err != nil || len(files) != 0 {
		f.T.Error("it waits still", files, err)
	}
	return d
}

// keep runs a step and brings vehicle i's outbox back afterwards, as if nobody had told it.
func keep(f *pipelinetest.Fleet, i int, s *client.Sealed, step func()) {
	f.T.Helper()
	path := filepath.Join(f.Dir, fmt.Sprintf("vehicle-%d", i), s.File())
	b, err := os.ReadFile(path)
	if err != nil {
		f.T.Fatal(err)
	}
	step()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		f.T.Fatal(err)
	}
}

// TestFates follows reports through a round: sent, in the list, in the sum; late for the list, late for
// the round, and left out of the sum. Late ones send nothing.
func TestFates(t *testing.T) {
	f := pipelinetest.New(t, 7, pipelinetest.Task(300))
	r := f.Open(1)
	var sealed []*client.Sealed
	for i := range 7 {
		sealed = append(sealed, seal(f, r, i))
	}
	for i := range 5 {
		keep(f, i, sealed[i], func() {
			if d := deliver(f, i, sealed[i], client.Sent); d.Bytes != sealed[i].Bytes || d.Overdue {
				t.Errorf("%+v", d)
			}
		})
	}
	list, n, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil || n != 5 {
		t.Fatal(n, err)
	}
	keep(f, 0, sealed[0], func() { deliver(f, 0, sealed[0], client.Listed) })
	f.Unchanged(nil, func() error { deliver(f, 5, sealed[5], client.Late); return nil })
	f.Replace(pipeline.PieceKey(r.Name, sealed[4].Report, 0), func(b []byte) []byte { b[0] ^= 1; return b }) // left out by the sum
	f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	f.Finish(r, list, 0, 1, 2)
	f.Unchanged(nil, func() error {
		deliver(f, 0, sealed[0], client.Summed)
		deliver(f, 4, sealed[4], client.LeftOut)
		deliver(f, 6, sealed[6], client.Late)
		return nil
	})
	if got, err := client.FateOf(ctx, f.Store, r, schema.ReportID{}); err != nil || got != client.Late || !got.Lost() {
		t.Error(got, err)
	}
}

// TestLateInMidUpload: the list is frozen while a report is under way. The upload ends, and says that it was for nothing.
func TestLateInMidUpload(t *testing.T) {
	task := pipelinetest.Task(3000)
	task.PieceBlocks = 1
	f := pipelinetest.New(t, 5, task)
	r := f.Open(1)
	for i := range 4 {
		f.Report(r, i)
	}
	s := seal(f, r, 4)
	c, exit := f.Vehicle(4)
	defer exit()
	closed := false
	d, err := c.Deliver(ctx, f.Store, f.Plan, s.File(), func(int64, int64) {
		if !closed {
			closed = true
			if _, _, err := f.Collector.Close(ctx, f.Store, r); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || d.Fate != client.Late || d.Bytes != s.Bytes {
		t.Errorf("%+v (%v)", d, err)
	}
}

// TestClockJumps: whatever the vehicle's clock shows, a report that the round still takes is sent, and
// one that it does not take is not.
func TestClockJumps(t *testing.T) {
	f := pipelinetest.New(t, 6, pipelinetest.Task(300))
	r := f.Open(1)
	start := f.Now()
	var sealed []*client.Sealed
	for i := range 6 {
		sealed = append(sealed, seal(f, r, i))
	}
	for i, now := range []time.Time{start.AddDate(30, 0, 0), time.Unix(0, 0), start.Add(-time.Hour), start.Add(time.Hour), start.Add(time.Hour - time.Second)} {
		*f.Clock = now
		if d := deliver(f, i, sealed[i], client.Sent); d.Overdue != (now.Unix() >= r.Descriptor.KeyExpiry) {
			t.Errorf("%s: %+v", now, d)
		}
	}
	*f.Clock = start
	if _, _, err := f.Collector.Close(ctx, f.Store, r); err != nil {
		t.Fatal(err)
	}
	*f.Clock = time.Unix(0, 0)
	f.Unchanged(nil, func() error { deliver(f, 5, sealed[5], client.Late); return nil })
	*f.Clock = start
	next := f.Open(2)
	*f.Clock = start.AddDate(30, 0, 0)
	c, exit := f.Vehicle(0)
	defer exit()
	if _, err := c.SealRound(next, f.Update(0)); !errors.Is(err, client.ErrExpired) {
		t.Error(err)
	}
	*f.Clock = start // the clock is set right again: nothing was lost
	if _, err := c.SealRound(next, f.Update(0)); err != nil {
		t.Error(err)
	}
}

// TestDeliverNeedsItsRound: a store that hides the round, or shows another one under its name, gets nothing
// and makes the vehicle delete nothing.
func TestDeliverNeedsItsRound(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(300))
	r := f.Open(1)
	s := seal(f, r, 0)
	c, exit := f.Vehicle(0)
	defer exit()
	try := func(want error) {
		t.Helper()
		f.Unchanged(want, func() error { _, err := c.Deliver(ctx, f.Store, f.Plan, s.File(), nil); return err })
		if files, err := c.Pending(); err != nil || len(files) != 1 {
			t.Error(files, err)
		}
	}
	good := f.Get(pipeline.DescriptorKey(r.Name))
	f.Replace(pipeline.DescriptorKey(r.Name), func([]byte) []byte { return nil })
	try(pipeline.ErrNotReady)
	f.Put(pipeline.DescriptorKey(r.Name), []byte("{")) // damage in the store is none in the outbox
	try(pipeline.ErrUntrusted)
	if _, err := c.Deliver(ctx, f.Store, f.Plan, s.File(), nil); errors.Is(err, client.ErrDamaged) {
		t.Error(err)
	}
	f.Replace(pipeline.DescriptorKey(r.Name), func([]byte) []byte { return nil })
	d, err := schema.Decode[schema.Descriptor](good)
	if err != nil {
		t.Fatal(err)
	}
	d.Body.Deadline++ // the Collector signs another round of the same name
	other, err := schema.SignBody(d.Body, f.CollectKey)
	if err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.DescriptorKey(r.Name), other.Bytes())
	try(pipeline.ErrUntrusted)
	f.Replace(pipeline.DescriptorKey(r.Name), func([]byte) []byte { return good })
	if d, err := c.Deliver(ctx, f.Store, f.Plan, s.File(), nil); err != nil || d.Fate != client.Sent {
		t.Errorf("%+v (%v)", d, err)
	}
}

// TestDeliverPowerCuts cuts the power at each write of a delivery: the report arrives, and is told once.
func TestDeliverPowerCuts(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(300))
	s := seal(f, f.Open(1), 0)
	for cut := 0; ; cut++ {
		power := &pipelinetest.Power{Left: cut / 2, After: cut%2 == 1}
		c, exit := vehicle0(f, state.WithHook(power.Hook))
		_, err := c.Deliver(ctx, pipelinetest.Powered{Store: f.Store, Power: power}, f.Plan, s.File(), nil)
		files, list := c.Pending()
		exit()
		if err == nil || len(files) == 0 {
			if err != nil && !errors.Is(err, pipelinetest.ErrPower) || list != nil {
				t.Error(err, list)
			}
			break
		}
		if !errors.Is(err, pipelinetest.ErrPower) || cut > 20 {
			t.Fatal(cut, err)
		}
	}
	if ids, err := pipeline.ListReports(ctx, f.Store, s.Name); err != nil || len(ids) != 1 || ids[0] != s.Report {
		t.Error(ids, err)
	}
}

// TestStatus tells what was given and when the vehicle may report again.
func TestStatus(t *testing.T) {
	task := pipelinetest.Task(10)
	task.Participation = schema.Participation{Max: 2, MinSeparation: 3}
	f := pipelinetest.New(t, 1, task)
	status := func(want uint64, may bool, waiting int) *client.Status {
		t.Helper()
		d, err := state.Open(filepath.Join(f.Dir, "vehicle-0"))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		s, err := client.ReadStatus(d)
		if err != nil {
			t.Fatal(err)
		}
		next, ok := s.Next(f.TaskID, f.Task.Scope.ID(), f.Task.Participation)
		if next != want || ok != may || len(s.Waiting) != waiting {
			t.Errorf("next %d %t, %d waiting, want %d %t %d", next, ok, len(s.Waiting), want, may, waiting)
		}
		return s
	}
	status(0, true, 0)
	first := seal(f, f.Open(5), 0)
	s := status(8, true, 1)
	if w := s.Waiting[0]; w.Report != first.Report || w.Bytes != first.Bytes || w.Name != first.Name || w.File != first.File() {
		t.Errorf("%+v", w)
	}
	if g := s.Tasks[0]; g.Task != f.TaskID || g.LastEpoch != 5 || g.LastReport != first.Report || g.Participations != 1 {
		t.Errorf("%+v", g)
	}
	deliver(f, 0, first, client.Sent)
	status(8, true, 0)
	seal(f, f.Open(8), 0)
	status(11, false, 1)
	junk := filepath.Join(f.Dir, "vehicle-0", "outbox", "junk.report")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := status(11, false, 2); s.Waiting[0].Damaged == nil || s.Waiting[0].Bytes != 4 {
		t.Errorf("%+v", s.Waiting)
	}
}

// TestFateText: programs read these words.
func TestFateText(t *testing.T) {
	b, err := json.Marshal([]client.Fate{client.Absent, client.Sent, client.Listed, client.Summed, client.LeftOut, client.Late, client.Over, 0, 99})
	if want := `["absent","sent","listed","summed","left out","late","over","unknown","unknown"]`; err != nil || string(b) != want {
		t.Error(string(b), err)
	}
}
