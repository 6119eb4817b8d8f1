package watch_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/schema"
)

func anyView(t *rapid.T) watch.View {
	yes := func(name string) bool { return rapid.Bool().Draw(t, name) }
	v := watch.View{
		Open: yes("open"), Ended: rapid.SampledFrom([]string{"", schema.StatusCommitted, schema.StatusVoid}).Draw(t, "ended"),
		Proposed: yes("proposed"), Certified: yes("certified"), VoteSent: yes("voteSent"), AnswerSent: yes("answerSent"),
	}
	v.Live, v.Voted, v.Answered = yes("live"), yes("voted"), yes("answered")
	if yes("bound") {
		v.Round.Digest[0] = 1
	}
	if yes("list") {
		v.Unchecked = []schema.Digest{{1}}
	}
	return v
}

// TestNextNeverStops: a step is proposed only for what can be done, and following the steps ends in Wait
// or Finish, however the round stands: no pass goes in circles.
func TestNextNeverStops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyView(t)
		for range 8 {
			switch do := watch.Next(v); do {
			case watch.Wait, watch.Finish:
				return
			case watch.Accept:
				v.Round.Digest[0] = 1
			case watch.Check:
				v.Unchecked = nil
			case watch.Vote:
				if !v.Voted && (!v.Live || v.Ended != "") {
					t.Fatalf("a first vote in %+v", v)
				}
				v.Voted, v.VoteSent = true, true
			case watch.Answer:
				if !v.Answered && (!v.Voted || !v.Live || !v.Certified || v.Ended == schema.StatusVoid) {
					t.Fatalf("a first answer in %+v", v)
				}
				v.Answered, v.AnswerSent, v.Live = true, true, false
			default:
				t.Fatal(do)
			}
			if !v.Open {
				t.Fatalf("a step without a descriptor: %+v", v)
			}
		}
		t.Fatalf("it goes in circles: %+v", v)
	})
}

// TestFinishIsFinal: what has finished stays so, whatever the store shows later, unless a void was hidden.
func TestFinishIsFinal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyView(t)
		if watch.Next(v) != watch.Finish || v.Ended != "" {
			return
		}
		v.Proposed, v.Certified, v.Open, v.Unchecked = true, true, true, []schema.Digest{{2}}
		if do := watch.Next(v); do != watch.Finish {
			t.Fatalf("%s after finish: %+v", do, v)
		}
	})
}

func keyOf(epoch uint64, live, used bool, expiry int64) decryptor.Status {
	s := decryptor.Status{Name: pipeline.RoundName{Epoch: epoch}, Live: live, Expiry: expiry}
	if used {
		s.Round.Digest[0] = 1
	}
	return s
}

// TestAhead: n epochs behind the last used one have fresh keys; dead and spoiled epochs are passed over.
func TestAhead(t *testing.T) {
	none := func(uint64) bool { return false }
	for name, x := range map[string]struct {
		keys    []decryptor.Status
		spoiled func(uint64) bool
		n       int
		want    []uint64
	}{
		"fresh":        {nil, none, 3, []uint64{1, 2, 3}},
		"none":         {nil, none, 0, nil},
		"after a used": {[]decryptor.Status{keyOf(4, false, true, 0), keyOf(5, true, false, 100)}, none, 2, []uint64{5, 6}},
		"dead":         {[]decryptor.Status{keyOf(1, false, false, 0), keyOf(2, true, false, 100)}, none, 2, []uint64{2, 3}},
		"spoiled":      {nil, func(e uint64) bool { return e == 2 }, 2, []uint64{1, 3}},
		"old":          {[]decryptor.Status{keyOf(1, true, false, 10)}, none, 1, []uint64{1, 2}},
		"the end":      {[]decryptor.Status{keyOf(1<<64-2, true, true, 0)}, none, 5, []uint64{1<<64 - 1}},
	} {
		if got := watch.Ahead(x.keys, x.spoiled, x.n, 50); !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
	}
}

// A decryptor that voted waits for the others, and answers once they have voted, too.
func ExampleNext() {
	v := watch.View{Open: true, VoteSent: true}
	v.Live, v.Voted = true, true
	fmt.Println(watch.Next(v))
	v.Certified = true
	fmt.Println(watch.Next(v))
	v.Answered, v.AnswerSent, v.Live = true, true, false
	fmt.Println(watch.Next(v))
	// Output:
	// wait
	// answer
	// finish
}
