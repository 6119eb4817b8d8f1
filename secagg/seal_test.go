package secagg_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/secagg"
)

func constant(v int32) func(int, []int32) error {
	return func(_ int, dst []int32) error {
		for i := range dst {
			dst[i] = v
		}
		return nil
	}
}

func drop(int, []byte) error { return nil }

// TestSealIsDeterminedByItsSeed: the same seed, round and message give the
// same bytes; another round gives others everywhere.
func TestSealIsDeterminedByItsSeed(t *testing.T) {
	f := newFleet(t, literal(3000))
	one, two := f.report(t, 0), f.report(t, 0)
	if !bytes.Equal(one.blocks, two.blocks) || !bytes.Equal(one.corr, two.corr) {
		t.Fatal("blocks differ")
	}
	if bytes.Equal(one.boxes[0], two.boxes[0]) {
		t.Fatal("boxes are equal: HPKE must draw a fresh key")
	}
	f.roundID = hash("round", 1)
	other := f.report(t, 0)
	size := f.p.BlockBytes()
	for j := range f.p.Blocks() {
		if bytes.Equal(one.blocks[j*size:(j+1)*size], other.blocks[j*size:(j+1)*size]) {
			t.Fatalf("block %d is the same in another round", j)
		}
	}
}

// TestSealAsksForEveryValueOnce: ranges are consecutive, zero at the start and
// cover exactly d values.
func TestSealAsksForEveryValueOnce(t *testing.T) {
	for _, d := range []int{1, 767, 768, 1023, 1024, 1025, 2048, 5000} {
		f := newFleet(t, literal(d))
		next, blocks := 0, 0
		_, err := secagg.Seal(f.p, f.roundID, secagg.SeedOf(hash("client", 0)), func(offset int, dst []int32) error {
			if offset != next || len(dst) == 0 || len(dst) > f.p.N() {
				t.Fatalf("d = %d: asked for %d values at %d after %d", d, len(dst), offset, next)
			}
			for i := range dst {
				if dst[i] != 0 {
					t.Fatalf("d = %d: not zero", d)
				}
				dst[i] = 1
			}
			next += len(dst)
			return nil
		}, func(j int, block []byte) error {
			if j != blocks || len(block) != f.p.BlockBytes() {
				t.Fatalf("d = %d: block %d of %d bytes after %d", d, j, len(block), blocks)
			}
			blocks++
			return nil
		})
		check(t, err)
		if next != d || blocks != f.p.Blocks() {
			t.Fatalf("d = %d: %d values in %d blocks", d, next, blocks)
		}
	}
}

// TestSealRefusesValuesBeyondTheModulus checks both edges of |m| < Q/2, for
// the smallest and the largest modulus.
func TestSealRefusesValuesBeyondTheModulus(t *testing.T) {
	table := secagg.Moduli()
	for _, m := range []secagg.Modulus{table[0], table[len(table)-1]} {
		l := literal(1)
		l.N, l.Q = m.N, m.Q
		f := newFleet(t, l)
		half := int32(m.Q / 2)
		for v, ok := range map[int32]bool{
			half: true, -half: true, half + 1: false, -half - 1: false, 1<<31 - 1: false, -1 << 31: false,
		} {
			_, err := secagg.Seal(f.p, f.roundID, secagg.SeedOf(hash("client", 0)), constant(v), drop)
			if ok && err != nil || !ok && !errors.Is(err, secagg.ErrValue) {
				t.Errorf("Q = %d, m = %d: %v", m.Q, v, err)
			}
			if err != nil && strings.ContainsAny(strings.TrimPrefix(err.Error(), "secagg: value out of range in block 0"), "0123456789") {
				t.Errorf("the error tells the value: %v", err)
			}
		}
	}
}

// TestLargestValuesSealExactly: messages of both signs at the edge wrap mod Q
// as they must, whatever the noise. Two opposite clients cancel.
func TestLargestValuesSealExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(secagg.Moduli()).Draw(t, "modulus")
		l := literal(10)
		l.N, l.Q, l.LocalStdDev = m.N, m.Q, 6.4
		f := newFleet(t, l)
		v := rapid.Int32Range(-int32(m.Q/2), int32(m.Q/2)).Draw(t, "m")
		sum := secagg.NewSum(f.p)
		var reports []report
		z, want := make([]int32, f.p.N()), make([]int64, 10)
		for i, value := range []int32{v, -v} {
			r := report{id: hash("report", i), seed: secagg.SeedOf(hash("client", i))}
			sealed, err := secagg.Seal(f.p, f.roundID, r.seed, constant(value), sum.AddBlocks)
			check(t, err)
			check(t, sum.AddCorr(sealed.Corr()))
			r.coms = sealed.Commitments()
			for k, key := range f.keys {
				box, err := sealed.Box(k, key.Public(), r.id)
				check(t, err)
				r.boxes = append(r.boxes, box)
			}
			reports = append(reports, r)
			check(t, secagg.NoiseOf(f.p, r.seed, 0, z))
			for j := range want {
				want[j] += int64(z[j])
			}
		}
		x, _, err := f.open(2, 0, sum, f.answers(t, []int{0, 1, 3}, reports...))
		check(t, err)
		for i := range want {
			if int64(x[i]) != want[i] {
				t.Fatalf("value %d: %d, want %d", i, x[i], want[i])
			}
		}
	})
}

// TestAddSignedIsCanonical compares with plain remainders, at the edges above
// all: sums that are 0 mod Q are where a quotient estimate is one too small.
func TestAddSignedIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.SampledFrom(secagg.Moduli()).Draw(t, "modulus").Q
		half := int32(q / 2)
		c := rapid.Uint32Range(0, q-1).Draw(t, "c")
		m := rapid.OneOf(rapid.Int32Range(-half, half), rapid.SampledFrom([]int32{-half, 0, half})).Draw(t, "m")
		z := rapid.Int32().Draw(t, "z")
		if rapid.Bool().Draw(t, "zero") {
			z = -m - int32(c)
		}
		want := (int64(c) + int64(z) + int64(m)) % int64(q)
		if want < 0 {
			want += int64(q)
		}
		got := []uint32{c}
		secagg.AddSigned(got, []int32{z}, []int32{m}, q)
		if int64(got[0]) != want {
			t.Fatalf("%d + %d + %d mod %d = %d, want %d", c, z, m, q, got[0], want)
		}
	})
}

// TestSealStopsAtErrors: the caller's errors come back, and no later block.
func TestSealStopsAtErrors(t *testing.T) {
	f := newFleet(t, literal(5000))
	stop := errors.New("stop")
	seed := secagg.SeedOf(hash("client", 0))
	last := -1
	_, err := secagg.Seal(f.p, f.roundID, seed, constant(0), func(j int, _ []byte) error {
		last = j
		if j == 2 {
			return stop
		}
		return nil
	})
	wantError(t, err, stop)
	_, err = secagg.Seal(f.p, f.roundID, seed, func(offset int, _ []int32) error {
		if offset == 2*1024 {
			return stop
		}
		return nil
	}, func(j int, _ []byte) error {
		last = j
		return nil
	})
	wantError(t, err, stop)
	if last != 1 {
		t.Fatalf("last block %d", last)
	}
	_, err = secagg.Seal(f.p, f.roundID, secagg.ClientSeed{}, constant(0), drop)
	wantError(t, err, secagg.ErrSeed)
}

func TestClientSeedWantsADeviceSecret(t *testing.T) {
	for _, n := range []int{0, 31, 33} {
		_, err := secagg.NewClientSeed(make([]byte, n), [32]byte{}, [32]byte{})
		wantError(t, err, secagg.ErrSeed)
	}
	f := newFleet(t, literal(10))
	var corrs [2][]byte
	for i := range corrs {
		seed, err := secagg.NewClientSeed(make([]byte, 32), f.roundID, [32]byte{})
		check(t, err)
		sealed, err := secagg.Seal(f.p, f.roundID, seed, constant(0), drop)
		check(t, err)
		corrs[i] = sealed.Corr()
	}
	if bytes.Equal(corrs[0], corrs[1]) {
		t.Fatal("two seeds are equal: nothing came from the operating system")
	}
}

// TestSealHoldsLittleState: what lives while an update of any length is sealed
// stays below 1 MiB.
func TestSealHoldsLittleState(t *testing.T) {
	f := newFleet(t, literal(200_000))
	seal := func() {
		_, err := f.seal(0, drop)
		check(t, err)
	}
	seal() // tables are made once
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	_, err := f.seal(0, func(j int, _ []byte) error {
		if j == f.p.Blocks()/2 {
			if now := live(); now > before+1<<20 {
				t.Errorf("%d bytes live in the middle", now-before)
			}
		}
		return nil
	})
	check(t, err)
}

// TestReportLooksUniform compares the residues of one report with the uniform
// distribution in 64 bins: a chi-square of 63 degrees of freedom exceeds 150
// with chance 10^-8. A forgotten mask or secret leaves a peak at zero.
func TestReportLooksUniform(t *testing.T) {
	f := newFleet(t, literal(20_000))
	r := f.report(t, 0)
	for name, packed := range map[string][]byte{"blocks": r.blocks, "corr": r.corr} {
		sum, x := secagg.NewSum(f.p), make([]uint32, f.p.N())
		check(t, sum.AddBlocks(0, packed))
		var bins [64]float64
		n := float64(len(packed) / f.p.BlockBytes() * f.p.N())
		for j := range len(packed) / f.p.BlockBytes() {
			check(t, sum.Block(j, x))
			for _, v := range x {
				bins[uint64(v)*64/uint64(f.p.Q())]++
			}
		}
		chi := 0.0
		for _, count := range bins {
			chi += (count - n/64) * (count - n/64) / (n / 64)
		}
		if chi > 150 {
			t.Errorf("%s: chi-square %.0f", name, chi)
		}
	}
}
