package committee

import (
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/internal/expand"
	"github.com/veilsum/veilsum/secagg/internal/redact"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// ErrShares says that seeds or shares belong to another decryptor or to other
// parameters.
var ErrShares = errors.New("committee: bad shares")

// secret makes the type that embeds it print as "[redacted]".
type secret = redact.Secret

// Shares adds up one decryptor's masks over a list of reports: for every set T
// without it, V_T = sum of PRG(seed_T) mod Q (section 7). Memory is N values
// for each held set, however many reports are added; seeds are not kept.
//
// A sum over one list is meant to be seen. Two lists that differ by one client
// give away that client's masks, so Shares print as "[redacted]" and leave
// only through [Record.Answer]. They are not safe for concurrent use.
type Shares struct {
	secret
	p     secagg.Params
	k     int
	r     *ring.Ring
	sums  redact.Hidden[[][]uint32] // canonical, in the order of Committee.Held
	mask  []uint32
	count int
}

// NewShares returns the shares of decryptor k, 0 to n_c-1, over no reports.
func NewShares(p secagg.Params, k int) (*Shares, error) {
	r, err := ringOf(p)
	if err != nil {
		return nil, err
	}
	if k < 0 || k >= p.Committee().Size {
		return nil, fmt.Errorf("%w: no decryptor %d", ErrShares, k)
	}
	sums := make([][]uint32, p.HeldSets())
	for i := range sums {
		sums[i] = make([]uint32, p.N())
	}
	return &Shares{p: p, k: k, r: r, sums: redact.Hide(sums), mask: make([]uint32, p.N())}, nil
}

// ringOf returns the ring of p, or ErrParams for the zero value.
func ringOf(p secagg.Params) (*ring.Ring, error) {
	r, err := ring.New(p.N(), p.Q())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", secagg.ErrParams, err)
	}
	return r, nil
}

// Add adds one report's masks. Each report of the list must be added once.
func (s *Shares) Add(seeds secagg.Seeds) error {
	if seeds.Decryptor() != s.k || seeds.Params().Literal() != s.p.Literal() {
		return fmt.Errorf("%w: seeds of another decryptor or other parameters", ErrShares)
	}
	b := seeds.Bytes()
	defer clear(b)
	for i, sum := range s.sums.Get() {
		expand.Mask(s.r, (*[32]byte)(b[32*i:]), s.mask)
		s.r.Add(sum, s.mask)
	}
	clear(s.mask)
	s.count++
	return nil
}

// Merge adds the shares o of the same decryptor over a disjoint list, and
// leaves o as it is: one decryptor may use several cores.
func (s *Shares) Merge(o *Shares) error {
	if o == nil || o.k != s.k || o.p.Literal() != s.p.Literal() {
		return fmt.Errorf("%w: shares of another decryptor or other parameters", ErrShares)
	}
	for i, sum := range s.sums.Get() {
		s.r.Add(sum, o.sums.Get()[i])
	}
	s.count += o.count
	return nil
}

// Count returns how many reports were added.
func (s *Shares) Count() int { return s.count }

// Packed returns V_T for every held set, in order, as packed blocks.
func (s *Shares) Packed() [][]byte {
	out := make([][]byte, s.p.HeldSets())
	for i, sum := range s.sums.Get() {
		out[i] = make([]byte, s.r.BlockBytes())
		s.r.Pack(out[i], sum)
	}
	return out
}

// Erase overwrites the sums and makes them those of no reports.
func (s *Shares) Erase() {
	for _, sum := range s.sums.Get() {
		clear(sum)
	}
	clear(s.mask)
	s.count = 0
}

// checkShares reports whether shares have the form of an answer of p: one
// canonical packed block for each held set.
func checkShares(p secagg.Params, r *ring.Ring, shares [][]byte) error {
	if len(shares) != p.HeldSets() {
		return fmt.Errorf("%w: %d blocks, want %d", ErrShares, len(shares), p.HeldSets())
	}
	values := make([]uint32, p.N())
	for i, packed := range shares {
		if err := r.UnpackCanonical(values, packed); err != nil {
			return fmt.Errorf("%w: block %d: %w", ErrShares, i, err)
		}
	}
	return nil
}
