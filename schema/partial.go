package schema

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Partial is a partial sum: the ciphertext sum of some reports of one round,
// with the list of these reports. It is stored under its SHA-256 in one object, so that
// list and sum cannot come apart.
type Partial struct {
	RoundID RoundID
	N       int
	Q       uint32
	Values  int        // d
	Reports []ReportID // sorted, distinct
	// Sum is [corr | c_0 | … ] as packed canonical blocks, (B+1)*N*F/8 bytes.
	Sum []byte
}

const (
	partialMagic = "VSPS"
	partialHead  = 4 + 2 + 2 + 32 + 4*4
)

func (p Partial) validate() error {
	if err := p.validateSum(); err != nil {
		return err
	}
	return sortedReports("partial", p.Reports)
}

func (p Partial) validateSum() error {
	if err := checkRing("partial", p.N, p.Q, p.Values); err != nil {
		return err
	}
	h := Header{N: p.N, Q: p.Q, Values: p.Values}
	if int64(len(p.Sum)) != h.SumBytes() {
		return field("partial", "sum", len(p.Sum), fmt.Sprintf("%d bytes", h.SumBytes()))
	}
	return nil
}

// Encode returns the bytes of the partial sum.
func (p Partial) Encode() ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := make([]byte, 0, partialHead+32*len(p.Reports)+len(p.Sum))
	b = append(b, partialMagic...)
	b = append(le.AppendUint16(b, Version), 0, 0)
	b = append(b, p.RoundID.Digest[:]...)
	for _, v := range []uint32{uint32(p.N), p.Q, uint32(p.Values), uint32(len(p.Reports))} {
		b = le.AppendUint32(b, v)
	}
	for _, id := range p.Reports {
		b = append(b, id.Digest[:]...)
	}
	return append(b, p.Sum...), nil
}

// DecodePartial reads a partial sum, which keeps referring to data. It does not
// check that the residues are canonical: secagg.ReadSum does.
func DecodePartial(data []byte) (Partial, error) {
	if len(data) < partialHead || string(data[:4]) != partialMagic {
		return Partial{}, fmt.Errorf("%w: not a partial sum", ErrFormat)
	}
	le := binary.LittleEndian
	if v := le.Uint16(data[4:]); v != Version {
		return Partial{}, fmt.Errorf("%w: partial.version %d", ErrVersion, v)
	}
	p := Partial{N: int(le.Uint32(data[40:])), Q: le.Uint32(data[44:]), Values: int(le.Uint32(data[48:]))}
	p.RoundID.Digest = Digest(data[8:40])
	// The count is compared as read: as an int it might be negative.
	count := le.Uint32(data[52:])
	if count > MaxReports || len(data)-partialHead < 32*int(count) || data[6] != 0 || data[7] != 0 {
		return Partial{}, fmt.Errorf("%w: partial sum of %d reports in %d bytes", ErrFormat, count, len(data))
	}
	n := int(count)
	p.Sum = data[partialHead+32*n:]
	if err := p.validateSum(); err != nil { // before the list is allocated
		return Partial{}, err
	}
	p.Reports = make([]ReportID, n)
	for i := range p.Reports {
		p.Reports[i] = ReportID{Digest(data[partialHead+32*i:])}
	}
	if err := sortedReports("partial", p.Reports); err != nil {
		return Partial{}, err
	}
	return p, nil
}

// ID returns the SHA-256 of the encoded partial sum, its name in a store.
func (p Partial) ID() (Digest, error) {
	b, err := p.Encode()
	if err != nil {
		return Digest{}, err
	}
	return Digest(sha256.Sum256(b)), nil
}
