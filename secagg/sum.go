package secagg

import (
	"errors"
	"fmt"
	"io"

	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// ErrSum says that bytes are not a report's blocks or not an encoded sum, or
// that two sums do not go together.
var ErrSum = errors.New("secagg: bad sum")

// Sum adds reports: [corr | c_0 | ... | c_(B-1)] mod Q, 4 bytes a value,
// however many reports it holds (section 6). It checks lengths only: which
// reports may be added, and how many were, is the caller's business. It is not
// safe for concurrent use; make one for each goroutine and merge them.
type Sum struct {
	p   Params
	acc *ring.Accumulator // block 0 is corr, block j+1 is c_j
}

// NewSum returns the sum of no reports. Methods of the sum of zero Params
// return ErrParams.
func NewSum(p Params) *Sum {
	if p.c == nil {
		return &Sum{}
	}
	return &Sum{p: p, acc: p.c.ring.NewAccumulator(p.Blocks() + 1)}
}

// Params returns the parameters of the sum.
func (s *Sum) Params() Params { return s.p }

// AddCorr adds a report's packed corr. Residues need not be canonical.
func (s *Sum) AddCorr(packed []byte) error {
	if err := s.fits(0, 1, packed); err != nil {
		return err
	}
	s.acc.AddPacked(0, packed)
	return nil
}

// AddBlocks adds consecutive packed blocks of a report, the first of them to
// block first, 0 to Blocks-1: a whole piece, or any part of a report that ends
// at a block. Residues need not be canonical.
func (s *Sum) AddBlocks(first int, packed []byte) error {
	if err := s.fits(first, s.p.Blocks(), packed); err != nil {
		return err
	}
	s.acc.AddPacked(first+1, packed)
	return nil
}

// SubCorr takes back what AddCorr added.
func (s *Sum) SubCorr(packed []byte) error {
	if err := s.fits(0, 1, packed); err != nil {
		return err
	}
	s.acc.SubPacked(0, packed)
	return nil
}

// SubBlocks takes back what AddBlocks added.
func (s *Sum) SubBlocks(first int, packed []byte) error {
	if err := s.fits(first, s.p.Blocks(), packed); err != nil {
		return err
	}
	s.acc.SubPacked(first+1, packed)
	return nil
}

// fits checks that packed is one or more blocks within first to limit-1.
func (s *Sum) fits(first, limit int, packed []byte) error {
	if err := s.p.check(); err != nil {
		return err
	}
	size := s.p.BlockBytes()
	n := len(packed) / size
	if len(packed)%size != 0 || n == 0 || first < 0 || n > limit-first {
		return fmt.Errorf("%w: %d bytes at block %d of %d", ErrSum, len(packed), first, limit)
	}
	return nil
}

// Merge adds the sum t, of equal parameters, and leaves t as it is. The lists
// of reports behind the two must be disjoint.
func (s *Sum) Merge(t *Sum) error {
	if err := s.p.check(); err != nil {
		return err
	}
	if t == nil || t.p.Literal() != s.p.Literal() {
		return fmt.Errorf("%w: other parameters", ErrSum)
	}
	s.acc.Merge(t.acc)
	return nil
}

// Reset makes it the sum of no reports.
func (s *Sum) Reset() {
	if s.acc != nil {
		s.acc.Reset()
	}
}

// Corr writes the N canonical residues of the summed corr to dst.
func (s *Sum) Corr(dst []uint32) error { return s.residues(0, dst) }

// Block writes the N canonical residues of summed block j, 0 to Blocks-1.
func (s *Sum) Block(j int, dst []uint32) error {
	if j < 0 || j >= s.p.Blocks() {
		return fmt.Errorf("%w: no block %d", ErrSum, j)
	}
	return s.residues(j+1, dst)
}

func (s *Sum) residues(block int, dst []uint32) error {
	if err := s.p.check(); err != nil {
		return err
	}
	if len(dst) != s.p.N() {
		return fmt.Errorf("%w: room for %d values, want %d", ErrSum, len(dst), s.p.N())
	}
	s.acc.Residues(block, dst)
	return nil
}

// WriteTo writes the sum as canonical packed blocks, corr first,
// [Params.SumBytes] bytes. Equal sums give equal bytes, whatever the order in
// which they were added and merged.
func (s *Sum) WriteTo(w io.Writer) (int64, error) {
	if err := s.p.check(); err != nil {
		return 0, err
	}
	values, packed := make([]uint32, s.p.N()), make([]byte, s.p.BlockBytes())
	var written int64
	for block := range s.p.Blocks() + 1 {
		s.acc.Residues(block, values)
		s.p.c.ring.Pack(packed, values)
		n, err := w.Write(packed)
		written += int64(n)
		if err != nil {
			return written, fmt.Errorf("secagg: write sum: %w", err)
		}
	}
	return written, nil
}

// ReadSum reads what [Sum.WriteTo] wrote, exactly [Params.SumBytes] bytes, and
// refuses residues of Q or more with ErrSum: one sum has one encoding, so its
// hash names it. Memory is that of a Sum, whatever r holds.
func ReadSum(p Params, r io.Reader) (*Sum, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	s := NewSum(p)
	values, packed := make([]uint32, p.N()), make([]byte, p.BlockBytes())
	for block := range p.Blocks() + 1 {
		if _, err := io.ReadFull(r, packed); err != nil {
			return nil, fmt.Errorf("%w: block %d: %w", ErrSum, block, err)
		}
		if err := p.c.ring.UnpackCanonical(values, packed); err != nil {
			return nil, fmt.Errorf("%w: block %d: %w", ErrSum, block, err)
		}
		s.acc.AddPacked(block, packed)
	}
	return s, nil
}
