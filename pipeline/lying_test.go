package pipeline_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// liar is a store that breaks its promises now and then: it overwrites what exists
// and says that it created it, or says so and forgets the object. It remembers all that it was
// given, so that a test sees what was sent to whoever listens.
type liar struct {
	storage.Store
	mu   sync.Mutex
	rng  *rand.Rand
	odds int // it lies once in so many times
	sent map[string][][]byte
}

// PutOnce implements storage.Store, badly.
func (l *liar) PutOnce(ctx context.Context, key string, content []byte) (storage.Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[key] = append(l.sent[key], bytes.Clone(content))
	if l.rng.IntN(l.odds) > 0 {
		return l.Store.PutOnce(ctx, key, content)
	}
	if l.rng.IntN(2) == 0 {
		return storage.Created, nil // and forgets it
	}
	if err := l.Store.Delete(ctx, key); err != nil {
		return 0, err
	}
	return l.Store.PutOnce(ctx, key, content)
}

// TestLyingStore plays arbitrary schedules on a store that ignores conditions, loses what it took,
// and forgets the ledger between two lists. Steps may fail; but no decryptor ever gives two votes, all answers that were ever sent open
// one list, and what is published is right. False alarm rate as for TestAnySchedule.
func TestLyingStore(t *testing.T) {
	outcomes, lists := map[string]int{}, map[int]int{}
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t, rt)
		l := &liar{
			Store: m.Store, sent: map[string][][]byte{}, odds: rapid.IntRange(1, 8).Draw(rt, "odds"),
			rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)),
		}
		m.Store, m.hostile = l, true
		odds := l.odds
		l.odds = 1 << 30
		for i := range m.Vehicles { // there is something to lie about
			m.vehicle(i)
		}
		m.freeze(4)
		m.freeze(len(m.Vehicles))
		for k := range 4 {
			m.decryptor(k)
		}
		l.odds = odds
		for range rapid.IntRange(10, 80).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "act") {
			case 0:
				m.split()
			case 1:
				l.forget(m)
			default:
				m.step()
			}
		}
		m.power.Restore()
		for _, act := range m.acts() {
			act()
		}
		lists[l.judge(rt, m)]++
		outcomes[m.published()]++
	})
	t.Logf("%v; rounds by proposed lists %v", outcomes, lists)
}

// forget deletes the scope's ledger, so that the next list is proposed as if nothing had been reserved.
func (l *liar) forget(m *schedule) {
	for key := range m.Objects() {
		if strings.HasPrefix(key, pipeline.LedgerPrefix(m.Task.Scope.ID())) {
			if err := l.Delete(ctx, key); err != nil {
				m.rt.Fatal(err)
			}
		}
	}
}

// freeze makes a list of the first n complete reports.
func (m *schedule) freeze(n int) {
	reports, err := pipeline.ListReports(ctx, m.Store, m.round.Name)
	m.allow(err)
	l := schema.Candidates{Version: schema.Version, RoundID: m.round.ID, Reports: reports[:min(n, len(reports))]}
	raw, err := l.Encode()
	m.allow(err)
	_, err = m.Store.PutOnce(ctx, pipeline.CandidatesKey(m.round.Name, l.ID()), raw)
	m.allow(err)
}

// split proposes any list that was frozen.
func (m *schedule) split() {
	m.power.Restore()
	lists, err := pipeline.ListCandidates(ctx, m.Store, m.round)
	m.allow(err)
	if len(lists) > 0 {
		_, err := m.Collector.Propose(ctx, m.Store, m.round, rapid.SampledFrom(lists).Draw(m.rt, "list"))
		m.allow(err)
	}
}

// judge looks at everything that was ever sent and returns how many lists were proposed.
func (l *liar) judge(rt *rapid.T, m *schedule) (proposed int) {
	opened, votes := map[schema.ManifestID]bool{}, map[schema.Vote]bool{}
	for key, bodies := range l.sent {
		if strings.HasPrefix(key, pipeline.RoundPrefix(m.round.Name)+"manifests/") {
			proposed++
		}
		for _, b := range bodies {
			switch {
			case strings.HasPrefix(key, pipeline.RoundPrefix(m.round.Name)+"answers/"):
				a, err := schema.Decode[schema.Answer](b)
				if err != nil {
					rt.Fatal(err)
				}
				opened[a.Body.Manifest] = true
			case strings.HasPrefix(key, pipeline.RoundPrefix(m.round.Name)+"votes/"):
				v, err := schema.Decode[schema.Vote](b)
				if err != nil {
					rt.Fatal(err)
				}
				votes[v.Body] = true
			}
		}
	}
	if len(opened) > 1 {
		rt.Fatalf("%d lists were opened", len(opened))
	}
	byMember := map[int]int{}
	for v := range votes {
		if byMember[v.Index]++; byMember[v.Index] > 1 {
			rt.Fatalf("decryptor %d voted twice", v.Index)
		}
	}
	return proposed
}
