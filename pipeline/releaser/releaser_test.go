package releaser_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/releaser"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/delta"
	"github.com/veilsum/veilsum/storage"
)

var ctx = context.Background()

// model returns n float32 values that differ a little from step to step.
func model(n, step int) []byte {
	r, values := rand.New(rand.NewPCG(1, 2)), make([]float64, n)
	for i := range values {
		values[i] = r.NormFloat64()
	}
	for range step {
		for i := range values {
			values[i] += 0.01 * r.NormFloat64()
		}
	}
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return b
}

const values = 500

// world is a fleet with a task whose releases have a key of their own.
type world struct {
	*pipelinetest.Fleet
	t   testing.TB
	key ed25519.PrivateKey
}

func newWorld(t testing.TB) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	task := pipelinetest.Task(values)
	task.Releaser = schema.NewPublicKey(key)
	return &world{Fleet: pipelinetest.New(t, 4, task), t: t, key: key}
}

func (w *world) try(x releaser.Publication) (*releaser.Released, error) {
	w.t.Helper()
	r, err := releaser.New(w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Release(ctx, w.Store, w.Plan, w.TaskID, x)
}

func (w *world) release(x releaser.Publication) *releaser.Released {
	w.t.Helper()
	r, err := w.try(x)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// fetch has vehicle 0 fetch, and accept if it may.
func (w *world) fetch(have []byte, bound *schema.ReleaseRef) (*client.Fetched, error) {
	w.t.Helper()
	c, done := w.Vehicle(0)
	defer done()
	f, err := c.Fetch(ctx, w.Store, w.Plan, w.TaskID, have, bound)
	if err == nil {
		err = c.Accept(f)
	}
	return f, err
}

func (w *world) mustFetch(have, want []byte) *client.Fetched {
	w.t.Helper()
	f, err := w.fetch(have, nil)
	if err != nil || !bytes.Equal(f.Model, want) {
		w.t.Fatalf("%v: not the released model", err)
	}
	return f
}

// sign publishes a release as a malicious store does that has the key.
func (w *world) sign(r schema.Release) schema.Digest {
	w.t.Helper()
	x, err := schema.SignBody(r, w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = w.Store.Delete(ctx, pipeline.ReleaseKey(w.TaskID, r.Serial))
	w.Put(pipeline.ReleaseKey(w.TaskID, r.Serial), x.Bytes())
	return x.ID()
}

// TestReleaseAndFetch: a vehicle follows from release to release by deltas, whole if it has to, and ends with the released bytes.
func TestReleaseAndFetch(t *testing.T) {
	w := newWorld(t)
	if _, err := w.fetch(nil, nil); !errors.Is(err, client.ErrNoRelease) {
		t.Fatal("without a release:", err)
	}
	first := w.release(releaser.Publication{Model: model(values, 0), Bases: 2, Note: "initial"})
	if f := w.mustFetch(nil, model(values, 0)); f.ByDelta || f.Bytes != 4*values || f.Release.Serial != 1 || first.Release.Spent.Epsilon != 0 {
		t.Errorf("%+v", f)
	}
	r := w.Commit(1)
	second := w.release(releaser.Publication{Model: model(values, 1), Bits: 4, Bases: 2})
	if n := second.Release.Rounds; len(n) != 1 || n[0].RoundID != r.ID || !(second.Release.Spent.Epsilon > 0) || second.Release.Spent.Entries != 3 {
		t.Errorf("%+v", second.Release)
	}
	f := w.mustFetch(model(values, 0), second.Model)
	if !f.ByDelta || f.Bytes*4 > 4*values {
		t.Errorf("the delta takes %d bytes of %d", f.Bytes, 4*values)
	}
	w.Commit(2)
	third := w.release(releaser.Publication{Model: model(values, 2), Bits: 4, Bases: 2})
	if len(third.Release.Deltas) != 2 || third.Release.Spent.Epsilon <= second.Release.Spent.Epsilon {
		t.Errorf("%+v", third.Release)
	}
	for name, have := range map[string][]byte{"second": second.Model, "first": first.Model} {
		if f := w.mustFetch(have, third.Model); !f.ByDelta {
			t.Error("no delta from the", name)
		}
	}
	if f := w.mustFetch([]byte("unknown"), third.Model); f.ByDelta || f.Spoiled {
		t.Error("a delta from an unknown model")
	}
	if f := w.mustFetch(third.Model, third.Model); f.Bytes != 0 {
		t.Error("read again:", f.Bytes)
	}
}

// TestReleaseRepeats: a step that is repeated, after a crash say, ends in the same release.
func TestReleaseRepeats(t *testing.T) {
	w := newWorld(t)
	w.release(releaser.Publication{Model: model(values, 0)})
	r := w.Commit(1)
	x := releaser.Publication{Model: model(values, 1), Bits: 3, Bases: 1}
	one := w.release(x)
	named := x
	named.Rounds = []pipeline.RoundName{r.Name}
	already := x
	already.Model = one.Model
	for name, y := range map[string]releaser.Publication{"all rounds": x, "named rounds": named, "the rounded model": already} {
		if two := w.release(y); !two.Stood || two.ID != one.ID || !bytes.Equal(two.Model, one.Model) {
			t.Errorf("%s: %+v", name, two.Release)
		}
	}
	if next := w.release(releaser.Publication{Model: model(values, 0)}); next.Stood || next.Release.Serial != 3 || len(next.Release.Rounds) != 0 {
		t.Errorf("going back on purpose: %+v", next.Release)
	}
}

// TestReleaseRefuses: what no release may be made of.
func TestReleaseRefuses(t *testing.T) {
	w := newWorld(t)
	if _, err := w.try(releaser.Publication{Model: model(values, 0), Bits: 4}); !errors.Is(err, delta.ErrRound) {
		t.Error("the first model rounded:", err)
	}
	if _, err := w.try(releaser.Publication{Model: make([]byte, w.Task.MaxModelBytes()+1)}); !errors.Is(err, releaser.ErrSize) {
		t.Error("too large:", err)
	}
	r := w.Commit(1)
	w.Open(2)
	for name, c := range map[string]struct {
		rounds []pipeline.RoundName
		want   error
	}{
		"open": {[]pipeline.RoundName{w.Name(2)}, pipeline.ErrNotReady}, "absent": {[]pipeline.RoundName{w.Name(3)}, pipeline.ErrNotReady},
		"twice": {[]pipeline.RoundName{r.Name, r.Name}, releaser.ErrRounds},
	} {
		if _, err := w.try(releaser.Publication{Model: model(values, 0), Rounds: c.rounds}); !errors.Is(err, c.want) {
			t.Error(name, err)
		}
	}
	w.release(releaser.Publication{Model: model(values, 0)})
	w.release(releaser.Publication{Model: model(values, 1)})
	if _, err := w.try(releaser.Publication{Model: model(values, 2), Rounds: []pipeline.RoundName{r.Name}}); !errors.Is(err, releaser.ErrRounds) {
		t.Error("a round that release 1 names:", err)
	}
	w.key = w.CollectKey
	if _, err := w.try(releaser.Publication{Model: model(values, 2)}); !errors.Is(err, pipeline.ErrKey) {
		t.Error("the collector's key, where the task names another:", err)
	}
	if n := fmt.Sprintf("%v %+v", must(releaser.New(w.key)), must(releaser.New(w.key))); n != "[redacted] [redacted]" {
		t.Error(n)
	}
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

// TestReleaseKeyDecides: nobody else's release is loaded, the Collector's neither if the task names a releaser.
func TestReleaseKeyDecides(t *testing.T) {
	w := newWorld(t)
	first := w.release(releaser.Publication{Model: model(values, 0)})
	w.key = w.CollectKey
	w.sign(first.Release)
	if _, err := w.fetch(nil, nil); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error(err)
	}
}

// TestReleaseRollback: a store that goes back to an older release, or withholds one that a round announces, and
// a process that starts anew: the vehicle stays with what it accepted.
func TestReleaseRollback(t *testing.T) {
	w := newWorld(t)
	w.release(releaser.Publication{Model: model(values, 0)})
	second := w.release(releaser.Publication{Model: model(values, 1)})
	w.mustFetch(nil, second.Model)
	if err := w.Store.Delete(ctx, pipeline.ReleaseKey(w.TaskID, 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.fetch(second.Model, nil); !errors.Is(err, client.ErrRollback) {
		t.Error("the newest is gone:", err)
	}
	x := second.Release
	x.Serial, x.Previous = 1, schema.Digest{}
	w.sign(x) // the accepted model again, as an older release
	if _, err := w.fetch(second.Model, nil); !errors.Is(err, client.ErrRollback) {
		t.Error("the newest is the oldest:", err)
	}
	c, done := w.Vehicle(1)
	defer done()
	if _, err := c.Fetch(ctx, w.Store, w.Plan, w.TaskID, nil, second.Ref()); !errors.Is(err, client.ErrRollback) {
		t.Error("a new vehicle that a round tells of release 2:", err)
	}
	if err := c.Accept(&client.Fetched{Release: second.Release, ID: second.ID}); err != nil {
		t.Fatal(err)
	}
	if err := c.Accept(&client.Fetched{Release: x}); !errors.Is(err, client.ErrRollback) {
		t.Error("accepted:", err)
	}
}

// TestReleaseFork: two releases of one serial, a chain that leaves the accepted one, and a round that announces another.
func TestReleaseFork(t *testing.T) {
	w := newWorld(t)
	first := w.release(releaser.Publication{Model: model(values, 0)})
	second := w.release(releaser.Publication{Model: model(values, 1)})
	w.mustFetch(nil, second.Model)

	other := second.Release
	other.Note = "another one"
	id := w.sign(other)
	if _, err := w.fetch(second.Model, nil); !errors.Is(err, client.ErrForked) {
		t.Error("another release of the accepted serial:", err)
	}
	third := first.Release
	third.Serial, third.Previous = 3, id // follows the one that the vehicle did not accept
	w.sign(third)
	w.sign(second.Release)
	if _, err := w.fetch(second.Model, nil); !errors.Is(err, client.ErrForked) {
		t.Error("a chain that left the vehicle's:", err)
	}
	third.Previous = second.ID
	right := w.sign(third)
	if _, err := w.fetch(second.Model, &schema.ReleaseRef{Serial: 3, ID: id}); !errors.Is(err, client.ErrForked) {
		t.Error("a round announces another:", err)
	}
	if f, err := w.fetch(second.Model, &schema.ReleaseRef{Serial: 3, ID: right}); err != nil || !bytes.Equal(f.Model, first.Model) {
		t.Error("a release that goes back to an older model, on line:", err)
	}
}

// TestReleaseProvenance: receipts that are gone, of another round, void, or forged; a release of another task; an epsilon that is not the scope's.
func TestReleaseProvenance(t *testing.T) {
	w := newWorld(t)
	r := w.Commit(1)
	aborted := w.Open(2)
	if _, err := w.Collector.Abort(ctx, w.Store, aborted, "a test"); err != nil {
		t.Fatal(err)
	}
	good := w.release(releaser.Publication{Model: model(values, 0)}).Release
	void := must(schema.Decode[schema.Receipt](w.Get(pipeline.ReceiptKey(aborted.Name))))
	for name, change := range map[string]func(*schema.Release){
		"another receipt": func(x *schema.Release) { x.Rounds[0].Receipt[0] ^= 1 },
		"another round":   func(x *schema.Release) { x.Rounds[0].RoundID.Digest[0] ^= 1 },
		"a round that never was": func(x *schema.Release) {
			x.Rounds = append(x.Rounds, schema.ReleaseRound{Epoch: 9, RoundID: r.ID, Receipt: x.Rounds[0].Receipt})
		},
		"a lane that is none": func(x *schema.Release) { x.Rounds[0].Lane = 7 },
		"a void round": func(x *schema.Release) {
			x.Rounds = append(x.Rounds, schema.ReleaseRound{Epoch: 2, RoundID: aborted.ID, Receipt: void.ID()})
		},
		"another task":          func(x *schema.Release) { x.TaskID.Digest[0] ^= 1 },
		"more than the budget":  func(x *schema.Release) { x.Spent.Epsilon = w.Task.Scope.Epsilon + 1 },
		"another relation":      func(x *schema.Release) { x.Spent.Relation = "replace_one" },
		"another delta":         func(x *schema.Release) { x.Spent.Delta /= 2 },
		"a model beyond bounds": func(x *schema.Release) { x.Size = w.Task.MaxModelBytes() + 1 },
		"another size":          func(x *schema.Release) { x.Size++ },
		"another model":         func(x *schema.Release) { x.Model = schema.HashModel([]byte("model")) },
	} {
		x := good
		x.Rounds = slices.Clone(good.Rounds)
		change(&x)
		if name == "another task" { // under the name of this one
			signed := must(schema.SignBody(x, w.key))
			w.Replace(pipeline.ReleaseKey(w.TaskID, 1), func([]byte) []byte { return signed.Bytes() })
		} else {
			w.sign(x)
		}
		if _, err := w.fetch(nil, nil); !errors.Is(err, pipeline.ErrUntrusted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.sign(good)
	w.mustFetch(nil, model(values, 0))
	// A receipt that the store changed, seen by a vehicle that was not there before.
	w.Replace(pipeline.ReceiptKey(r.Name), func([]byte) []byte { return nil })
	c, done := w.Vehicle(1)
	defer done()
	if _, err := c.Fetch(ctx, w.Store, w.Plan, w.TaskID, nil, nil); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("the receipt is gone:", err)
	}
}

// TestTamperedDelta: a delta that is gone, cut, flipped or another one costs bytes, never the model; a model that is not the released one is refused.
func TestTamperedDelta(t *testing.T) {
	w := newWorld(t)
	first := w.release(releaser.Publication{Model: model(values, 0)})
	second := w.release(releaser.Publication{Model: model(values, 1), Bits: 4, Bases: 1})
	key := pipeline.DeltaKey(w.TaskID, second.Release.Deltas[0].Hash)
	whole := w.Get(key)
	for name, change := range map[string]func([]byte) []byte{
		"gone": func([]byte) []byte { return nil }, "cut": func(b []byte) []byte { return b[:len(b)-1] }, "longer": func(b []byte) []byte { return append(b, 0) },
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
	} {
		w.Replace(key, func(b []byte) []byte { return change(bytes.Clone(b)) })
		f := w.mustFetch(first.Model, second.Model)
		if f.ByDelta || f.Spoiled == (name == "gone") {
			t.Errorf("%s: %+v", name, f)
		}
		if name == "gone" {
			w.Put(key, whole)
			continue
		}
		w.Replace(key, func([]byte) []byte { return whole })
	}
	w.Replace(pipeline.ModelKey(w.TaskID, second.Release.Model), func(b []byte) []byte { b = bytes.Clone(b); b[3] ^= 1; return b })
	if _, err := w.fetch(nil, nil); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("a changed model:", err)
	}
	if f := w.mustFetch(first.Model, second.Model); !f.ByDelta { // the delta does not need it
		t.Error("no delta")
	}
}

// TestReleaseBomb: even a releaser cannot make a vehicle decompress more than the task's bound, nor more than it signed for.
func TestReleaseBomb(t *testing.T) {
	w := newWorld(t)
	first := w.release(releaser.Publication{Model: model(values, 0)})
	bomb := must(delta.Encode(first.Model, make([]byte, 64<<20), delta.NoGrid))
	w.Put(pipeline.DeltaKey(w.TaskID, schema.HashDelta(bomb)), bomb)
	x := first.Release
	x.Serial, x.Previous = 2, first.ID
	x.Model, x.Size = schema.HashModel([]byte("small")), 1<<20
	x.Deltas = []schema.Delta{{Base: first.Release.Model, Hash: schema.HashDelta(bomb), Size: int64(len(bomb))}}
	w.sign(x)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := w.fetch(first.Model, nil)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, storage.ErrNotExist) { // the whole model is not there
		t.Fatal(err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; !f.Spoiled || used > 4<<20 {
		t.Errorf("%+v, %d bytes are allocated", f, used)
	}
	x.Size = 64 << 20
	w.sign(x)
	if _, err := w.fetch(first.Model, nil); !errors.Is(err, pipeline.ErrUntrusted) {
		t.Error("beyond the task's bound:", err)
	}
}

// TestDamagedReleases: what the vehicle remembers of releases is not guessed.
func TestDamagedReleases(t *testing.T) {
	w := newWorld(t)
	first := w.release(releaser.Publication{Model: model(values, 0)})
	w.mustFetch(nil, first.Model)
	file := filepath.Join(w.Dir, "vehicle-0", "releases.json")
	b := must(os.ReadFile(file))
	for _, bad := range [][]byte{nil, b[:len(b)-1], bytes.Replace(b, []byte(`"serial":1`), []byte(`"serial":0`), 1), []byte(`{"body":null,"hash":"` + schema.Hash("releases", []byte("null")).String() + `"}`)} {
		if err := os.WriteFile(file, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := w.fetch(nil, nil); !errors.Is(err, client.ErrHistory) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestRoundBindsRelease: a descriptor names the release whose model it announces; a vehicle that accepted another one of
// that serial seals nothing.
func TestRoundBindsRelease(t *testing.T) {
	w := newWorld(t)
	first := w.release(releaser.Publication{Model: []byte("model")})
	w.mustFetch(nil, []byte("model"))
	w.Keys(1)
	o := collector.Opening{Name: w.Name(1), Release: 2, Snapshot: w.Snapshot, Deadline: w.Now(), Staleness: schema.StalenessInverseSqrt}
	if _, err := w.Collector.Open(ctx, w.Store, w.Plan, o); !errors.Is(err, pipeline.ErrNotReady) {
		t.Error("a release that is not there:", err)
	}
	o.Release, o.Model = 1, []byte("other")
	if _, err := w.Collector.Open(ctx, w.Store, w.Plan, o); !errors.Is(err, pipeline.ErrTask) {
		t.Error("another model:", err)
	}
	o.Model = nil
	r := must(w.Collector.Open(ctx, w.Store, w.Plan, o))
	if d := r.Descriptor; *d.Release != *first.Ref() || d.ModelHash != first.Release.Model || d.Staleness == "" {
		t.Errorf("%+v", d)
	}
	again := must(w.Collector.Open(ctx, w.Store, w.Plan, o))
	if again.ID != r.ID {
		t.Error("opened twice")
	}
	w.Report(r, 0)

	forked := *r
	forked.Descriptor.Release = &schema.ReleaseRef{Serial: 1, ID: schema.Digest{1}}
	forked.Name.Epoch++
	c, done := w.Vehicle(0)
	defer done()
	if _, err := c.SealRound(&forked, w.Update(0)); !errors.Is(err, client.ErrForked) {
		t.Error("a round of a forked release:", err)
	}
	forked.Descriptor.Release, forked.Descriptor.ModelHash = first.Ref(), schema.HashModel([]byte("x"))
	if _, err := c.SealRound(&forked, w.Update(0)); !errors.Is(err, client.ErrForked) {
		t.Error("the release's name on another model:", err)
	}
}

// Example publishes a first model, a second one after a round, and has a vehicle follow.
func Example() {
	task := pipelinetest.Task(values)
	pipelinetest.Example(4, task, func(f *pipelinetest.Fleet) {
		r, err := releaser.New(f.CollectKey) // the task names no other key
		if err != nil {
			panic(err)
		}
		for step := range 2 {
			if step > 0 {
				f.Commit(uint64(step))
			}
			x, err := r.Release(ctx, f.Store, f.Plan, f.TaskID, releaser.Publication{Model: model(values, step), Bases: 1})
			if err != nil {
				panic(err)
			}
			fmt.Println(x.Release.Serial, len(x.Release.Rounds), len(x.Release.Deltas), x.Release.Spent.Epsilon > 0)
		}
		got, err := f.Client(0).Fetch(ctx, f.Store, f.Plan, f.TaskID, model(values, 0), nil)
		fmt.Println(err, got.ByDelta, bytes.Equal(got.Model, model(values, 1)))
	})
	// Output:
	// 1 0 0 false
	// 2 1 1 true
	// <nil> true true
}
