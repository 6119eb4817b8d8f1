package secagg_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
)

// Attacks by decryptors that answer wrongly.

// One decryptor answers wrongly. With all answers it is found and named, and
// the sum opens exactly; with t answers nothing opens and nobody is named.
func TestLyingDecryptor(t *testing.T) {
	f := newFleet(t, literal(2000))
	r := f.reports(t, 6)
	sum := f.sum(t, r...)
	for liar := range everyone {
		for held := range f.p.HeldSets() {
			all := f.answers(t, everyone, r...)
			all[liar].Shares[held] = f.shift(t, all[liar].Shares[held], 5, 1)
			x, res, err := f.open(6, 0, sum, all)
			check(t, err)
			f.exact(t, x, res)
			if !slices.Equal(res.Convicted, []int{liar}) || !slices.Equal(res.Dropped, []int{liar}) || !res.Confirmed {
				t.Fatalf("liar %d: convicted %v, dropped %v, confirmed %v", liar, res.Convicted, res.Dropped, res.Confirmed)
			}
			three := slices.Delete(all, (liar+1)%4, (liar+1)%4+1)
			_, _, err = f.open(6, 0, sum, three)
			wantError(t, err, committee.ErrNotOpened)
		}
	}
}

// A liar adds errors that cancel in S. The sum opens all the same, and with t
// answers the lie goes unseen; with all it is convicted.
func TestCancelingLie(t *testing.T) {
	f := newFleet(t, literal(500))
	r := f.reports(t, 4)
	sum := f.sum(t, r...)
	all := f.answers(t, everyone, r...)
	all[3].Shares[0] = f.shift(t, all[3].Shares[0], 0, 9)
	all[3].Shares[1] = f.shift(t, all[3].Shares[1], 0, f.p.Q()-9)
	x, res, err := f.open(4, 0, sum, all)
	check(t, err)
	f.exact(t, x, res)
	if !slices.Equal(res.Convicted, []int{3}) {
		t.Fatalf("convicted %v", res.Convicted)
	}
}

// Two liars of (7,5,2) choose errors that cancel in S and show up only against
// two honest decryptors, which are dropped first. The sum is exact and the
// honest are dropped, but nobody honest is convicted.
func TestLiarsCannotConvictTheHonest(t *testing.T) {
	l := literal(300)
	l.Committee = secagg.Committee{Size: 7, Threshold: 5, Malicious: 2}
	f := newFleet(t, l)
	r := f.reports(t, 3)
	sum := f.sum(t, r...)
	all := f.answers(t, []int{0, 1, 2, 3, 4, 5, 6}, r...)
	// Sets of 4 whose complement is {5, 6, 0} and {5, 6, 1}: held by both
	// liars and one honest decryptor each.
	f.lie(t, all, []int{1, 2, 3, 4}, 1)
	f.lie(t, all, []int{0, 2, 3, 4}, f.p.Q()-1)
	x, res, err := f.open(3, 0, sum, all)
	check(t, err)
	f.exact(t, x, res)
	if !slices.Equal(res.Dropped, []int{0, 1}) {
		t.Fatalf("dropped %v: the attack of this test did not happen", res.Dropped)
	}
	if len(res.Convicted) > 0 {
		t.Fatalf("convicted %v", res.Convicted)
	}
}

// lie lets decryptors 5 and 6 shift their share of a set by e.
func (f *fleet) lie(t tester, answers []committee.Answer, set []int, e uint32) {
	t.Helper()
	i := slices.IndexFunc(f.p.Committee().Sets(), func(s []int) bool { return slices.Equal(s, set) })
	for _, k := range []int{5, 6} {
		place := slices.Index(f.p.Committee().Held(k), i)
		answers[k].Shares[place] = f.shift(t, answers[k].Shares[place], 0, e)
	}
}

// A malformed answer convicts its signer and does not stop the others.
func TestMalformedAnswerIsSetAside(t *testing.T) {
	f := newFleet(t, literal(100))
	r := f.reports(t, 2)
	sum := f.sum(t, r...)
	ones := bytes.Repeat([]byte{0xff}, f.p.BlockBytes()) // 2^18-1 is above Q
	for name, shares := range map[string][][]byte{
		"nothing":       nil,
		"too few":       f.answer(t, 3, r...).Shares[:2],
		"short":         {ones[1:], ones, ones},
		"not canonical": {ones, ones, ones},
	} {
		all := f.answers(t, everyone, r...)
		all[3].Shares = shares
		x, res, err := f.open(2, 0, sum, all)
		check(t, err)
		f.exact(t, x, res)
		if !slices.Equal(res.Convicted, []int{3}) || res.Confirmed {
			t.Errorf("%s: convicted %v, confirmed %v", name, res.Convicted, res.Confirmed)
		}
	}
}

// Answers that do not suffice or are not of this committee.
func TestAnswersThatDoNotSuffice(t *testing.T) {
	f := newFleet(t, literal(100))
	r := f.reports(t, 2)
	sum := f.sum(t, r...)
	all := f.answers(t, everyone, r...)
	for name, answers := range map[string][]committee.Answer{
		"none":      nil,
		"t-1":       all[:2],
		"one twice": {all[0], all[1], all[1]},
		"one more":  append(slices.Clone(all), all[3]),
		"unknown":   {all[0], all[1], {Index: 4, Shares: all[2].Shares}},
		"negative":  {all[0], all[1], {Index: -1, Shares: all[2].Shares}},
		"beyond 64": {all[0], all[1], {Index: 1 << 20, Shares: all[2].Shares}},
	} {
		if _, _, err := f.open(2, 0, sum, answers); !errors.Is(err, committee.ErrAnswers) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A malformed answer is one of the f liars: what it uses up is not there to
// explain the other answers away, so the second liar is convicted, too,
// although it differs from a single honest decryptor only.
func TestMalformedAnswerCountsAsALiar(t *testing.T) {
	l := literal(300)
	l.Committee = secagg.Committee{Size: 7, Threshold: 5, Malicious: 2}
	f := newFleet(t, l)
	r := f.reports(t, 2)
	all := f.answers(t, []int{0, 1, 2, 3, 4, 5, 6}, r...)
	all[5].Shares = nil
	set := slices.IndexFunc(l.Committee.Sets(), func(s []int) bool { return slices.Equal(s, []int{1, 2, 3, 4}) })
	place := slices.Index(l.Committee.Held(6), set)
	all[6].Shares[place] = f.shift(t, all[6].Shares[place], 0, 1)
	x, res, err := f.open(2, 0, f.sum(t, r...), all)
	check(t, err)
	f.exact(t, x, res)
	if !slices.Equal(res.Convicted, []int{5, 6}) || !slices.Equal(res.Used, []int{0, 1, 2, 3, 4}) {
		t.Fatalf("convicted %v, used %v", res.Convicted, res.Used)
	}
}

// TestLargestCommittee: sixteen decryptors, five of them lying in the same
// way, so that they agree with each other. 8,008 sets, 6,885 choices.
func TestLargestCommittee(t *testing.T) {
	if testing.Short() {
		t.Skip("short: 200 MB of answers")
	}
	l := literal(300)
	l.Committee = secagg.Committee{Size: 16, Threshold: 11, Malicious: 5}
	f := newFleet(t, l)
	r := f.reports(t, 1)
	all := make([]int, 16)
	for k := range all {
		all[k] = k
	}
	answers := f.answers(t, all, r...)
	liars := []int{3, 4, 9, 12, 15}
	for _, k := range liars {
		for place := range answers[k].Shares {
			answers[k].Shares[place] = f.shift(t, answers[k].Shares[place], 7, 3)
		}
	}
	x, res, err := f.open(1, 0, f.sum(t, r...), answers)
	check(t, err)
	f.exact(t, x, res)
	if !slices.Equal(res.Convicted, liars) || len(res.Used) != 11 {
		t.Fatalf("convicted %v, used %v", res.Convicted, res.Used)
	}
}
