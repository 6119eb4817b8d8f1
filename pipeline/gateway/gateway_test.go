package gateway_test

import (
	"context"
	"errors"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/gatewaytest"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

var ctx = context.Background()

// pieces is a task whose reports have several pieces.
func pieces(d int) schema.Task {
	t := pipelinetest.Task(d)
	t.PieceBlocks = 1
	return t
}

// TestWholeRound: all vehicles seal and upload through the gateway over TLS, and the round ends as any other.
func TestWholeRound(t *testing.T) {
	f := pipelinetest.New(t, 5, pieces(3000))
	s := gatewaytest.Start(f, nil)
	r := f.Open(1)
	for i, v := range f.Vehicles {
		c, exit := f.Vehicle(i)
		far := s.Remote(v)
		if err := far.Login(ctx, r.Name, r.ID); err != nil {
			t.Fatal(err)
		}
		sealed, err := c.Seal(ctx, far, f.TaskID, 1, f.Update(i))
		if err != nil {
			t.Fatal(err)
		}
		id, err := c.Upload(ctx, far, sealed.File(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadReport(ctx, f.Store, id); err != nil {
			t.Error(err)
		}
		exit()
	}
	finish(t, f, r, 5)
}

// finish plays the rest of a round of n reports and wants a committed receipt.
func finish(t *testing.T, f *pipelinetest.Fleet, r *pipeline.Round, n int) {
	t.Helper()
	list, have, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil || have != n {
		t.Fatal(have, err)
	}
	all := []int{0, 1, 2, 3}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	if got := f.Finish(r, list, all...); got.Receipt.Status != schema.StatusCommitted || got.Receipt.Reports != n {
		t.Fatal(got)
	}
}

// TestRestart kills the gateway, and with it every connection, token and announcement, before each
// request that reaches the store, one after the other: the upload goes on, and no piece is sent twice.
func TestRestart(t *testing.T) {
	f := pipelinetest.New(t, 1, pieces(3000))
	var s *gatewaytest.Server
	store := &tripping{Store: f.Store}
	s = gatewaytest.Start(f, func(c *gateway.Config) { c.Store = store })
	r := f.Open(1)
	c, exit := f.Vehicle(0)
	defer exit()
	sealed, err := c.SealRound(r, f.Update(0))
	if err != nil {
		t.Fatal(err)
	}
	far := s.RemoteAt(s.URL, f.Vehicles[0], 1)
	for puts := 0; ; puts++ {
		if puts > 40 {
			t.Fatal("the upload does not end")
		}
		store.arm(puts%3 == 2)
		_, err := c.Upload(ctx, far, sealed.File(), nil)
		if err == nil {
			break
		}
		if !errors.Is(err, pipeline.ErrNotReady) { // the store's failure, or the dead connection
			t.Fatal(err)
		}
		s.Restart()
	}
	if _, err := r.ReadReport(ctx, f.Store, sealed.Report); err != nil {
		t.Error(err)
	}
	if n := store.twice(); n > 0 {
		t.Errorf("%d objects were written twice", n)
	}
	if puts := store.puts(); puts < 5 {
		t.Errorf("only %d writes: the test cuts nothing", puts)
	}
}

// TestCutConnection cuts the vehicle's connections in the middle of bodies; the upload comes through.
func TestCutConnection(t *testing.T) {
	f := pipelinetest.New(t, 1, pieces(20_000))
	s := gatewaytest.Start(f, nil)
	r := f.Open(1)
	c, exit := f.Vehicle(0)
	defer exit()
	sealed, err := c.SealRound(r, f.Update(0))
	if err != nil {
		t.Fatal(err)
	}
	cutter := newCutter(t, s.URL)
	far := s.RemoteAt(cutter.url, f.Vehicles[0], 1)
	for try := 0; ; try++ {
		cutter.after.Store(int64(9_000 + 7_000*try)) // the handshake and a little more
		_, err := c.Upload(ctx, far, sealed.File(), nil)
		if err == nil {
			break
		}
		if try > 20 {
			t.Fatal(err)
		}
	}
	if cutter.cuts.Load() < 3 {
		t.Errorf("%d cuts", cutter.cuts.Load())
	}
	if _, err := r.ReadReport(ctx, f.Store, sealed.Report); err != nil {
		t.Error(err)
	}
}

// TestClientResumes: a client that starts again sends what is missing only, and a committed report not at all.
func TestClientResumes(t *testing.T) {
	f := pipelinetest.New(t, 1, pieces(3000))
	store := &tripping{Store: f.Store}
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Store = store })
	r := f.Open(1)
	c, exit := f.Vehicle(0)
	defer exit()
	sealed, err := c.SealRound(r, f.Update(0))
	if err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithCancel(ctx)
	if _, err := c.Upload(stop, s.Remote(f.Vehicles[0]), sealed.File(), func(done, _ int64) {
		if done > 4000 {
			cancel()
		}
	}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	far := s.Remote(f.Vehicles[0])
	if _, err := c.Upload(ctx, far, sealed.File(), nil); err != nil {
		t.Fatal(err)
	}
	if n := store.twice(); n > 0 {
		t.Errorf("%d objects were sent twice", n)
	}
	x := newAttack(t, s, f, r, 0)
	rep, _ := stored(t, f, r, sealed.Report)
	missing, committed, err := far.Announce(ctx, head(rep), x.hashes(rep))
	if err != nil || !committed || len(missing) != 0 {
		t.Error(missing, committed, err)
	}
}
