package secagg_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
)

// tester is what *testing.T, *testing.B and *rapid.T share.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// report is one client's message in memory.
type report struct {
	id     [32]byte
	seed   secagg.ClientSeed
	blocks []byte // all packed blocks
	corr   []byte
	coms   [][32]byte
	boxes  [][]byte
}

// fleet is a round in memory. want and wantS are what only a test can know:
// the sums of m+z and of s.
type fleet struct {
	p       secagg.Params
	roundID [32]byte
	keys    []secagg.RoundKey
	want    []int64
	wantS   []int64
}

func check(t tester, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// literal is a small valid wish: default committee, F = 18, suite 2.
func literal(values int) secagg.Literal {
	return secagg.Literal{
		N: 1024, Q: 249857, Values: values, LocalStdDev: 35,
		Committee: secagg.DefaultCommittee, Suite: secagg.SuiteX25519,
	}
}

func newFleet(t tester, l secagg.Literal) *fleet {
	t.Helper()
	p, err := secagg.New(l)
	check(t, err)
	f := &fleet{p: p, roundID: hash("round", 0), want: make([]int64, l.Values), wantS: make([]int64, l.N)}
	for range l.Committee.Size {
		key, err := secagg.GenerateRoundKey(l.Suite)
		check(t, err)
		f.keys = append(f.keys, key)
	}
	return f
}

// hash gives test inputs that look random.
func hash(label string, i int) [32]byte {
	return sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(label), uint64(i)))
}

// message writes the values of client i: in -2 to 2.
func message(i, offset int, dst []int32) {
	st := sampler.NewKey(hash("message", i)).Stream(uint64(offset))
	for k := range dst {
		dst[k] = int32(st.Uint64()%5) - 2
	}
}

// seal makes client i's message; emit gets its blocks.
func (f *fleet) seal(i int, emit func(j int, block []byte) error) (*secagg.Sealed, error) {
	values := func(offset int, dst []int32) error {
		message(i, offset, dst)
		return nil
	}
	return secagg.Seal(f.p, f.roundID, secagg.SeedOf(hash("client", i)), values, emit)
}

// report makes client i's whole message and counts it in want.
func (f *fleet) report(t tester, i int) report {
	t.Helper()
	r := report{id: hash("report", i), seed: secagg.SeedOf(hash("client", i))}
	sealed, err := f.seal(i, func(_ int, block []byte) error {
		r.blocks = append(r.blocks, block...)
		return nil
	})
	check(t, err)
	r.corr, r.coms = sealed.Corr(), sealed.Commitments()
	for k, key := range f.keys {
		box, err := sealed.Box(k, key.Public(), r.id)
		check(t, err)
		r.boxes = append(r.boxes, box)
	}
	check(t, f.tally(i, f.want, f.wantS))
	return r
}

// tally adds what client i put into the sum: m+z, and s.
func (f *fleet) tally(i int, want, wantS []int64) error {
	seed := secagg.SeedOf(hash("client", i))
	z, m := make([]int32, f.p.N()), make([]int32, f.p.N())
	for j := range f.p.Blocks() {
		offset := j * f.p.N()
		if offset >= f.p.Values() {
			break
		}
		if err := secagg.NoiseOf(f.p, seed, j, z); err != nil {
			return err
		}
		n := min(f.p.N(), f.p.Values()-offset)
		message(i, offset, m[:n])
		for k := range n {
			want[offset+k] += int64(z[k]) + int64(m[k])
		}
	}
	s, err := secagg.SecretOf(f.p, seed)
	for k, v := range s {
		wantS[k] += int64(v)
	}
	return err
}

// sum adds whole reports.
func (f *fleet) sum(t tester, reports ...report) *secagg.Sum {
	t.Helper()
	s := secagg.NewSum(f.p)
	for _, r := range reports {
		check(t, s.AddCorr(r.corr))
		check(t, s.AddBlocks(0, r.blocks))
	}
	return s
}

// answer is decryptor k's over the reports.
func (f *fleet) answer(t tester, k int, reports ...report) committee.Answer {
	t.Helper()
	sh, err := committee.NewShares(f.p, k)
	check(t, err)
	for _, r := range reports {
		seeds, err := secagg.OpenBox(f.p, k, f.keys[k], f.roundID, r.id, r.boxes[k], r.coms)
		check(t, err)
		check(t, sh.Add(seeds))
	}
	return committee.Answer{Index: k, Shares: sh.Packed()}
}

// answers are those of several decryptors.
func (f *fleet) answers(t tester, who []int, reports ...report) []committee.Answer {
	t.Helper()
	var out []committee.Answer
	for _, k := range who {
		out = append(out, f.answer(t, k, reports...))
	}
	return out
}

// open returns what Open emitted, in place.
func (f *fleet) open(n, dishonest int, sum *secagg.Sum, answers []committee.Answer) ([]int32, committee.Result, error) {
	out := make([]int32, f.p.Values())
	emit := func(j int, x []int32) error {
		if j*f.p.N()+len(x) > len(out) {
			return fmt.Errorf("block %d: %d values are too many", j, len(x))
		}
		copy(out[j*f.p.N():], x)
		return nil
	}
	res, err := committee.Open(f.p, f.roundID, n, dishonest, sum, answers, emit)
	return out, res, err
}

// exact fails unless x is sum m + sum z and S is sum s.
func (f *fleet) exact(t tester, x []int32, res committee.Result) {
	t.Helper()
	for i, v := range f.want {
		if int64(x[i]) != v {
			t.Fatalf("value %d: opened %d, sum of m+z is %d", i, x[i], v)
		}
	}
	for i, v := range f.wantS {
		if int64(res.SecretSum[i]) != v {
			t.Fatalf("S_%d: %d, want %d", i, res.SecretSum[i], v)
		}
	}
}

// crowd is a fleet too large to keep: reports are added as they are sealed.
type crowd struct {
	*fleet
	total  *secagg.Sum
	shares []*committee.Shares
}

// addClients seals clients from to to-1 on all cores and lets every decryptor
// open its box.
func (f *fleet) addClients(t *testing.T, n int) *crowd {
	t.Helper()
	workers := runtime.GOMAXPROCS(0)
	parts := make([]*crowd, workers)
	var g errgroup.Group
	for w := range workers {
		parts[w] = f.emptyCrowd(t)
		g.Go(func() error {
			for i := w; i < n; i += workers {
				if err := parts[w].add(i); err != nil {
					return fmt.Errorf("client %d: %w", i, err)
				}
			}
			return nil
		})
	}
	check(t, g.Wait())
	return parts[0].join(t, parts[1:])
}

func (f *fleet) emptyCrowd(t *testing.T) *crowd {
	t.Helper()
	part := &fleet{
		p: f.p, roundID: f.roundID, keys: f.keys,
		want: make([]int64, f.p.Values()), wantS: make([]int64, f.p.N()),
	}
	c := &crowd{fleet: part, total: secagg.NewSum(f.p)}
	for k := range f.keys {
		sh, err := committee.NewShares(f.p, k)
		check(t, err)
		c.shares = append(c.shares, sh)
	}
	return c
}

func (c *crowd) add(i int) error {
	sealed, err := c.seal(i, c.total.AddBlocks)
	if err != nil {
		return err
	}
	if err := c.total.AddCorr(sealed.Corr()); err != nil {
		return err
	}
	id, coms := hash("report", i), sealed.Commitments()
	for k, key := range c.keys {
		box, err := sealed.Box(k, key.Public(), id)
		if err != nil {
			return err
		}
		seeds, err := secagg.OpenBox(c.p, k, key, c.roundID, id, box, coms)
		if err != nil {
			return err
		}
		if err := c.shares[k].Add(seeds); err != nil {
			return err
		}
	}
	return c.tally(i, c.want, c.wantS)
}

// join merges the parts of all workers.
func (c *crowd) join(t *testing.T, parts []*crowd) *crowd {
	t.Helper()
	for _, o := range parts {
		check(t, c.total.Merge(o.total))
		for k := range c.shares {
			check(t, c.shares[k].Merge(o.shares[k]))
		}
		for i, v := range o.want {
			c.want[i] += v
		}
		for i, v := range o.wantS {
			c.wantS[i] += v
		}
	}
	return c
}

// answersOf are those of the named decryptors.
func (c *crowd) answersOf(who ...int) []committee.Answer {
	var out []committee.Answer
	for _, k := range who {
		out = append(out, committee.Answer{Index: k, Shares: c.shares[k].Packed()})
	}
	return out
}
