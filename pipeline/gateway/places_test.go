package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/gatewaytest"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/storage"
)

// TestLoginsTakeNoPlaces: who has no key and dribbles logins does not hold up vehicles that are logged in.
func TestLoginsTakeNoPlaces(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Limits.Uploads = 1 })
	x := newAttack(t, s, f, f.Open(1), 0).enter()
	c := dial(t, s, "http/1.1")
	if _, err := io.WriteString(c, "POST /v1/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // its body is being read
		t.Fatal(line, err)
	}
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	x.want(x.put(piecePath(rep, 0), parts[0]), 201, "")
	x.want(x.send(x.signed("127.0.0.1", nil)), 503, "unavailable") // logins are bounded, too
}

// TestPlacesOfOneVehicle: one vehicle cannot keep all others from sending.
func TestPlacesOfOneVehicle(t *testing.T) {
	const most = 16
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	store := &gate{Store: f.Store, open: make(chan struct{})}
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Store = store })
	r := f.Open(1)
	x, y := newAttack(t, s, f, r, 0).enter(), newAttack(t, s, f, r, 1).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	other, pieces := y.forge(y.v, pipelinetest.Forgery{})
	y.want(y.announce(other, pieces), 200, "")
	answers := make(chan answer, most+1)
	for range most {
		go func() { answers <- x.put(piecePath(rep, 0), parts[0]) }()
	}
	store.wait(t, most)
	a := x.put(piecePath(rep, 0), parts[0])
	x.want(a, 429, "rate")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	go func() { answers <- y.put(piecePath(other, 0), pieces[0]) }()
	store.wait(t, most+1)
	close(store.open)
	for range most + 1 {
		if a := <-answers; a.status != 201 && a.status != 200 {
			t.Error(a)
		}
	}
	x.want(x.put(headerPath(rep), rep.Bytes()), 201, "")
}

// breaking is a store whose connection breaks while it answers.
type breaking struct {
	storage.Store
	broken atomic.Pointer[error]
}

func (s *breaking) err() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// PutOnce implements storage.Store.
func (s *breaking) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	if err := s.err(); err != nil {
		return 0, fmt.Errorf("s3: put %q: %w", key, err)
	}
	return s.Store.PutOnce(ctx, key, body)
}

// Get implements storage.Store.
func (s *breaking) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	r, info, err := s.Store.Get(ctx, key)
	if broken := s.err(); err == nil && broken != nil && strings.Contains(key, "/piece-") {
		r = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r, 10), failing{broken}), r}
	}
	return r, info, err
}

type failing struct{ err error }

// Read implements io.Reader.
func (r failing) Read([]byte) (int, error) { return 0, r.err }

// TestBrokenStoreIsNoMistake: a store whose connection breaks is not taken for a vehicle whose body ended early, which
// would give up, and the operator hears of it.
func TestBrokenStoreIsNoMistake(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	store := &breaking{Store: f.Store}
	var out lockedBuffer
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Store, c.Log = store, slog.New(slog.NewJSONHandler(&out, nil)) })
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	all := []error{io.ErrUnexpectedEOF, os.ErrDeadlineExceeded, errors.New("reset by peer")}
	each := func(send func() answer) {
		t.Helper()
		for _, err := range all {
			store.broken.Store(&err)
			before := len(out.String())
			x.want(send(), 503, "unavailable")
			if text := out.String()[before:]; !strings.Contains(text, "cause") || !strings.Contains(text, err.Error()) {
				t.Errorf("the log does not name %q:\n%s", err, text)
			}
		}
		store.broken.Store(nil)
	}
	each(func() answer { return x.put(piecePath(rep, 0), parts[0]) })
	x.want(x.put(piecePath(rep, 0), parts[0]), 201, "")
	each(func() answer { return x.put(headerPath(rep), rep.Bytes()) })
	s.Restart() // so that the piece is read back
	x.enter()
	x.want(x.announce(rep, parts), 200, "")
	each(func() answer { return x.put(headerPath(rep), rep.Bytes()) })
	x.want(x.put(headerPath(rep), rep.Bytes()), 201, "")
}

// counting counts how often snapshots are read.
type counting struct {
	storage.Store
	snapshots atomic.Int32
}

// Get implements storage.Store.
func (s *counting) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if o, ok := pipeline.ParseObject(key); ok && o.Kind == pipeline.KindSnapshot {
		s.snapshots.Add(1)
	}
	return s.Store.Get(ctx, key)
}

// TestEndedRoundsLoadNothing: logins without a key to rounds of long ago do not make the gateway read snapshots, which are large
// and few of which stay in memory.
func TestEndedRoundsLoadNothing(t *testing.T) {
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	store := &counting{Store: f.Store}
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Store = store })
	r := f.Open(1)
	if _, err := f.Collector.Abort(ctx, f.Store, r, "test"); err != nil {
		t.Fatal(err)
	}
	x := newAttack(t, s, f, r, 0)
	x.want(x.send(x.signed("127.0.0.1", nil)), 403, "refused")
	if n := store.snapshots.Load(); n != 0 || s.Gateway.Stats().Rounds != 0 {
		t.Errorf("%d snapshots were read, %d rounds are kept", n, s.Gateway.Stats().Rounds)
	}
	newAttack(t, s, f, f.Open(2), 0).enter()
	if store.snapshots.Load() != 1 {
		t.Error("the test counts nothing")
	}
}

// planting is a store in which somebody has planted pieces whose metadata say what our writer will send: the S3 driver then
// takes them for identical.
type planting struct{ storage.Store }

// PutOnce implements storage.Store.
func (s planting) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	if !strings.Contains(key, "/piece-") {
		return s.Store.PutOnce(ctx, key, body)
	}
	other := make([]byte, len(body))
	if _, err := s.Store.PutOnce(ctx, key, other); err != nil {
		return 0, err
	}
	return storage.Identical, nil
}

// TestIdenticalIsReadBack: what somebody else wrote is read before it commits a report, though the store calls it identical.
func TestIdenticalIsReadBack(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Store = planting{f.Store} })
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	x.put(piecePath(rep, 0), parts[0])
	x.want(x.put(headerPath(rep), rep.Bytes()), 409, "conflict")
	if _, err := f.Store.Stat(ctx, pipeline.HeaderKey(r.Name, rep.ID)); !errors.Is(err, storage.ErrNotExist) {
		t.Error("the report was committed")
	}
}
