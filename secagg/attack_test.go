package secagg_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// Attacks on the secure sum. Each names what the attacker does and what stops
// it; the rules of votes are attacked in package committee.

// pack packs residues under the fleet's modulus.
func (f *fleet) pack(t tester, x []uint32) []byte {
	t.Helper()
	r, err := ring.New(f.p.N(), f.p.Q())
	check(t, err)
	out := make([]byte, r.BlockBytes())
	r.Pack(out, x)
	return out
}

// shift adds e to value i of a packed block.
func (f *fleet) shift(t tester, packed []byte, i int, e uint32) []byte {
	t.Helper()
	r, err := ring.New(f.p.N(), f.p.Q())
	check(t, err)
	x := make([]uint32, f.p.N())
	check(t, r.UnpackCanonical(x, packed))
	x[i] = uint32((uint64(x[i]) + uint64(e)) % uint64(f.p.Q()))
	return f.pack(t, x)
}

func (f *fleet) reports(t tester, n int) []report {
	t.Helper()
	out := make([]report, n)
	for i := range out {
		out[i] = f.report(t, i)
	}
	return out
}

var everyone = []int{0, 1, 2, 3}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// A device whose generator repeats u: the same message gives the same report,
// and any other message another secret, so that two ciphertexts never share s.
func TestRepeatedRandomnessRepeatsTheReportOrNothing(t *testing.T) {
	f := newFleet(t, literal(100))
	device, other := make([]byte, 32), bytes.Repeat([]byte{1}, 32)
	u, rid, digest := hash("u", 0), f.roundID, hash("m", 0)
	base := secagg.DeriveSeed(u, device, rid, digest)
	if base != secagg.DeriveSeed(u, device, rid, digest) {
		t.Fatal("the same input gives another seed")
	}
	for name, r := range map[string][32]byte{
		"other message": secagg.DeriveSeed(u, device, rid, hash("m", 1)),
		"other round":   secagg.DeriveSeed(u, device, hash("round", 1), digest),
		"other device":  secagg.DeriveSeed(u, other, rid, digest),
		"other u":       secagg.DeriveSeed(hash("u", 1), device, rid, digest),
	} {
		one, err := secagg.SecretOf(f.p, secagg.SeedOf(base))
		check(t, err)
		two, err := secagg.SecretOf(f.p, secagg.SeedOf(r))
		check(t, err)
		if r == base || slices.Equal(one, two) {
			t.Errorf("%s: the secret repeats", name)
		}
	}
}

// The same report twice in a sum (same seed twice) doubles S: the sum opens to
// twice the message, which is why an aggregator must refuse one vehicle twice;
// but answers over a list with it once do not open it.
func TestReplayedReportDoesNotOpenWithTheAnswersOfTheList(t *testing.T) {
	f := newFleet(t, literal(2000))
	r := f.reports(t, 3)
	sum := f.sum(t, r[0], r[1], r[2], r[2])
	_, _, err := f.open(4, 0, sum, f.answers(t, everyone, r...))
	wantError(t, err, committee.ErrNotOpened)
}

// A mauled corr shifts S by a known e: the masks are additive, so nothing
// refuses it before; but then a_j*e makes every block uniform.
func TestMauledCorrOpensNothing(t *testing.T) {
	f := newFleet(t, literal(2000))
	r := f.reports(t, 5)
	answers := f.answers(t, everyone, r...)
	r[2].corr = f.shift(t, r[2].corr, 17, 1)
	emitted := 0
	_, err := committee.Open(f.p, f.roundID, 5, 0, f.sum(t, r...), answers, func(int, []int32) error {
		emitted++
		return nil
	})
	wantError(t, err, committee.ErrNotOpened)
	if emitted > 0 {
		t.Fatalf("%d blocks emitted under a wrong secret", emitted)
	}
}

// A client copies a victim's boxes and corr into its own report, to have the
// committee open the victim's secret a second time: HPKE's aad is the
// ReportID, so the box does not open.
func TestCopiedBoxDoesNotOpenInAnotherReport(t *testing.T) {
	f := newFleet(t, literal(1))
	r := f.reports(t, 2)
	open := func(k int, key secagg.RoundKey, round, id [32]byte, box []byte) error {
		_, err := secagg.OpenBox(f.p, k, key, round, id, box, r[0].coms)
		return err
	}
	check(t, open(0, f.keys[0], f.roundID, r[0].id, r[0].boxes[0]))
	flipped := bytes.Clone(r[0].boxes[0])
	flipped[len(flipped)-1] ^= 1
	for name, err := range map[string]error{
		"another report":    open(0, f.keys[0], f.roundID, r[1].id, r[0].boxes[0]),
		"another round":     open(0, f.keys[0], hash("round", 1), r[0].id, r[0].boxes[0]),
		"another index":     open(1, f.keys[0], f.roundID, r[0].id, r[0].boxes[0]),
		"another key":       open(0, f.keys[1], f.roundID, r[0].id, r[0].boxes[0]),
		"another member's":  open(0, f.keys[0], f.roundID, r[0].id, r[0].boxes[1]),
		"a flipped bit":     open(0, f.keys[0], f.roundID, r[0].id, flipped),
		"a shorter box":     open(0, f.keys[0], f.roundID, r[0].id, flipped[1:]),
		"nothing":           open(0, f.keys[0], f.roundID, r[0].id, nil),
		"no such decryptor": open(4, f.keys[0], f.roundID, r[0].id, r[0].boxes[0]),
		"below the first":   open(-1, f.keys[0], f.roundID, r[0].id, r[0].boxes[0]),
	} {
		if !errors.Is(err, secagg.ErrBox) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A client gives different decryptors different seeds for one set, so that
// honest answers disagree: every seed is checked against the one commitment.
func TestBoxWithSeedsThatDoNotMatchIsRefused(t *testing.T) {
	f := newFleet(t, literal(1))
	r := f.report(t, 0)
	for set := range r.coms {
		coms := slices.Clone(r.coms)
		coms[set][31] ^= 1
		for k, key := range f.keys {
			_, err := secagg.OpenBox(f.p, k, key, f.roundID, r.id, r.boxes[k], coms)
			held := slices.Contains(f.p.Committee().Held(k), set)
			if held != errors.Is(err, secagg.ErrBox) || !held && err != nil {
				t.Errorf("set %d, decryptor %d holds it: %v; error %v", set, k, held, err)
			}
		}
	}
	_, err := secagg.OpenBox(f.p, 0, f.keys[0], f.roundID, r.id, r.boxes[0], r.coms[:5])
	wantError(t, err, secagg.ErrBox)
}

// t-1 decryptors pool their seeds: the one they miss leaves corr uniform, so
// guessing it as zero gives an S far from short.
func TestOneSeedTooFewLeavesTheSecretUniform(t *testing.T) {
	f := newFleet(t, literal(100))
	r := f.report(t, 0)
	// Decryptors 0 and 1 hold every seed but that of the set {0,1}, position 0.
	all := f.answers(t, []int{0, 1, 2}, r)
	zero := f.pack(t, make([]uint32, f.p.N()))
	all[2].Shares = [][]byte{zero, all[1].Shares[1], all[0].Shares[1]}
	if f.p.Committee().Held(2)[0] != 0 {
		t.Fatal("decryptor 2 does not hold set 0 first")
	}
	_, _, err := f.open(1, 0, f.sum(t, r), all)
	wantError(t, err, committee.ErrNotOpened)
}

// A client seals under a secret of its own choice, far longer than any that is
// sampled. Its report is consistent, so every block opens to a plausible sum;
// only the bound on S refuses it (section 8).
func TestLongSecretIsRefused(t *testing.T) {
	f := newFleet(t, literal(2000))
	r := f.reports(t, 3)
	answers := f.answers(t, everyone, r...)
	for e, ok := range map[int32]bool{1: true, 2000: false} {
		long := slices.Clone(r)
		long[1].corr = f.shift(t, r[1].corr, 3, uint32(e))
		long[1].blocks = f.underLongerSecret(t, r[1].blocks, 3, e)
		_, _, err := f.open(3, 0, f.sum(t, long...), answers)
		if ok {
			check(t, err)
			continue
		}
		wantError(t, err, committee.ErrNotOpened)
	}
}

// underLongerSecret adds a_j times e*X^i to every block.
func (f *fleet) underLongerSecret(t tester, blocks []byte, i int, e int32) []byte {
	t.Helper()
	rg, err := ring.New(f.p.N(), f.p.Q())
	check(t, err)
	s := make([]int32, f.p.N())
	s[i] = e
	mul, public := rg.NewScratch(), sampler.NewKey(sampler.Derive(f.roundID[:], "a"))
	mul.PrepareSecret(s)
	c, as := make([]uint32, f.p.N()), make([]uint32, f.p.N())
	size := f.p.BlockBytes()
	var out []byte
	for j := range f.p.Blocks() {
		check(t, rg.UnpackCanonical(c, blocks[j*size:(j+1)*size]))
		mul.MulA(as, public.Stream(uint64(j)))
		rg.Add(c, as)
		out = append(out, f.pack(t, c)...)
	}
	return out
}

// One client of many sends garbage in one block of many: opening refuses,
// whatever decryptors are dropped.
func TestOneGarbageBlockAmongMany(t *testing.T) {
	f := newFleet(t, literal(20_000))
	r := f.reports(t, 4)
	answers := f.answers(t, everyone, r...)
	size := f.p.BlockBytes()
	garbage := make([]byte, size)
	for i := 0; i < size; i += 32 {
		h := hash("garbage", i)
		copy(garbage[i:], h[:])
	}
	for _, j := range []int{0, f.p.Blocks() / 2, f.p.Blocks() - 1} {
		sum := f.sum(t, r...)
		check(t, sum.SubBlocks(j, r[1].blocks[j*size:(j+1)*size]))
		check(t, sum.AddBlocks(j, garbage))
		seen := make(map[int]int)
		_, err := committee.Open(f.p, f.roundID, 4, 0, sum, answers, func(j int, _ []int32) error {
			seen[j]++
			return nil
		})
		wantError(t, err, committee.ErrNotOpened)
		if _, bad := seen[j]; bad || len(seen) > j {
			t.Fatalf("garbage in block %d: emitted %v", j, seen)
		}
		for block, n := range seen {
			if n > 1 {
				t.Fatalf("block %d opened %d times under one secret", block, n)
			}
		}
	}
}

// A fleet that forgot its noise: reports that decrypt to the message exactly.
// The witnesses tell, and nothing at all is emitted.
func TestFleetWithoutNoiseIsRefused(t *testing.T) {
	f := newFleet(t, literal(3000))
	const n = 8
	r := f.reports(t, n)
	answers := f.answers(t, everyone, r...)
	for _, silent := range []int{n, n - 2} { // with F_c = 1 even 2 noisy ones of 8 are too few
		bare := slices.Clone(r)
		for i := range silent {
			bare[i].blocks = f.withoutNoise(t, r[i])
		}
		emitted := false
		_, err := committee.Open(f.p, f.roundID, n, 1, f.sum(t, bare...), answers, func(int, []int32) error {
			emitted = true
			return nil
		})
		wantError(t, err, committee.ErrWitness)
		if emitted {
			t.Fatal("values of a sum without noise were emitted")
		}
	}
	x, res, err := f.open(n, 1, f.sum(t, r...), answers)
	check(t, err)
	f.exact(t, x, res)
	// The mean square of 1096 witnesses is within 6 standard errors of
	// n*sigma^2 but with chance 2^-28.
	want := n * 35.0 * 35.0
	if floor := 7 * 35 * 35 * (1 - 6*math.Sqrt(2/float64(f.p.Witnesses()))); math.Abs(res.WitnessFloor-floor) > 1e-6*floor {
		t.Fatalf("floor %.1f with one dishonest of %d, want %.1f", res.WitnessFloor, n, floor)
	}
	if tol := 6 * want * math.Sqrt(2/float64(f.p.Witnesses())); math.Abs(res.WitnessVariance-want) > tol {
		t.Fatalf("witness variance %.0f, want %.0f within %.0f", res.WitnessVariance, want, tol)
	}
}

// withoutNoise takes z out of a report.
func (f *fleet) withoutNoise(t tester, r report) []byte {
	t.Helper()
	rg, err := ring.New(f.p.N(), f.p.Q())
	check(t, err)
	x, z := make([]uint32, f.p.N()), make([]int32, f.p.N())
	size := f.p.BlockBytes()
	var out []byte
	for j := range f.p.Blocks() {
		rg.Unpack(x, r.blocks[j*size:(j+1)*size])
		check(t, secagg.NoiseOf(f.p, r.seed, j, z))
		for i := range x {
			x[i] = uint32((int64(x[i]) + int64(f.p.Q())*1000 - int64(z[i])) % int64(f.p.Q()))
		}
		out = append(out, f.pack(t, x)...)
	}
	return out
}

// Unnoised padding would give one linear equation on s for each position: the
// witnesses of a single report decrypt to noise of the full width, and to
// zero in few places.
func TestPaddingIsNeverWithoutNoise(t *testing.T) {
	for _, values := range []int{1, 767, 768, 769, 1024, 1800, 2048} {
		f := newFleet(t, literal(values))
		r := f.report(t, 0)
		_, res, err := f.open(1, 0, f.sum(t, r), f.answers(t, everyone, r))
		check(t, err)
		want := 35.0 * 35.0
		if tol := 6 * want * math.Sqrt(2/float64(f.p.Witnesses())); math.Abs(res.WitnessVariance-want) > tol {
			t.Errorf("d = %d: witness variance %.0f, want %.0f within %.0f", values, res.WitnessVariance, want, tol)
		}
		if len(r.blocks) != f.p.Blocks()*f.p.BlockBytes() || f.p.Witnesses() < 256 {
			t.Errorf("d = %d: %d bytes, %d witnesses", values, len(r.blocks), f.p.Witnesses())
		}
	}
}

// Sum and answers over different lists, or of different rounds.
func TestSumAndAnswersOverDifferentLists(t *testing.T) {
	f := newFleet(t, literal(1500))
	r := f.reports(t, 4)
	all := f.answers(t, everyone, r[:3]...)
	_, _, err := f.open(4, 0, f.sum(t, r...), all)
	wantError(t, err, committee.ErrNotOpened)
	sum := f.sum(t, r[:3]...)
	_, _, err = f.open(3, 0, sum, all)
	check(t, err)
	f.roundID = hash("round", 1)
	_, _, err = f.open(3, 0, sum, all)
	wantError(t, err, committee.ErrNotOpened)
}
