package dir

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/veilsum/veilsum/storage"
)

// TestFaults: four writers, each with a handle of its own, race for a key while 30 % of all
// calls of fsync and link fail, half of them after they did their work. A writer that is told
// neither success nor conflict asks again with the same bytes. In each round exactly one
// writer's bytes are there, that writer is told so, and the others know that they lost. It
// fails by chance if a writer stays undecided 60 times. A try needs at most 3 such calls and so stays
// undecided with probability at most 1 - 0.7^3 < 0.66; in the 28 writes that make the two folders of a
// name, which are remembered one by one, a few tries go to these: 28 * 60^2 * 0.66^58 + 800 * 0.66^60 < 1e-5.
func TestFaults(t *testing.T) {
	rounds := 60
	switch {
	case os.Getenv("VEILSUM_SLOW") == "1":
		rounds = 200
	case testing.Short():
		rounds = 15
	}
	root := t.TempDir()
	var faults, good atomic.Int64
	var stores [4]*Store
	for i := range stores {
		stores[i] = openFaulty(t, root, uint64(i), &faults, &good)
	}
	for round := range rounds {
		key := fmt.Sprintf("d%d/k/%d", round%7, round)
		var won [4]bool
		var group sync.WaitGroup
		for i, s := range stores {
			group.Go(func() { won[i] = decided(t, s, key, content(i, round)) })
		}
		group.Wait()
		winners := 0
		for i := range won {
			have, err := os.ReadFile(stores[0].path(key))
			if err != nil || won[i] != bytes.Equal(have, content(i, round)) {
				t.Fatalf("%s: writer %d was told %v, it holds %.30q, %v", key, i, won[i], have, err)
			}
			if won[i] {
				winners++
			}
		}
		if winners != 1 {
			t.Fatalf("%s: %d winners", key, winners)
		}
	}
	left, err := os.ReadDir(root + "/" + tmpName)
	t.Logf("%d rounds of 4 writers: one winner each, and everybody knew; %d calls failed, %d did not; %d temporary files are left, %v", rounds, faults.Load(), good.Load(), len(left), err)
}

func content(writer, round int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "writer %d of round %d;", writer, round), 100)
}

// openFaulty opens a store whose system calls fail at random.
func openFaulty(t *testing.T, root string, seed uint64, faults, good *atomic.Int64) *Store {
	t.Helper()
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 3))
	on := false
	call := func(do func() error) error {
		mu.Lock()
		dice := r.IntN(100)
		mu.Unlock()
		switch {
		case !on || dice >= 30:
			good.Add(1)
			return do()
		case dice >= 15: // after the fact
			_ = do()
		}
		faults.Add(1)
		return errInjected
	}
	s, err := Open(root, func(s *Store) {
		s.sync = func(f *os.File) error { return call(f.Sync) }
		s.link = func(from, to string) error { return call(func() error { return os.Link(from, to) }) }
	})
	if err != nil {
		t.Fatal(err)
	}
	on = true
	return s
}

// decided asks until the outcome is known, and tells whether this writer's bytes are there.
func decided(t *testing.T, s *Store, key string, body []byte) bool {
	for range 60 {
		outcome, err := s.PutOnce(t.Context(), key, body)
		switch {
		case err == nil && outcome != 0:
			return true
		case errors.Is(err, storage.ErrConflict):
			return false
		case !errors.Is(err, errInjected):
			t.Errorf("%s: %v, %v", key, outcome, err)
			return false
		}
	}
	t.Errorf("%s: undecided", key)
	return false
}
