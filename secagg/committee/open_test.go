package committee_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
)

// round is a small round of honest clients in memory. That opened sums are
// exact, and all attacks on them, are tested in package secagg.
type round struct {
	p       secagg.Params
	id      [32]byte
	sum     *secagg.Sum
	shares  []*committee.Shares
	clients int
}

// newRound seals clients that all send the same value.
func newRound(t tester, values, clients int, value int32) *round {
	t.Helper()
	p := params(t, values)
	r := &round{p: p, id: hash("round"), sum: secagg.NewSum(p), clients: clients}
	var keys []secagg.RoundKey
	for k := range p.Committee().Size {
		key, err := secagg.GenerateRoundKey(p.Suite())
		check(t, err)
		sh, err := committee.NewShares(p, k)
		check(t, err)
		keys, r.shares = append(keys, key), append(r.shares, sh)
	}
	for range clients {
		r.client(t, keys, value)
	}
	return r
}

func (r *round) client(t tester, keys []secagg.RoundKey, value int32) {
	t.Helper()
	seed, err := secagg.NewClientSeed(make([]byte, 32), r.id, hash("message"))
	check(t, err)
	sealed, err := secagg.Seal(r.p, r.id, seed, func(_ int, dst []int32) error {
		for i := range dst {
			dst[i] = value
		}
		return nil
	}, r.sum.AddBlocks)
	check(t, err)
	check(t, r.sum.AddCorr(sealed.Corr()))
	for k, key := range keys {
		box, err := sealed.Box(k, key.Public(), hash("report"))
		check(t, err)
		seeds, err := secagg.OpenBox(r.p, k, key, r.id, hash("report"), box, sealed.Commitments())
		check(t, err)
		check(t, r.shares[k].Add(seeds))
	}
}

func (r *round) answers(who ...int) []committee.Answer {
	var out []committee.Answer
	for _, k := range who {
		out = append(out, committee.Answer{Index: k, Shares: r.shares[k].Packed()})
	}
	return out
}

func ignore(int, []int32) error { return nil }

// TestOpenedMeanIsTheMessage: 40 clients send 100 in 4,000 values. The mean of
// the opened values has standard error 35*sqrt(40/4000) = 3.5; it is off by
// more than 7 of those with chance 10^-11.
func TestOpenedMeanIsTheMessage(t *testing.T) {
	const values, clients, value = 4000, 40, 100
	r := newRound(t, values, clients, value)
	sum, seen := 0.0, 0
	res, err := committee.Open(r.p, r.id, clients, 0, r.sum, r.answers(3, 0, 2), func(j int, x []int32) error {
		if j*r.p.N() != seen {
			t.Fatalf("block %d after %d values", j, seen)
		}
		for _, v := range x {
			sum += float64(v)
		}
		seen += len(x)
		return nil
	})
	check(t, err)
	if mean := sum / values; seen != values || mean < clients*value-25 || mean > clients*value+25 {
		t.Fatalf("%d values, mean %.1f", seen, mean)
	}
	if !slices.Equal(res.Used, []int{0, 2, 3}) || res.Confirmed || res.MaxSecret == 0 || len(res.SecretSum) != r.p.N() {
		t.Fatalf("used %v, confirmed %v, max %d", res.Used, res.Confirmed, res.MaxSecret)
	}
	if res.WitnessVariance < res.WitnessFloor || res.WitnessFloor <= 0 {
		t.Fatalf("variance %.0f, floor %.0f", res.WitnessVariance, res.WitnessFloor)
	}
}

// TestOpenEmitsExactlyTheValues: no witness is emitted, wherever the last
// value lies in its block.
func TestOpenEmitsExactlyTheValues(t *testing.T) {
	for _, values := range []int{1, 768, 769, 1024, 1025, 1792, 1793, 2048} {
		r := newRound(t, values, 1, 0)
		seen := 0
		_, err := committee.Open(r.p, r.id, 1, 0, r.sum, r.answers(0, 1, 2), func(_ int, x []int32) error {
			seen += len(x)
			if len(x) == 0 {
				t.Errorf("%d values: an empty block", values)
			}
			return nil
		})
		check(t, err)
		if seen != values {
			t.Errorf("%d values emitted of %d", seen, values)
		}
	}
}

func TestOpenRefusesArguments(t *testing.T) {
	r := newRound(t, 10, 2, 0)
	other := params(t, 11)
	for name, f := range map[string]func() (committee.Result, error){
		"no reports": func() (committee.Result, error) {
			return committee.Open(r.p, r.id, 0, 0, r.sum, r.answers(0, 1, 2), ignore)
		},
		"all dishonest": func() (committee.Result, error) {
			return committee.Open(r.p, r.id, 2, 2, r.sum, r.answers(0, 1, 2), ignore)
		},
		"negative dishonest": func() (committee.Result, error) {
			return committee.Open(r.p, r.id, 2, -1, r.sum, r.answers(0, 1, 2), ignore)
		},
		"no sum": func() (committee.Result, error) {
			return committee.Open(r.p, r.id, 2, 0, nil, r.answers(0, 1, 2), ignore)
		},
		"other sum": func() (committee.Result, error) {
			return committee.Open(other, r.id, 2, 0, r.sum, r.answers(0, 1, 2), ignore)
		},
		"zero parameters": func() (committee.Result, error) {
			return committee.Open(secagg.Params{}, r.id, 2, 0, r.sum, r.answers(0, 1, 2), ignore)
		},
	} {
		if _, err := f(); !errors.Is(err, secagg.ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stop := errors.New("stop")
	_, err := committee.Open(r.p, r.id, 2, 0, r.sum, r.answers(0, 1, 2), func(int, []int32) error { return stop })
	wantError(t, err, stop)
}

// TestCountAboveTheReportsSummed: the noise of 3 does not pass for that of 12.
// The manifest fixes the count; this is a second line.
func TestCountAboveTheReportsSummed(t *testing.T) {
	r := newRound(t, 10, 3, 0)
	_, err := committee.Open(r.p, r.id, 12, 0, r.sum, r.answers(0, 1, 2), ignore)
	wantError(t, err, committee.ErrWitness)
}

func TestSharesRefuseWhatIsNotTheirs(t *testing.T) {
	p := params(t, 10)
	for _, k := range []int{-1, 4} {
		_, err := committee.NewShares(p, k)
		wantError(t, err, committee.ErrShares)
	}
	_, err := committee.NewShares(secagg.Params{}, 0)
	wantError(t, err, secagg.ErrParams)
	s, err := committee.NewShares(p, 0)
	check(t, err)
	other, err := secagg.ParseSeeds(p, 1, make([]byte, 96))
	check(t, err)
	wantError(t, s.Add(other), committee.ErrShares)
	wantError(t, s.Add(secagg.Seeds{}), committee.ErrShares)
	longer, err := secagg.ParseSeeds(params(t, 11), 0, make([]byte, 96))
	check(t, err)
	wantError(t, s.Add(longer), committee.ErrShares)
	one, err := committee.NewShares(p, 1)
	check(t, err)
	wantError(t, s.Merge(one), committee.ErrShares)
	wantError(t, s.Merge(nil), committee.ErrShares)
	if s.Count() != 0 {
		t.Fatal("a refused call counted")
	}
}

// TestSharesAreSumsOfMasks: the order of adding and merging does not matter,
// and Erase starts again from zero.
func TestSharesAreSumsOfMasks(t *testing.T) {
	p := params(t, 10)
	seeds := func(b byte) secagg.Seeds {
		s, err := secagg.ParseSeeds(p, 0, bytes.Repeat([]byte{b}, 96))
		check(t, err)
		return s
	}
	sum := func(list ...byte) *committee.Shares {
		s, err := committee.NewShares(p, 0)
		check(t, err)
		for _, b := range list {
			check(t, s.Add(seeds(b)))
		}
		return s
	}
	flat := func(s *committee.Shares) []byte { return bytes.Join(s.Packed(), nil) }
	want, got := sum(1, 2, 3), sum(3)
	check(t, got.Merge(sum(2, 1)))
	if !bytes.Equal(flat(want), flat(got)) || got.Count() != 3 {
		t.Fatal("merged shares differ")
	}
	if bytes.Equal(flat(want), flat(sum(1, 2))) {
		t.Fatal("a report more changes nothing")
	}
	got.Erase()
	if !bytes.Equal(flat(got), flat(sum())) || got.Count() != 0 {
		t.Fatal("not erased")
	}
}
