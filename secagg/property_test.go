package secagg_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/secagg"
)

// smallCommittees are the committees of the gate up to n_c = 8: larger ones
// only have more sets.
func smallCommittees() []secagg.Committee {
	var out []secagg.Committee
	for n := 2; n <= 8; n++ {
		for t := 2; t <= n; t++ {
			for f := 1; f < t; f++ {
				if c := (secagg.Committee{Size: n, Threshold: t, Malicious: f}); c.Validate() == nil {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// drawLiteral draws any modulus, committee and suite of the gate, with a width
// whose sum over 8 clients fits the modulus.
func drawLiteral(t *rapid.T) secagg.Literal {
	m := rapid.SampledFrom(secagg.Moduli()).Draw(t, "modulus")
	most := float64(m.Q) / 64
	return secagg.Literal{
		N: m.N, Q: m.Q,
		Values:      rapid.IntRange(1, 3*m.N).Draw(t, "values"),
		LocalStdDev: rapid.Float64Range(6.4, min(most, 1<<20)).Draw(t, "sigma"),
		Committee:   rapid.SampledFrom(smallCommittees()).Draw(t, "committee"),
		Suite:       rapid.SampledFrom([]secagg.Suite{secagg.SuiteX25519, secagg.SuiteX25519, secagg.SuiteHybrid}).Draw(t, "suite"),
	}
}

// TestAnyQuorumAnyDropoutAnyTree: whoever drops out before the list is closed,
// however partial sums are merged, and whichever decryptors answer (t or
// more), the list's sum opens exactly.
func TestAnyQuorumAnyDropoutAnyTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t, drawLiteral(t))
		list := rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 8, rapid.ID[int]).Draw(t, "list")
		var reports []report
		for _, i := range list { // everybody else dropped out
			reports = append(reports, f.report(t, i))
		}
		sum := mergeTree(t, f, reports)
		c := f.p.Committee()
		all := make([]int, c.Size)
		for k := range all {
			all[k] = k
		}
		order := rapid.Permutation(all).Draw(t, "order")
		who := order[:rapid.IntRange(c.Threshold, c.Size).Draw(t, "answers")]
		x, res, err := f.open(len(list), 0, sum, f.answers(t, who, reports...))
		check(t, err)
		f.exact(t, x, res)
		slices.Sort(who)
		if !slices.Equal(res.Used, who) || res.Confirmed != (len(who) > c.Threshold) || len(res.Convicted) > 0 {
			t.Fatalf("used %v of %v, confirmed %v, convicted %v", res.Used, who, res.Confirmed, res.Convicted)
		}
	})
}

// mergeTree adds the reports in a random tree of partial sums, some of them
// written and read on the way.
func mergeTree(t *rapid.T, f *fleet, reports []report) *secagg.Sum {
	if len(reports) == 1 {
		return f.sum(t, reports...)
	}
	cut := rapid.IntRange(1, len(reports)-1).Draw(t, "cut")
	left, right := mergeTree(t, f, reports[:cut]), mergeTree(t, f, reports[cut:])
	if rapid.Bool().Draw(t, "left absorbs right") {
		left, right = right, left
	}
	if rapid.Bool().Draw(t, "stored") {
		var buf bytes.Buffer
		_, err := right.WriteTo(&buf)
		check(t, err)
		right, err = secagg.ReadSum(f.p, &buf)
		check(t, err)
	}
	check(t, left.Merge(right))
	return left
}

// TestAnyLiarsAreHarmless: up to f decryptors shift any of their shares. If
// all answer, the sum opens exactly and only liars are convicted. The
// committees that are not live with f silent members are left out: there the
// opening may fail, and says so.
func TestAnyLiarsAreHarmless(t *testing.T) {
	live := slices.DeleteFunc(smallCommittees(), func(c secagg.Committee) bool {
		return c.Size-c.Malicious < c.Threshold
	})
	rapid.Check(t, func(t *rapid.T) {
		l := literal(rapid.IntRange(1, 1500).Draw(t, "values"))
		l.Committee = rapid.SampledFrom(live).Draw(t, "committee")
		f := newFleet(t, l)
		reports := f.reports(t, 2)
		all := make([]int, l.Committee.Size)
		for k := range all {
			all[k] = k
		}
		answers := f.answers(t, all, reports...)
		liars := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, l.Committee.Malicious, rapid.ID[int]).Draw(t, "liars")
		for _, k := range liars {
			for place := range answers[k].Shares {
				if e := rapid.Uint32Range(0, 2).Draw(t, "error"); e > 0 {
					answers[k].Shares[place] = f.shift(t, answers[k].Shares[place], 0, e)
				}
			}
		}
		x, res, err := f.open(2, 0, f.sum(t, reports...), answers)
		check(t, err)
		f.exact(t, x, res)
		for _, k := range res.Convicted {
			if !slices.Contains(liars, k) {
				t.Fatalf("decryptor %d is honest, convicted with %v", k, res.Convicted)
			}
		}
	})
}

// TestSubTakesBack: adding and taking back any reports leaves the bytes as if
// they had never been there, in any order.
func TestSubTakesBack(t *testing.T) {
	f := newFleet(t, literal(1500))
	pool := f.reports(t, 4)
	rapid.Check(t, func(t *rapid.T) {
		sum, left := secagg.NewSum(f.p), make([]int, len(pool))
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			i := rapid.IntRange(0, len(pool)-1).Draw(t, "report")
			if left[i] > 0 && rapid.Bool().Draw(t, "take back") {
				check(t, sum.SubCorr(pool[i].corr))
				check(t, sum.SubBlocks(0, pool[i].blocks))
				left[i]--
				continue
			}
			check(t, sum.AddBlocks(0, pool[i].blocks))
			check(t, sum.AddCorr(pool[i].corr))
			left[i]++
		}
		fresh := secagg.NewSum(f.p)
		for i, n := range left {
			for range n {
				check(t, fresh.Merge(f.sum(t, pool[i])))
			}
		}
		var a, b bytes.Buffer
		_, err := sum.WriteTo(&a)
		check(t, err)
		_, err = fresh.WriteTo(&b)
		check(t, err)
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Fatalf("sums differ")
		}
	})
}
