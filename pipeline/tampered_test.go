package pipeline_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// TestTamperedStore spoils one object of the store at any moment of a round: it
// is flipped, cut, emptied, deleted or replaced by another. Nobody panics, no decryptor votes
// twice, and what is published is right. False alarm rate as for TestAnySchedule.
func TestTamperedStore(t *testing.T) {
	outcomes := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t, rt)
		acts := m.acts()
		at := rapid.IntRange(0, len(acts)).Draw(rt, "when")
		for i, act := range acts {
			if i == at {
				m.spoil()
			}
			act()
		}
		outcomes[m.published()]++
	})
	t.Logf("%v", outcomes)
}

// acts are the steps of a whole round.
func (m *schedule) acts() []func() {
	var all []func()
	for i := range m.Vehicles {
		all = append(all, func() { m.vehicle(i) })
	}
	for range 3 {
		all = append(all, m.collector)
		for k := range 4 {
			all = append(all, func() { m.decryptor(k) })
		}
	}
	return append(all, m.collector)
}

// spoil changes one object; which kind is drawn first, so that reports do not crowd out the rest.
func (m *schedule) spoil() {
	m.hostile = true
	kinds := map[string][]string{}
	for key := range m.Objects() {
		kind := strings.Split(strings.TrimPrefix(key, pipeline.RoundPrefix(m.round.Name)), "/")[0]
		kinds[kind] = append(kinds[kind], key)
	}
	kind := rapid.SampledFrom(slices.Sorted(maps.Keys(kinds))).Draw(m.rt, "kind")
	slices.Sort(kinds[kind])
	key := kinds[kind][rapid.IntRange(0, len(kinds[kind])-1).Draw(m.rt, "object")]
	all := slices.Sorted(maps.Keys(m.Objects()))
	how := rapid.IntRange(0, 4).Draw(m.rt, "how")
	place := rapid.IntRange(0, 1<<20).Draw(m.rt, "place")
	m.Replace(key, func(b []byte) []byte {
		switch {
		case how == 0 || len(b) == 0:
			return nil
		case how == 1:
			return []byte{}
		case how == 2:
			return b[:place%len(b)]
		case how == 3:
			if other := all[place%len(all)]; other != key {
				return m.Get(other)
			}
		}
		b[place%len(b)] ^= 1 << (place % 8)
		return b
	})
}

// published checks the mean that a collector published, if any.
func (m *schedule) published() string {
	r, err := pipeline.LoadReceipt(ctx, m.Store, m.round)
	if err != nil {
		return "no receipt"
	}
	if r.Status == schema.StatusVoid {
		return "void"
	}
	if _, err := pipeline.LoadManifest(ctx, m.Store, m.round, r.Manifest); err != nil || m.mean == nil {
		return "committed, then spoiled"
	}
	m.compare(r, m.mean)
	return "committed"
}
