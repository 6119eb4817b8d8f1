package ring_test

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/secagg/internal/ring"
	"pgregory.net/rapid"
)

// plain is the obvious sum: one big residue a value.
type plain struct {
	r   *ring.Ring
	sum [][]uint64
}

func newPlain(r *ring.Ring, blocks int) *plain {
	p := &plain{r: r, sum: make([][]uint64, blocks)}
	for b := range p.sum {
		p.sum[b] = make([]uint64, r.N())
	}
	return p
}

// add adds times copies of the packed block; times may be negative.
func (p *plain) add(block int, packed []byte, times int64) {
	q := int64(p.r.Q())
	k := (times%q + q) % q
	for i := range p.sum[block] {
		v := int64(refField(packed, i, p.r.Bits()))
		p.sum[block][i] = (p.sum[block][i] + uint64(v%q*k)) % uint64(q)
	}
}

// check compares every block of a with the plain sum.
func (p *plain) check(t rapid.TB, a *ring.Accumulator) {
	t.Helper()
	got := make([]uint32, p.r.N())
	for b, want := range p.sum {
		a.Residues(b, got)
		for i, x := range got {
			if uint64(x) != want[i] {
				t.Fatalf("block %d value %d is %d, want %d", b, i, x, want[i])
			}
		}
	}
}

// TestAccumulatorHeadroom adds all-ones blocks up to, onto and beyond the edge
// where lanes must be reduced, checking at every step near it, twice around.
func TestAccumulatorHeadroom(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long with the race detector; one goroutine")
	}
	each(t, func(t *testing.T, r *ring.Ring) {
		limit := 1 << (32 - r.Bits()) // fields that fit from zero
		full := ones(r.BlockBytes())
		a, p := r.NewAccumulator(1), newPlain(r, 1)
		done := 0
		near := func(i int) bool {
			for _, edge := range []int{limit, 2*limit - 1, 3*limit - 2} {
				if i >= edge-2 && i <= edge+2 {
					return true
				}
			}
			return false
		}
		for i := 1; i <= 3*limit; i++ {
			a.AddPacked(0, full)
			if near(i) {
				p.add(0, full, int64(i-done))
				done = i
				p.check(t, a)
			}
		}
	})
}

// TestAccumulatorSubEdge does one subtraction at each state of the headroom
// near its end, with the fields that make it dearest: zero and Q (which both
// subtract Q) and all ones.
func TestAccumulatorSubEdge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long with the race detector; one goroutine")
	}
	each(t, func(t *testing.T, r *ring.Ring) {
		limit := 1 << (32 - r.Bits())
		full, zero := ones(r.BlockBytes()), make([]byte, r.BlockBytes())
		qs := refPack(slices.Repeat([]uint32{r.Q()}, r.N()), r.Bits())
		for _, before := range []int{0, limit - 2, limit - 1, limit} {
			for _, sub := range [][]byte{zero, qs, full} {
				a, p := r.NewAccumulator(1), newPlain(r, 1)
				for range before {
					a.AddPacked(0, full)
				}
				p.add(0, full, int64(before))
				for range 3 {
					a.SubPacked(0, sub)
					p.add(0, sub, -1)
					p.check(t, a)
					a.AddPacked(0, full)
					p.add(0, full, 1)
					p.check(t, a)
				}
			}
		}
	})
}

// TestAccumulatorOnlySub never adds: the sum is still exact.
func TestAccumulatorOnlySub(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		if r.Bits() < 24 {
			t.Skip("the edge needs 2^(32-F) slow steps; wider fields take the same path")
		}
		a, p := r.NewAccumulator(1), newPlain(r, 1)
		zero := make([]byte, r.BlockBytes())
		n := 2<<(32-r.Bits()) + 1
		for range n {
			a.SubPacked(0, zero)
		}
		p.check(t, a)
	})
}

// TestAccumulator runs random programs of all operations on two sums.
func TestAccumulator(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		rng := rand.New(rand.NewPCG(5, uint64(r.Q())))
		const blocks = 3
		size := r.BlockBytes()
		bodies := [][]byte{ones(blocks * size), noise(rng, blocks*size), noise(rng, blocks*size), make([]byte, blocks*size)}
		rapid.Check(t, func(t *rapid.T) {
			accs := []*ring.Accumulator{r.NewAccumulator(blocks), r.NewAccumulator(blocks)}
			sums := []*plain{newPlain(r, blocks), newPlain(r, blocks)}
			for range rapid.IntRange(1, 12).Draw(t, "steps") {
				i := rapid.IntRange(0, 1).Draw(t, "sum")
				a, p := accs[i], sums[i]
				from := rapid.IntRange(0, blocks).Draw(t, "from")
				to := rapid.IntRange(from, blocks).Draw(t, "to")
				body := bodies[rapid.IntRange(0, len(bodies)-1).Draw(t, "body")][from*size : to*size]
				switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
				case op < 5:
					a.AddPacked(from, body)
					p.apply(from, body, 1)
				case op < 8:
					a.SubPacked(from, body)
					p.apply(from, body, -1)
				case op == 8:
					a.Merge(accs[1-i])
					p.merge(sums[1-i])
				default:
					a.Reset()
					*p = *newPlain(r, blocks)
				}
			}
			sums[0].check(t, accs[0])
			sums[1].check(t, accs[1])
		})
	})
}

func (p *plain) apply(from int, body []byte, times int64) {
	size := p.r.BlockBytes()
	for b := 0; len(body) > 0; b, body = b+1, body[size:] {
		p.add(from+b, body[:size], times)
	}
}

func (p *plain) merge(o *plain) {
	for b, s := range o.sum {
		for i, x := range s {
			p.sum[b][i] = (p.sum[b][i] + x) % uint64(p.r.Q())
		}
	}
}

// TestMergeFull merges sums that have no headroom left, with each other and
// with themselves, and checks that the source is unchanged.
func TestMergeFull(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		full := ones(r.BlockBytes())
		n := 1 << (32 - r.Bits())
		a, b := r.NewAccumulator(1), r.NewAccumulator(1)
		for range n {
			a.AddPacked(0, full)
			b.AddPacked(0, full)
		}
		pa, pb := newPlain(r, 1), newPlain(r, 1)
		pa.add(0, full, int64(n))
		pb.add(0, full, int64(n))
		for range 3 {
			a.Merge(b)
			pa.merge(pb)
			pa.check(t, a)
			pb.check(t, b)
			a.Merge(a)
			pa.merge(pa)
			pa.check(t, a)
		}
	})
}

// TestShapes checks that a caller's mistake stops at once.
func TestShapes(t *testing.T) {
	r, err := ring.New(1024, 249857)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ring.New(1024, 61441)
	if err != nil {
		t.Fatal(err)
	}
	a := r.NewAccumulator(2)
	block := make([]byte, r.BlockBytes())
	for name, f := range map[string]func(){
		"part of a block":   func() { a.AddPacked(0, block[1:]) },
		"negative block":    func() { a.AddPacked(-1, block) },
		"beyond the end":    func() { a.AddPacked(2, block) },
		"overflowing index": func() { a.SubPacked(int(^uint(0)>>1), block) },
		"other length":      func() { a.Merge(r.NewAccumulator(1)) },
		"other ring":        func() { a.Merge(other.NewAccumulator(2)) },
		"short residues":    func() { a.Residues(0, make([]uint32, 1000)) },
		"short pack":        func() { r.Pack(block, make([]uint32, 1000)) },
		"short unpack":      func() { r.Unpack(make([]uint32, 1024), block[1:]) },
		"short secret":      func() { r.NewScratch().PrepareSecret(make([]int32, 5)) },
		"short product":     func() { r.NewScratch().MulA(make([]uint32, 5), key(0).Stream(0)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
	if newPlain(r, 2).check(t, a); a.Blocks() != 2 {
		t.Fatal("a refused call changed the sum")
	}
}

// TestAddSub compares with big integers.
func TestAddSub(t *testing.T) {
	each(t, func(t *testing.T, r *ring.Ring) {
		rng := rand.New(rand.NewPCG(6, uint64(r.Q())))
		a, b := residues(rng, r.N(), r.Q()), residues(rng, r.N(), r.Q())
		slices.Reverse(b[:r.N()/2])
		sum, diff := slices.Clone(a), slices.Clone(a)
		r.Add(sum, b)
		r.Sub(diff, b)
		q := big.NewInt(int64(r.Q()))
		for i := range a {
			x, y := big.NewInt(int64(a[i])), big.NewInt(int64(b[i]))
			s := new(big.Int).Mod(new(big.Int).Add(x, y), q)
			d := new(big.Int).Mod(new(big.Int).Sub(x, y), q)
			if s.Int64() != int64(sum[i]) || d.Int64() != int64(diff[i]) {
				t.Fatalf("%d and %d: sum %d, difference %d", x, y, sum[i], diff[i])
			}
		}
	})
}
