package schema

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/bits"
	"slices"
)

// Header is the fixed head of a report; PROTOCOL.md section 5 draws its bytes.
// Its hash is the ReportID.
type Header struct {
	Suite       int
	TaskID      TaskID
	RoundID     RoundID
	Epoch       uint64
	Lane        uint32
	Vehicle     VehicleID
	N           int
	Q           uint32
	Values      int // d
	PieceBlocks int // K
	Size        int // n_c
	Threshold   int // t
	CorrHash    Digest
	Root        Digest   // over the piece hashes
	Commitments []Digest // one for each set of t-1 decryptors
}

const (
	headerMagic = "VSRH"
	headerFixed = 184
	// WitnessValues is the fewest positions beyond d in every report.
	WitnessValues = 256
	// MaxPieceBlocks bounds K, the packed blocks of one piece.
	MaxPieceBlocks = 1 << 16
)

// Bits returns F, the bits of a packed residue.
func (h Header) Bits() int { return bits.Len32(h.Q - 1) }

// Blocks returns B = ceil((d+256)/N), at most 2^21 + 1.
func (h Header) Blocks() int {
	if h.N < 1 {
		return 0
	}
	n := int64(h.N)
	return int((int64(h.Values) + WitnessValues + n - 1) / n)
}

// BlockBytes returns the bytes of one packed block, N*F/8.
func (h Header) BlockBytes() int { return h.N * h.Bits() / 8 }

// Pieces returns the number of pieces.
func (h Header) Pieces() int {
	if h.PieceBlocks < 1 {
		return 0
	}
	return (h.Blocks() + h.PieceBlocks - 1) / h.PieceBlocks
}

// PieceBytes returns the size of piece i; the last may be shorter, and there is
// nothing outside 0 to Pieces()-1.
func (h Header) PieceBytes(i int) int {
	if i < 0 || i >= h.Pieces() {
		return 0
	}
	return min(h.PieceBlocks, h.Blocks()-i*h.PieceBlocks) * h.BlockBytes()
}

// SumBytes returns the size of a sum of such reports, (B+1)*N*F/8 bytes.
func (h Header) SumBytes() int64 { return (int64(h.Blocks()) + 1) * int64(h.BlockBytes()) }

func (h Header) sets() int { return binomial(h.Size, h.Threshold-1) }

func (h Header) boxBytes() int {
	enc := 32
	if h.Suite == 1 {
		enc = 1120
	}
	return enc + 32*binomial(h.Size-1, h.Threshold-1) + 16
}

// HeaderBytes returns the size of the header alone.
func (h Header) HeaderBytes() int { return headerFixed + 32*h.sets() }

// ObjectBytes returns the size of the whole header object: header, box hashes, signature, boxes, corr.
func (h Header) ObjectBytes() int {
	return h.boxesOffset() + h.Size*h.boxBytes() + h.BlockBytes()
}

func (h Header) boxesOffset() int {
	return h.HeaderBytes() + 32*h.Size + ed25519.SignatureSize
}

func (h Header) validate() error {
	if err := h.validateFixed(); err != nil {
		return err
	}
	if len(h.Commitments) != h.sets() {
		return field("header", "commitments", len(h.Commitments), fmt.Sprintf("%d, one for each set of t-1 decryptors", h.sets()))
	}
	return nil
}

// validateFixed checks everything that the header's size depends on.
func (h Header) validateFixed() error {
	switch {
	case h.Suite != 1 && h.Suite != 2:
		return field("header", "suite", h.Suite, "1 or 2")
	case h.PieceBlocks < 1 || h.PieceBlocks > MaxPieceBlocks:
		return field("header", "piece_blocks", h.PieceBlocks, "1 to 65536")
	case !allowedSize(h.Size, h.Threshold):
		return field("header", "committee", [2]int{h.Size, h.Threshold}, "(n_c,t) that PROTOCOL.md section 2 allows, for example 4, 3")
	}
	return checkRing("header", h.N, h.Q, h.Values)
}

// Encode returns the header's bytes.
func (h Header) Encode() ([]byte, error) {
	if err := h.validate(); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := append(make([]byte, 0, h.HeaderBytes()), headerMagic...)
	b = le.AppendUint16(b, Version)
	b = le.AppendUint16(b, uint16(h.Suite))
	b = append(append(b, h.TaskID.Digest[:]...), h.RoundID.Digest[:]...)
	b = le.AppendUint64(b, h.Epoch)
	b = append(le.AppendUint32(b, h.Lane), h.Vehicle[:]...)
	for _, v := range []uint32{uint32(h.N), h.Q, uint32(h.Values), uint32(h.PieceBlocks)} {
		b = le.AppendUint32(b, v)
	}
	b = append(b, byte(h.Size), byte(h.Threshold), 0, 0)
	b = append(append(b, h.CorrHash[:]...), h.Root[:]...)
	for _, c := range h.Commitments {
		b = append(b, c[:]...)
	}
	return b, nil
}

// DecodeHeader reads a header from the start of data, which may go on behind it.
func DecodeHeader(data []byte) (Header, error) {
	if len(data) < headerFixed || string(data[:4]) != headerMagic {
		return Header{}, fmt.Errorf("%w: not a report header", ErrFormat)
	}
	le := binary.LittleEndian
	if v := le.Uint16(data[4:]); v != Version {
		return Header{}, fmt.Errorf("%w: header.version %d", ErrVersion, v)
	}
	h := Header{
		Suite: int(le.Uint16(data[6:])),
		Epoch: le.Uint64(data[72:]), Lane: le.Uint32(data[80:]), Vehicle: VehicleID(data[84:100]),
		N: int(le.Uint32(data[100:])), Q: le.Uint32(data[104:]), Values: int(le.Uint32(data[108:])), PieceBlocks: int(le.Uint32(data[112:])),
		Size: int(data[116]), Threshold: int(data[117]), CorrHash: Digest(data[120:152]), Root: Digest(data[152:184]),
	}
	h.TaskID.Digest, h.RoundID.Digest = Digest(data[8:40]), Digest(data[40:72])
	if data[118] != 0 || data[119] != 0 {
		return Header{}, field("header", "padding", data[118:120], "zero bytes")
	}
	if err := h.validateFixed(); err != nil {
		return Header{}, err
	}
	if len(data) < h.HeaderBytes() {
		return Header{}, field("header", "size", len(data), fmt.Sprintf("%d bytes", h.HeaderBytes()))
	}
	h.Commitments = make([]Digest, h.sets())
	for i := range h.Commitments {
		h.Commitments[i] = Digest(data[headerFixed+32*i:])
	}
	return h, nil
}

// Report is the header object of one report: everything but the pieces. It is immutable.
type Report struct {
	Header Header
	// ID is the ReportID.
	ID        ReportID
	raw       []byte
	boxHashes []Digest
	signature Signature
}

// HashBox is H("box"; box).
func HashBox(box []byte) Digest { return Hash("box", box) }

// HashCorr is H("corr"; packed corr).
func HashCorr(corr []byte) Digest { return Hash("corr", corr) }

// HashPiece is H("piece"; u32 index, bytes).
func HashPiece(index int, piece []byte) Digest {
	return Hash("piece", binary.LittleEndian.AppendUint32(nil, uint32(index)), piece)
}

// NewPieceHash returns a hash that sums to [HashPiece] once all size bytes of the piece are written to it.
func NewPieceHash(index int, size int64) hash.Hash {
	h := sha256.New()
	writeField(h, []byte("veilsum/1/piece"))
	writeField(h, binary.LittleEndian.AppendUint32(nil, uint32(index)))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(size)))
	return h
}

// PieceRoot is H("pieces"; all piece hashes concatenated).
func PieceRoot(hashes []Digest) Digest { return Hash("pieces", concat(hashes)) }

func concat(hashes []Digest) []byte {
	b := make([]byte, 0, 32*len(hashes))
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// NewReportID is H("header"; header bytes).
func NewReportID(header []byte) ReportID { return ReportID{Hash("header", header)} }

// NewReport signs and assembles a header object. boxes are in the order of the decryptors.
func NewReport(h Header, boxes [][]byte, corr []byte, key ed25519.PrivateKey) (*Report, error) {
	raw, err := h.Encode()
	if err != nil {
		return nil, err
	}
	if err := h.checkParts(boxes, corr); err != nil {
		return nil, err
	}
	if err := checkKey(key); err != nil {
		return nil, err
	}
	id := NewReportID(raw)
	hashes := make([]Digest, len(boxes))
	for i, b := range boxes {
		hashes[i] = HashBox(b)
	}
	all := concat(hashes)
	sig := Sign(key, "report", id.Digest[:], all)
	raw = append(append(raw, all...), sig[:]...)
	return DecodeReport(append(append(raw, slices.Concat(boxes...)...), corr...))
}

// checkParts keeps one part from being read as the start of the next.
func (h Header) checkParts(boxes [][]byte, corr []byte) error {
	if len(boxes) != h.Size {
		return field("report", "boxes", len(boxes), fmt.Sprintf("%d, one for each decryptor", h.Size))
	}
	for k, b := range boxes {
		if len(b) != h.boxBytes() {
			return field("report", fmt.Sprintf("box %d", k), len(b), fmt.Sprintf("%d bytes", h.boxBytes()))
		}
	}
	if len(corr) != h.BlockBytes() {
		return field("report", "corr", len(corr), fmt.Sprintf("%d bytes", h.BlockBytes()))
	}
	return nil
}

// DecodeReport reads a whole header object, keeps referring to data, which the
// caller must not change, and checks H(corr). The signature
// and the boxes' hashes are checked by [Report.Verify] and [Report.Box].
func DecodeReport(data []byte) (*Report, error) {
	r, err := DecodeReportHead(data)
	if err != nil {
		return nil, err
	}
	if len(data) != r.Header.ObjectBytes() {
		return nil, field("report", "size", len(data), fmt.Sprintf("%d bytes", r.Header.ObjectBytes()))
	}
	r.raw = data
	if !HashCorr(r.Corr()).Equal(r.Header.CorrHash) {
		return nil, fmt.Errorf("%w: report %s: corr differs from its hash", ErrFormat, r.ID.Short())
	}
	return r, nil
}

// HeadBytes is enough to hold the head of any report: header, box hashes and signature.
const HeadBytes = headerFixed + 32*12870 + 32*MaxCommittee + ed25519.SignatureSize

// MaxReportBytes is enough to hold any header object: the head, 16 boxes with
// 6435 seeds each, and a block of 2048 residues of 31 bits.
const MaxReportBytes = HeadBytes + MaxCommittee*(1120+32*maxShares+16) + 2048*31/8

// DecodeReportHead reads header, box hashes and signature from the start of a
// header object. The result holds neither boxes nor corr nor bytes: fetch a box by
// [Report.BoxRange] and check it with [Report.CheckBox].
func DecodeReportHead(data []byte) (*Report, error) {
	h, err := DecodeHeader(data)
	if err != nil {
		return nil, err
	}
	if len(data) < h.boxesOffset() {
		return nil, field("report", "head", len(data), fmt.Sprintf("%d bytes", h.boxesOffset()))
	}
	r := &Report{Header: h, ID: NewReportID(data[:h.HeaderBytes()]), boxHashes: make([]Digest, h.Size)}
	b := data[h.HeaderBytes():]
	for i := range r.boxHashes {
		r.boxHashes[i] = Digest(b[32*i:])
	}
	r.signature = Signature(b[32*h.Size:])
	return r, nil
}

// Verify checks the vehicle's signature over the ReportID and the box hashes.
func (r *Report) Verify(key PublicKey) error {
	return Verify(key, r.signature, "report", r.ID.Digest[:], concat(r.boxHashes))
}

// VerifyBoxes checks every stored box against its signed hash. A report whose boxes differ is incomplete.
func (r *Report) VerifyBoxes() error {
	for k := range r.Header.Size {
		if _, err := r.Box(k); err != nil {
			return err
		}
	}
	return nil
}

// BoxRange returns where decryptor k's box lies in the header object, 0 <= k < n_c.
func (r *Report) BoxRange(k int) (offset, length int64) {
	return r.Header.BoxOffset(k)
}

// CheckBox compares a box fetched by range with its signed hash.
func (r *Report) CheckBox(k int, box []byte) error {
	if k < 0 || k >= len(r.boxHashes) {
		return field("report", "box", k, fmt.Sprintf("0 to %d", len(r.boxHashes)-1))
	}
	if !HashBox(box).Equal(r.boxHashes[k]) {
		return fmt.Errorf("%w: report %s: box %d differs from its hash", ErrFormat, r.ID.Short(), k)
	}
	return nil
}

// Box returns decryptor k's box, checked against its signed hash. It is an error if
// only the head was decoded.
func (r *Report) Box(k int) ([]byte, error) {
	if k < 0 || k >= len(r.boxHashes) || r.raw == nil {
		return nil, field("report", "box", k, fmt.Sprintf("0 to %d in a whole report", len(r.boxHashes)-1))
	}
	off, n := r.BoxRange(k)
	box := r.raw[off : off+n]
	if err := r.CheckBox(k, box); err != nil {
		return nil, err
	}
	return box, nil
}

// Corr returns the packed correction block, nil if only the head was decoded.
func (r *Report) Corr() []byte {
	if r.raw == nil {
		return nil
	}
	return r.raw[len(r.raw)-r.Header.BlockBytes():]
}

// Bytes returns the whole header object, nil if only the head was decoded. The caller must not change it.
func (r *Report) Bytes() []byte { return r.raw }

// BoxOffset returns where decryptor k's box lies in the header object of any
// report with these parameters, 0 <= k < n_c. The commitments need not be filled in.
func (h Header) BoxOffset(k int) (offset, length int64) {
	n := h.boxBytes()
	return int64(h.boxesOffset() + k*n), int64(n)
}
