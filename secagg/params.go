package secagg

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg/internal/expand"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// ErrParams says that parameters are outside the gate of section 2. The
// message names the field.
var ErrParams = errors.New("secagg: bad parameters")

const (
	minWitnesses   = 256
	minLocalStdDev = 6.4
	maxLocalStdDev = 1 << 20
	maxValues      = math.MaxInt32
	maxPieceBytes  = 256 << 10
	headerFixed    = 184 // bytes of a header before the commitments
	seedBytes      = 32
	hashBytes      = 32
	signatureBytes = 64
)

// Literal is what a caller wishes for; [New] checks it. Every field is
// required.
type Literal struct {
	N           int       // ring degree, 1024 or 2048
	Q           uint32    // prime modulus, one of Moduli
	Values      int       // d, values in one update, 1 to 2^31-1
	LocalStdDev float64   // sigma_e, standard deviation of each client's noise, 6.4 to 2^20
	Committee   Committee // who opens
	Suite       Suite     // ciphers of the seed boxes
}

// Params are validated, immutable parameters of a secure sum, safe for
// concurrent use. They come from [New]; every method of the zero value returns
// zero, and functions that take it return ErrParams. Compare two by their
// Literal.
type Params struct {
	c *core
}

type core struct {
	literal Literal
	ring    *ring.Ring
	blocks  int
	sets    int
	held    [][]int // Committee.Held of each decryptor
	noise   func() (*sampler.Gaussian, error)
}

// New checks l against the gate of section 2.
func New(l Literal) (Params, error) {
	r, err := ring.New(l.N, l.Q)
	switch {
	case err != nil:
		return Params{}, fmt.Errorf("%w: N, Q: (%d, %d) is not an allowed modulus", ErrParams, l.N, l.Q)
	case l.Values < 1 || l.Values > maxValues:
		return Params{}, fmt.Errorf("%w: Values: %d is not in 1 to 2^31-1", ErrParams, l.Values)
	case !(l.LocalStdDev >= minLocalStdDev && l.LocalStdDev <= maxLocalStdDev): // refuses NaN, too
		return Params{}, fmt.Errorf("%w: LocalStdDev: %v is not in 6.4 to 2^20", ErrParams, l.LocalStdDev)
	case l.Suite.PublicKeyBytes() == 0:
		return Params{}, fmt.Errorf("%w: Suite: %d is unknown", ErrParams, uint16(l.Suite))
	}
	if err := l.Committee.Validate(); err != nil {
		return Params{}, err
	}
	return Params{c: newCore(l, r)}, nil
}

// newCore computes what follows from a valid literal.
func newCore(l Literal, r *ring.Ring) *core {
	c := &core{
		literal: l,
		ring:    r,
		blocks:  (l.Values + minWitnesses + l.N - 1) / l.N,
		sets:    len(l.Committee.Sets()),
		held:    make([][]int, l.Committee.Size),
		// Only clients sample: the tables are made at the first Seal.
		noise: sync.OnceValues(func() (*sampler.Gaussian, error) {
			return sampler.NewGaussian(l.LocalStdDev)
		}),
	}
	for k := range c.held {
		c.held[k] = l.Committee.Held(k)
	}
	return c
}

// secretNoise samples s; its width is the same for all parameters.
var secretNoise = sync.OnceValues(func() (*sampler.Gaussian, error) {
	return sampler.NewGaussian(expand.SecretWidth)
})

// get returns the content, all zero for the zero value.
func (p Params) get() core {
	if p.c == nil {
		return core{}
	}
	return *p.c
}

// Literal returns the wish that New accepted; it is comparable.
func (p Params) Literal() Literal { return p.get().literal }

// N is the ring degree: values in one block.
func (p Params) N() int { return p.get().literal.N }

// Q is the modulus.
func (p Params) Q() uint32 { return p.get().literal.Q }

// Bits is F, the width of a packed residue.
func (p Params) Bits() int {
	if p.c == nil {
		return 0
	}
	return p.c.ring.Bits()
}

// Values is d, the values in one update.
func (p Params) Values() int { return p.get().literal.Values }

// LocalStdDev is sigma_e, the standard deviation of each client's noise.
func (p Params) LocalStdDev() float64 { return p.get().literal.LocalStdDev }

// Committee returns who opens.
func (p Params) Committee() Committee { return p.get().literal.Committee }

// Suite returns the ciphers of the seed boxes.
func (p Params) Suite() Suite { return p.get().literal.Suite }

// Blocks is B, the ciphertext blocks of one report: enough for the values and
// at least 256 witnesses.
func (p Params) Blocks() int { return p.get().blocks }

// Witnesses is w, the positions beyond the values that carry noise only.
func (p Params) Witnesses() int { return p.Blocks()*p.N() - p.Values() }

// Sets is the number of sets of t-1 decryptors: seeds a client makes, and
// commitments in a header.
func (p Params) Sets() int { return p.get().sets }

// HeldSets is the number of sets without a given decryptor: seeds in its box.
// It is the same for every decryptor.
func (p Params) HeldSets() int {
	if p.c == nil {
		return 0
	}
	return len(p.c.held[0])
}

// BlockBytes is the length of a packed block, N*F/8.
func (p Params) BlockBytes() int { return p.N() * p.Bits() / 8 }

// BoxBytes is the length of a decryptor's seed box, the same for every one.
func (p Params) BoxBytes() int {
	if p.c == nil {
		return 0
	}
	return p.Suite().encapBytes() + seedBytes*p.HeldSets() + tagLength
}

// HeaderBytes is H, the length of a report's header (section 5).
func (p Params) HeaderBytes() int {
	if p.c == nil {
		return 0
	}
	return headerFixed + hashBytes*p.Sets()
}

// HeaderObjectBytes is the length of the object that commits a report: header,
// hashes of the boxes, signature, boxes, packed corr (section 5).
func (p Params) HeaderObjectBytes() int {
	if p.c == nil {
		return 0
	}
	return p.HeaderBytes() + signatureBytes + p.Committee().Size*(hashBytes+p.BoxBytes()) + p.BlockBytes()
}

// ReportBytes is the length of all objects of one report: its blocks, packed, and the header object.
func (p Params) ReportBytes() int64 {
	return int64(p.Blocks())*int64(p.BlockBytes()) + int64(p.HeaderObjectBytes())
}

// SumBytes is the length of an encoded sum: corr and all blocks, packed.
func (p Params) SumBytes() int64 {
	return int64(p.Blocks()+1) * int64(p.BlockBytes())
}

// DefaultPieceBlocks is the largest number of blocks whose packed bytes fit in
// 256 KiB, 0 for the zero value.
func (p Params) DefaultPieceBlocks() int {
	if p.c == nil {
		return 0
	}
	return maxPieceBytes / p.BlockBytes()
}

// check returns ErrParams for the zero value.
func (p Params) check() error {
	if p.c == nil {
		return fmt.Errorf("%w: zero value", ErrParams)
	}
	return nil
}
