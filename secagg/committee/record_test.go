package committee_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
)

type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func check(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func wantError(t tester, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func hash(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func params(t tester, values int) secagg.Params {
	t.Helper()
	p, err := secagg.New(secagg.Literal{
		N: 1024, Q: 249857, Values: values, LocalStdDev: 35,
		Committee: secagg.DefaultCommittee, Suite: secagg.SuiteX25519,
	})
	check(t, err)
	return p
}

// fresh is the record of decryptor 2.
func fresh(t tester) committee.Record {
	t.Helper()
	p := params(t, 10)
	key, err := secagg.GenerateRoundKey(p.Suite())
	check(t, err)
	r, err := committee.NewRecord(p, 2, hash("round"), key)
	check(t, err)
	return r
}

// votes are those of members for a manifest and a checkpoint.
func votes(manifest, checkpoint [32]byte, members ...int) []committee.VoteRef {
	var out []committee.VoteRef
	for _, k := range members {
		out = append(out, committee.VoteRef{Index: k, Manifest: manifest, Checkpoint: checkpoint})
	}
	return out
}

// zeroShares have the form of an answer.
func zeroShares(t tester) [][]byte {
	t.Helper()
	s, err := committee.NewShares(params(t, 10), 2)
	check(t, err)
	return s.Packed()
}

var (
	m1, m2 = hash("manifest 1"), hash("manifest 2")
	c1, c2 = hash("checkpoint 1"), hash("checkpoint 2")
)

func TestVoteOnce(t *testing.T) {
	r := fresh(t)
	voted, err := r.Vote(m1, c1)
	check(t, err)
	if r.State() != committee.Fresh || voted.State() != committee.Voted {
		t.Fatalf("states %v, %v", r.State(), voted.State())
	}
	again, err := voted.Vote(m1, c1)
	check(t, err)
	if again != voted {
		t.Fatal("the second vote is another")
	}
	for _, pair := range [][2][32]byte{{m2, c1}, {m1, c2}, {m2, c2}} {
		_, err := voted.Vote(pair[0], pair[1])
		wantError(t, err, committee.ErrVotedOther)
	}
	if m, c, ok := voted.Choice(); !ok || m != m1 || c != c1 {
		t.Fatal("choice is lost")
	}
	if _, _, ok := r.Choice(); ok {
		t.Fatal("a fresh record has a choice")
	}
	_, err = r.Vote([32]byte{}, c1)
	wantError(t, err, committee.ErrRecord)
}

func TestAnswerOnceAndWithoutTheKey(t *testing.T) {
	r := fresh(t)
	shares := zeroShares(t)
	three := votes(m1, c1, 0, 1, 2)
	_, err := r.Answer(m1, c1, three, shares)
	wantError(t, err, committee.ErrNotVoted)
	voted, err := r.Vote(m1, c1)
	check(t, err)
	if _, ok := voted.Answered(); ok {
		t.Fatal("an answer before Answer")
	}
	answered, err := voted.Answer(m1, c1, three, shares)
	check(t, err)
	_, err = answered.Key()
	wantError(t, err, committee.ErrErased)
	first, ok := answered.Answered()
	if !ok || first.Index != 2 {
		t.Fatalf("answer of %d, %v", first.Index, ok)
	}
	other := zeroShares(t)
	other[0][0] = 1
	again, err := answered.Answer(m1, c1, three, other)
	check(t, err)
	second, _ := again.Answered()
	if !bytes.Equal(second.Shares[0], first.Shares[0]) {
		t.Fatal("asked again, other bytes leave")
	}
	first.Shares[0][0] = 9
	if third, _ := again.Answered(); third.Shares[0][0] != 0 {
		t.Fatal("the caller can change the record")
	}
	_, err = answered.Answer(m2, c1, votes(m2, c1, 0, 1, 2), shares)
	wantError(t, err, committee.ErrVotedOther)
	_, err = answered.Vote(m2, c1)
	wantError(t, err, committee.ErrVotedOther)
	if answered.Erase() != answered {
		t.Fatal("nothing is left to erase in an answered record")
	}
}

// TestVotesThatDoNotCount: t distinct members for the own pair, no less.
func TestVotesThatDoNotCount(t *testing.T) {
	voted, err := fresh(t).Vote(m1, c1)
	check(t, err)
	two := votes(m1, c1, 0, 2)
	for name, extra := range map[string][]committee.VoteRef{
		"none":             nil,
		"one twice":        votes(m1, c1, 2, 0, 0),
		"other manifest":   votes(m2, c1, 1, 3),
		"other checkpoint": votes(m1, c2, 1, 3),
		"unknown members":  votes(m1, c1, -1, 4, 1<<40),
	} {
		_, err := voted.Answer(m1, c1, append(extra, two...), zeroShares(t))
		if !errors.Is(err, committee.ErrTooFewVotes) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = voted.Answer(m1, c1, append(votes(m2, c2, 1), votes(m1, c1, 3, 2, 0)...), zeroShares(t))
	check(t, err)
}

func TestAnswerChecksTheShares(t *testing.T) {
	voted, err := fresh(t).Vote(m1, c1)
	check(t, err)
	good := zeroShares(t)
	ones := bytes.Repeat([]byte{0xff}, len(good[0]))
	for name, shares := range map[string][][]byte{
		"none": nil, "two": good[:2], "four": append(zeroShares(t), good[0]),
		"short": {good[0], good[1], good[2][1:]}, "not canonical": {good[0], good[1], ones},
	} {
		_, err := voted.Answer(m1, c1, votes(m1, c1, 0, 1, 2), shares)
		if !errors.Is(err, committee.ErrShares) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEraseEndsEverything(t *testing.T) {
	voted, err := fresh(t).Vote(m1, c1)
	check(t, err)
	for _, r := range []committee.Record{fresh(t).Erase(), voted.Erase(), voted.Erase().Erase(), {}} {
		_, err := r.Vote(m1, c1)
		wantError(t, err, committee.ErrErased)
		_, err = r.Answer(m1, c1, votes(m1, c1, 0, 1, 2), zeroShares(t))
		wantError(t, err, committee.ErrErased)
		_, err = r.Key()
		wantError(t, err, committee.ErrErased)
		if committee.KeyInMemory(r) {
			t.Error("the key is still there")
		}
		if r.State() != committee.Erased {
			t.Errorf("state %v", r.State())
		}
	}
	if m, _, ok := voted.Erase().Choice(); !ok || m != m1 {
		t.Error("what was voted for is forgotten")
	}
}

func TestNewRecordRefuses(t *testing.T) {
	p := params(t, 10)
	key, err := secagg.GenerateRoundKey(secagg.SuiteX25519)
	check(t, err)
	other, err := secagg.GenerateRoundKey(secagg.SuiteHybrid)
	check(t, err)
	for name, f := range map[string]func() (committee.Record, error){
		"index -1":   func() (committee.Record, error) { return committee.NewRecord(p, -1, m1, key) },
		"index 4":    func() (committee.Record, error) { return committee.NewRecord(p, 4, m1, key) },
		"zero key":   func() (committee.Record, error) { return committee.NewRecord(p, 0, m1, secagg.RoundKey{}) },
		"suite":      func() (committee.Record, error) { return committee.NewRecord(p, 0, m1, other) },
		"parameters": func() (committee.Record, error) { return committee.NewRecord(secagg.Params{}, 0, m1, key) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	_, err = committee.Record{}.Encode()
	wantError(t, err, committee.ErrRecord)
}

// TestNoTwoAnswers drives a record with any messages in any order, through
// storage and restarts: it votes for one pair at most, answers that pair only,
// with one set of bytes, and never has a key after the answer.
func TestNoTwoAnswers(t *testing.T) {
	p := params(t, 10)
	rapid.Check(t, func(t *rapid.T) {
		r := fresh(t)
		manifests, checkpoints := [][32]byte{m1, m2}, [][32]byte{c1, c2}
		var choice *[64]byte
		var answer []byte
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			m := rapid.SampledFrom(manifests).Draw(t, "manifest")
			c := rapid.SampledFrom(checkpoints).Draw(t, "checkpoint")
			pair := [64]byte(append(m[:], c[:]...))
			var next committee.Record
			var err error
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				next = r.Erase()
			case 1, 2, 3:
				next, err = r.Vote(m, c)
			case 4, 5:
				b, encErr := r.Encode()
				check(t, encErr)
				next, err = committee.DecodeRecord(p, b)
				check(t, err)
			default:
				shares := zeroShares(t)
				shares[0][0] = rapid.Byte().Draw(t, "shares")
				next, err = r.Answer(m, c, votes(m, c, rapid.SliceOfN(rapid.IntRange(-1, 4), 2, 5).Draw(t, "voters")...), shares)
			}
			if err != nil {
				continue
			}
			r = next
			if gotM, gotC, ok := r.Choice(); ok {
				got := [64]byte(append(gotM[:], gotC[:]...))
				if choice != nil && *choice != got || choice == nil && got != pair {
					t.Fatalf("the choice changed")
				}
				choice = &got
			}
			if a, ok := r.Answered(); ok {
				flat := bytes.Join(a.Shares, nil)
				if answer != nil && !bytes.Equal(answer, flat) {
					t.Fatalf("two answers")
				}
				answer = flat
				if _, err := r.Key(); err == nil {
					t.Fatalf("a key beside an answer")
				}
			} else if answer != nil {
				t.Fatalf("the answer is forgotten")
			}
		}
	})
}
