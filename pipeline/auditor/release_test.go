package auditor_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/releaser"
	"github.com/veilsum/veilsum/schema"
)

// threeReleases plays two rounds, each followed by a release, as the first is preceded by one.
func threeReleases(t *testing.T) *played {
	t.Helper()
	f := play(t, pipelinetest.Task(8), 0)
	f.release(t, 1)
	f.playRound(t, 1, []int{0, 1, 2})
	f.release(t, 2)
	f.playRound(t, 2, []int{0, 1, 2})
	f.release(t, 3)
	return f
}

// released also opens a third round that binds the last.
func released(t *testing.T) *played {
	t.Helper()
	f := threeReleases(t)
	f.Keys(3)
	if _, err := f.Fleet.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{Name: f.Name(3), Release: 3, Snapshot: f.Snapshot, Deadline: f.Now()}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *played) release(t *testing.T, step byte) {
	t.Helper()
	r, err := releaser.New(f.CollectKey)
	if err == nil {
		_, err = r.Release(ctx, f.Store, f.Plan, f.TaskID, releaser.Publication{Model: bytes.Repeat([]byte{step * step, 0, 0, 0}, 200), Bases: 2})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestReleases: an honest chain is verified, down to what each delta gives.
func TestReleases(t *testing.T) {
	rep, err := released(t).audit(auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := rep.Tasks[0].Releases
	if len(all) != 3 || rep.Objects["release"] != 3 || rep.Objects["delta"] != 3 || all[0].Epsilon != 0 || !(all[2].Epsilon > all[1].Epsilon) || !slices.Equal(all[2].Rounds, []string{"000000000002-0"}) {
		t.Errorf("%+v %v", all, rep.Objects)
	}
}

// TestReleaseLies: each thing that a release may state falsely, with a good signature.
func TestReleaseLies(t *testing.T) {
	f := released(t)
	key := pipeline.ReleaseKey(f.TaskID, 2)
	whole := f.Get(key)
	good, err := schema.Decode[schema.Release](whole)
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]func(*schema.Release){
		"less epsilon":           func(x *schema.Release) { x.Spent.Epsilon *= 0.99 },
		"more epsilon":           func(x *schema.Release) { x.Spent.Epsilon *= 1.2 },
		"fewer entries":          func(x *schema.Release) { x.Spent.Entries-- },
		"another ledger":         func(x *schema.Release) { x.Spent.Root[0] ^= 1 },
		"more entries than any":  func(x *schema.Release) { x.Spent.Entries = 99 },
		"another receipt":        func(x *schema.Release) { x.Rounds[0].Receipt[0] ^= 1 },
		"another release before": func(x *schema.Release) { x.Previous[0] ^= 1 },
		"another size":           func(x *schema.Release) { x.Size++ },
		"another note":           func(x *schema.Release) { x.Note = "forked" }, // the next release does not follow it
		"another model":          func(x *schema.Release) { x.Model = schema.HashModel([]byte("model")) },
	} {
		x := good.Body
		x.Rounds, x.Deltas = slices.Clone(x.Rounds), slices.Clone(x.Deltas)
		lie(&x)
		signed, err := schema.SignBody(x, f.CollectKey)
		if err != nil {
			t.Fatal(name, err)
		}
		f.Replace(key, func([]byte) []byte { return signed.Bytes() })
		f.wantFlaw(t, name, f.Store, auditor.Options{}, "/releases/")
	}
	other := good.Body
	other.Deltas = []schema.Delta{{Base: schema.HashModel([]byte("model")), Hash: good.Body.Deltas[0].Hash, Size: good.Body.Deltas[0].Size}}
	signed, err := schema.SignBody(other, f.CollectKey)
	if err != nil {
		t.Fatal(err)
	}
	f.Replace(key, func([]byte) []byte { return signed.Bytes() })
	f.wantFlaw(t, "a delta from another model", f.Store, auditor.Options{}, "/deltas/")
	f.Replace(key, func([]byte) []byte { return nil })
	f.wantFlaw(t, "missing", f.Store, auditor.Options{}, key)
	f.Put(key, whole)
	twice := good.Body
	last, err := schema.Decode[schema.Release](f.Get(pipeline.ReleaseKey(f.TaskID, 3)))
	if err != nil {
		t.Fatal(err)
	}
	twice.Serial, twice.Previous = 4, last.ID()
	if signed, err = schema.SignBody(twice, f.CollectKey); err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.ReleaseKey(f.TaskID, 4), signed.Bytes())
	f.wantFlaw(t, "a round in two releases", f.Store, auditor.Options{}, pipeline.ReleaseKey(f.TaskID, 4))
}

// TestReleaseOldLedger: what the ledger had at an earlier time is no statement of what a later release cost, though its root and its epsilon are true.
func TestReleaseOldLedger(t *testing.T) {
	f := threeReleases(t)
	var all []schema.Signed[schema.Release]
	for serial := range uint64(3) {
		x, err := schema.Decode[schema.Release](f.Get(pipeline.ReleaseKey(f.TaskID, serial+1)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, x)
	}
	last := pipeline.ReleaseKey(f.TaskID, 3)
	for name, change := range map[string]func(*schema.Release){
		"before the round that it names": func(x *schema.Release) { x.Spent = all[1].Body.Spent },
		"before any round":               func(x *schema.Release) { x.Spent = all[0].Body.Spent },
		"before the release before":      func(x *schema.Release) { x.Spent, x.Rounds = all[0].Body.Spent, []schema.ReleaseRound{} },
	} {
		x := all[2].Body
		change(&x)
		signed, err := schema.SignBody(x, f.CollectKey)
		if err != nil {
			t.Fatal(err)
		}
		f.Replace(last, func([]byte) []byte { return signed.Bytes() })
		f.wantFlaw(t, name, f.Store, auditor.Options{}, last)
	}
}

// TestReleaseFlips: a flipped bit in any object of a release is a flaw.
func TestReleaseFlips(t *testing.T) {
	f := released(t)
	for key := range f.Objects() {
		o, _ := pipeline.ParseObject(key)
		if o.Kind != pipeline.KindRelease && o.Kind != pipeline.KindDelta && o.Kind != pipeline.KindModel {
			continue
		}
		whole := f.Get(key)
		f.Replace(key, func(b []byte) []byte { b = slices.Clone(b); b[len(b)/3] ^= 4; return b })
		f.wantFlaw(t, "flipped", f.Store, auditor.Options{}, key)
		f.Replace(key, func([]byte) []byte { return whole })
	}
	if _, err := f.audit(auditor.Options{}); err != nil {
		t.Error("the store was not restored:", err)
	}
}
