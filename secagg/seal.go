package secagg

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg/internal/expand"
	"github.com/veilsum/veilsum/secagg/internal/redact"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// ErrValue says that a value of a message does not fit the modulus. Which one
// is not told: messages are secret.
var ErrValue = errors.New("secagg: value out of range")

// Seal makes a client's message (section 4). It asks values for the message,
// block by block, and hands every packed block to emit in order.
//
// values writes the values offset to offset+len(dst)-1 of the message to dst,
// which is zero before; it is called with consecutive ranges that cover all
// Values exactly once. Each must satisfy |m| < Q/2, else ErrValue; whether a
// sum of many still fits is the caller's business. emit gets block j, 0 to
// Blocks-1, [Params.BlockBytes] long; the slice is used again after it
// returns. An error of either ends Seal, and nothing of what was emitted may
// be sent then.
//
// Memory does not grow with Values. Time does not depend on the message, the
// noise or the secret.
//
// A seed must not seal two different messages, see [ClientSeed].
func Seal(
	p Params, roundID [32]byte, seed ClientSeed,
	values func(offset int, dst []int32) error,
	emit func(j int, block []byte) error,
) (*Sealed, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if seed.r.IsZero() {
		return nil, fmt.Errorf("%w: zero value", ErrSeed)
	}
	sl, err := newSealer(p, roundID, seed)
	if err != nil {
		return nil, err
	}
	defer sl.wipe()
	for j := range p.Blocks() {
		if err := sl.message(j, values); err != nil {
			return nil, err
		}
		sl.encrypt(j)
		if err := emit(j, sl.packed); err != nil {
			return nil, fmt.Errorf("secagg: emit block %d: %w", j, err)
		}
	}
	return sl.finish(roundID, seed), nil
}

// sealer holds the state of one Seal: a dozen blocks, whatever Values is.
type sealer struct {
	p      Params
	noise  *sampler.Gaussian
	public *sampler.Key // a_j
	local  *sampler.Key // z_j
	mul    *ring.Scratch
	s      []int32 // the one-time secret
	m      []int32
	z      []int32
	c      []uint32
	packed []byte
}

func newSealer(p Params, roundID [32]byte, seed ClientSeed) (*sealer, error) {
	noise, err := p.c.noise()
	if err != nil {
		return nil, fmt.Errorf("%w: LocalStdDev: %w", ErrParams, err)
	}
	secretWidth, err := secretNoise()
	if err != nil {
		return nil, fmt.Errorf("%w: width of the secret: %w", ErrParams, err)
	}
	n, r := p.N(), seed.r.Get()
	sl := &sealer{
		p: p, noise: noise,
		public: expand.Public(roundID),
		local:  sampler.NewKey(sampler.Derive(r[:], "z")),
		mul:    p.c.ring.NewScratch(),
		s:      make([]int32, n), m: make([]int32, n), z: make([]int32, n),
		c: make([]uint32, n), packed: make([]byte, p.BlockBytes()),
	}
	secretWidth.Sample(sl.s, sampler.NewKey(sampler.Derive(r[:], "s")).Stream(0))
	sl.mul.PrepareSecret(sl.s)
	return sl, nil
}

// message fetches and checks m_j. Positions beyond Values stay zero: they are
// witnesses, or wait for a later block.
func (sl *sealer) message(j int, values func(int, []int32) error) error {
	clear(sl.m)
	offset := j * sl.p.N()
	if offset >= sl.p.Values() {
		return nil
	}
	m := sl.m[:min(sl.p.N(), sl.p.Values()-offset)]
	if err := values(offset, m); err != nil {
		return fmt.Errorf("secagg: values of block %d: %w", j, err)
	}
	half := int64(sl.p.Q() / 2) // (Q-1)/2
	var outside int64           // negative if any value is outside; no branch on a value
	for _, v := range m {
		outside |= (half - int64(v)) | (half + int64(v))
	}
	if outside < 0 {
		return fmt.Errorf("%w in block %d", ErrValue, j)
	}
	return nil
}

// encrypt sets packed to c_j = a_j*s + z_j + m_j. Every one of the N positions
// carries noise, also those beyond Values: a position without noise would be a
// linear equation on s (section 4).
func (sl *sealer) encrypt(j int) {
	sl.noise.Sample(sl.z, sl.local.Stream(uint64(j)))
	sl.mul.MulA(sl.c, sl.public.Stream(uint64(j)))
	addSigned(sl.c, sl.z, sl.m, sl.p.Q())
	sl.p.c.ring.Pack(sl.packed, sl.c)
}

// addSigned sets c to c + z + m mod q, canonical, without a branch or a
// division. c is canonical, |m| < q/2 and |z| < 2^31.
func addSigned(c []uint32, z, m []int32, q uint32) {
	z, m = z[:len(c)], m[:len(c)]
	big := uint64(q)
	mu := ^uint64(0) / big // floor(2^64/q), as q is odd
	for i, v := range c {
		// |z| + |m| + c < 2^33 < q*2^18, so x is positive, and x = v+z+m mod q.
		x := uint64(int64(v)+int64(z[i])+int64(m[i])) + big<<18
		est, _ := bits.Mul64(x, mu) // floor(x/q) or one less
		r := x - est*big - big      // in -q to q-1
		c[i] = uint32(r + big&-(r>>63))
	}
}

// finish shares s among the committee. Each set of t-1 decryptors misses
// exactly the seed named after it, so to them corr is s under a one-time pad;
// any t decryptors hold every seed (section 4).
func (sl *sealer) finish(roundID [32]byte, seed ClientSeed) *Sealed {
	p, r, root := sl.p, sl.p.c.ring, seed.r.Get()
	seeds := make([][32]byte, p.Sets())
	out := &Sealed{
		p: p, roundID: roundID,
		corr:        make([]byte, p.BlockBytes()),
		seeds:       redact.Hide(seeds),
		commitments: make([][32]byte, p.Sets()),
	}
	clear(sl.c)
	clear(sl.m)
	addSigned(sl.c, sl.s, sl.m, p.Q())
	mask := make([]uint32, p.N())
	for i := range seeds {
		seeds[i] = sampler.Derive(root[:], "seed/"+strconv.Itoa(i))
		out.commitments[i] = expand.Commitment(&seeds[i])
		expand.Mask(r, &seeds[i], mask)
		r.Add(sl.c, mask)
	}
	clear(mask)
	r.Pack(out.corr, sl.c)
	return out
}

// wipe overwrites the secrets. Copies that the runtime or the key schedule
// made are out of reach; section 4's promise is only that none is stored.
func (sl *sealer) wipe() {
	sl.mul.Wipe()
	clear(sl.s)
	clear(sl.m)
	clear(sl.z)
	clear(sl.c)
}
