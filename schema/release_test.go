package schema_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/schema"
)

func TestReleaseRanges(t *testing.T) {
	refuse(t, "release", testRelease, []refusal[schema.Release]{
		{"release.version", func(x *schema.Release) { x.Version = 2 }},
		{"release.task_id", func(x *schema.Release) { x.TaskID = schema.TaskID{} }},
		{"release.serial", func(x *schema.Release) { x.Serial = 0 }},
		{"release.previous", func(x *schema.Release) { x.Serial = 1 }},
		{"release.previous", func(x *schema.Release) { x.Previous = schema.Digest{} }},
		{"release.model", func(x *schema.Release) { x.Model = schema.Digest{} }},
		{"release.size", func(x *schema.Release) { x.Size = -1 }},
		{"release.deltas.size", func(x *schema.Release) { x.Size = 512 }}, // a delta that saves nothing
		{"release.deltas.size", func(x *schema.Release) { x.Deltas[0].Size = 0 }},
		{"release.deltas.base", func(x *schema.Release) { x.Deltas[1] = x.Deltas[0] }},
		{"release.deltas.base", func(x *schema.Release) { x.Deltas[0], x.Deltas[1] = x.Deltas[1], x.Deltas[0] }},
		{"release.deltas.base", func(x *schema.Release) { x.Deltas = x.Deltas[:1]; x.Deltas[0].Base = x.Model }},
		{"release.deltas.base", func(x *schema.Release) { x.Deltas[0].Base = schema.Digest{} }},
		{"release.deltas.hash", func(x *schema.Release) { x.Deltas[0].Hash = schema.Digest{} }},
		{"release.deltas", func(x *schema.Release) { x.Deltas = make([]schema.Delta, 17) }},
		{"release.rounds", func(x *schema.Release) { x.Rounds = nil }},
		{"release.rounds", func(x *schema.Release) { x.Rounds[1] = x.Rounds[0] }},
		{"release.rounds", func(x *schema.Release) { x.Rounds[0].Epoch = 13 }},
		{"release.rounds", func(x *schema.Release) { x.Rounds = make([]schema.ReleaseRound, 4097) }},
		{"release.rounds.round_id", func(x *schema.Release) { x.Rounds[0].RoundID = schema.RoundID{} }},
		{"release.rounds.receipt", func(x *schema.Release) { x.Rounds[0].Receipt = schema.Digest{} }},
		{"release.spent.epsilon", func(x *schema.Release) { x.Spent.Epsilon = -1 }},
		{"release.spent.delta", func(x *schema.Release) { x.Spent.Delta = 0 }},
		{"release.spent.relation", func(x *schema.Release) { x.Spent.Relation = "other" }},
		{"release.spent.unit", func(x *schema.Release) { x.Spent.Unit = "trip" }},
		{"release.spent.entries", func(x *schema.Release) { x.Spent.Entries = 0 }},
		{"release.spent.root", func(x *schema.Release) { x.Spent.Root = schema.Digest{} }},
		{"release.note", func(x *schema.Release) { x.Note = strings.Repeat("x", 1025) }},
	})
	refuse(t, "descriptor", func() schema.Descriptor { return testBound(t) }, []refusal[schema.Descriptor]{
		{"descriptor.release.serial", func(x *schema.Descriptor) { x.Release.Serial = 0 }},
		{"descriptor.release.id", func(x *schema.Descriptor) { x.Release.ID = schema.Digest{} }},
		{"descriptor.staleness", func(x *schema.Descriptor) { x.Staleness = "linear" }},
	})
}

// TestReleaseKey: without a releaser the Collector signs, as it does in every task of before.
func TestReleaseKey(t *testing.T) {
	if a, b := testTask().ReleaseKey(), testTask().Collector; a != b {
		t.Error(a, "is not the collector", b)
	}
	if got := testReleased().ReleaseKey(); got != testPublic("releaser") {
		t.Error(got)
	}
}

// TestStalenessWeight: never above 1, so that a weighted update is clipped to no more than any other, and falling with age.
func TestStalenessWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := schema.Descriptor{Epoch: rapid.Uint64().Draw(t, "epoch"), Staleness: schema.StalenessInverseSqrt}
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		wa, wb := d.StalenessWeight(a), d.StalenessWeight(b)
		if !(wa > 0 && wa <= 1) || a < b && wa > wb {
			t.Fatal("epoch", d.Epoch, "models", a, b, "weights", wa, wb)
		}
		if w := (schema.Descriptor{Epoch: d.Epoch}).StalenessWeight(a); w != 1 {
			t.Fatal("without the rule the weight is", w)
		}
	})
	d := schema.Descriptor{Epoch: 7, Staleness: schema.StalenessInverseSqrt}
	if w := d.StalenessWeight(4); math.Abs(w-0.5) > 1e-15 {
		t.Error("three epochs late:", w)
	}
}
