package secagg

import (
	"crypto/hpke"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/secagg/internal/expand"
	"github.com/veilsum/veilsum/secagg/internal/redact"
)

// ErrBox says that a seed box does not open or does not hold the seeds its
// report committed to. A decryptor leaves out such a report; nothing else
// follows from it.
var ErrBox = errors.New("secagg: bad seed box")

// Sealed is the small part of a client's message: corr, the commitments and
// the seeds that go into the boxes. It prints as "[redacted]". Make the boxes,
// then call Erase; it must never be stored. It is not safe for concurrent use.
type Sealed struct {
	secret
	p           Params
	roundID     [32]byte
	corr        []byte
	commitments [][32]byte
	seeds       hidden[[][32]byte] // zero after Erase
}

// Corr returns the masked secret as a packed block. It is part of the report.
func (s *Sealed) Corr() []byte { return append([]byte(nil), s.corr...) }

// Commitments returns the commitments of the seeds, one for each set of
// decryptors, in order. They are part of the header.
func (s *Sealed) Commitments() [][32]byte { return append([][32]byte(nil), s.commitments...) }

// Box seals the seeds of decryptor k (0 to n_c-1) to its public round key. The
// box opens only for this round, decryptor, key and reportID: copied into
// another report it does not open. Each call gives other bytes, as HPKE draws
// a fresh key.
func (s *Sealed) Box(k int, publicKey []byte, reportID [32]byte) ([]byte, error) {
	switch {
	case k < 0 || k >= s.p.Committee().Size:
		return nil, fmt.Errorf("%w: no decryptor %d", ErrBox, k)
	case s.seeds.IsZero():
		return nil, fmt.Errorf("%w: seeds are erased", ErrBox)
	}
	key, err := parsePublicKey(s.p.Suite(), publicKey)
	if err != nil {
		return nil, err
	}
	info := boxInfo(s.roundID, k, publicKey)
	enc, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	plain := make([]byte, 0, seedBytes*s.p.HeldSets())
	seeds := s.seeds.Get()
	for _, i := range s.p.c.held[k] {
		plain = append(plain, seeds[i][:]...)
	}
	defer clear(plain)
	sealed, err := sender.Seal(reportID[:], plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBox, err)
	}
	return append(enc, sealed...), nil
}

// Erase overwrites the seeds. Boxes cannot be made after it.
func (s *Sealed) Erase() {
	clear(s.seeds.Get())
	s.seeds = hidden[[][32]byte]{}
}

// boxInfo binds a box to its round, decryptor and key (section 4). HPKE binds
// the key as well; naming it here does not rest on that.
func boxInfo(roundID [32]byte, k int, publicKey []byte) []byte {
	const label = "veilsum/1/box"
	info := make([]byte, 0, len(label)+len(roundID)+4+len(publicKey))
	info = append(info, label...)
	info = append(info, roundID[:]...)
	info = binary.LittleEndian.AppendUint32(info, uint32(k))
	return append(info, publicKey...)
}

// Seeds are one client's seeds that one decryptor holds, in the order of
// [Committee.Held]. They print as "[redacted]".
type Seeds struct {
	secret
	p     Params
	k     int
	seeds hidden[[][32]byte]
}

// Params returns the parameters under which the seeds were opened.
func (s Seeds) Params() Params { return s.p }

// Decryptor returns whose seeds they are, 0 to n_c-1.
func (s Seeds) Decryptor() int { return s.k }

// Bytes returns the seeds one after the other, 32 bytes each. Like the round
// key they must be erased when the decryptor answers.
func (s Seeds) Bytes() []byte {
	seeds := s.seeds.Get()
	b := make([]byte, 0, seedBytes*len(seeds))
	for i := range seeds {
		b = append(b, seeds[i][:]...)
	}
	return b
}

// Erase overwrites the seeds, also in copies of this value.
func (s Seeds) Erase() { clear(s.seeds.Get()) }

// ParseSeeds reads what [Seeds.Bytes] wrote for decryptor k. Any bytes of the
// right length are seeds: only OpenBox checks them against commitments.
func ParseSeeds(p Params, k int, b []byte) (Seeds, error) {
	if err := p.check(); err != nil {
		return Seeds{}, err
	}
	if k < 0 || k >= p.Committee().Size {
		return Seeds{}, fmt.Errorf("%w: no decryptor %d", ErrBox, k)
	}
	if len(b) != seedBytes*p.HeldSets() {
		return Seeds{}, fmt.Errorf("%w: seeds of %d bytes, want %d", ErrBox, len(b), seedBytes*p.HeldSets())
	}
	seeds := make([][32]byte, p.HeldSets())
	for i := range seeds {
		copy(seeds[i][:], b[seedBytes*i:])
	}
	return Seeds{p: p, k: k, seeds: redact.Hide(seeds)}, nil
}

// OpenBox opens the box of decryptor k in the report reportID and checks every
// seed against the report's commitments (one for each set, in order). Only
// then does the decryptor's share of a sum cancel the masks in corr, so a
// client cannot make an honest decryptor answer wrongly. Any failure of the
// report is ErrBox; ErrParams and ErrKey are mistakes of the caller.
//
// Comparisons are constant-time and all are made, so that timing does not tell
// which seed differs.
func OpenBox(
	p Params, k int, key RoundKey, roundID, reportID [32]byte, box []byte, commitments [][32]byte,
) (Seeds, error) {
	if err := p.check(); err != nil {
		return Seeds{}, err
	}
	if key.key.IsZero() || key.suite != p.Suite() {
		return Seeds{}, fmt.Errorf("%w: not of suite %d", ErrKey, uint16(p.Suite()))
	}
	if len(box) != p.BoxBytes() || len(commitments) != p.Sets() {
		return Seeds{}, fmt.Errorf("%w: %d bytes, %d commitments", ErrBox, len(box), len(commitments))
	}
	enc, sealed := box[:p.Suite().encapBytes()], box[p.Suite().encapBytes():]
	info := boxInfo(roundID, k, key.public)
	recipient, err := hpke.NewRecipient(enc, key.key.Get(), hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return Seeds{}, fmt.Errorf("%w: %w", ErrBox, err)
	}
	plain, err := recipient.Open(reportID[:], sealed)
	if err != nil {
		return Seeds{}, fmt.Errorf("%w: %w", ErrBox, err)
	}
	defer clear(plain)
	seeds, err := ParseSeeds(p, k, plain)
	if err != nil {
		return Seeds{}, err
	}
	if !seeds.match(commitments) {
		seeds.Erase()
		return Seeds{}, fmt.Errorf("%w: a seed does not match its commitment", ErrBox)
	}
	return seeds, nil
}

// match compares every seed with its commitment.
func (s Seeds) match(commitments [][32]byte) bool {
	ok, seeds := 1, s.seeds.Get()
	for i, set := range s.p.c.held[s.k] {
		com := expand.Commitment(&seeds[i])
		ok &= subtle.ConstantTimeCompare(com[:], commitments[set][:])
	}
	return ok == 1
}
