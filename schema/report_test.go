package schema_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

func TestHeaderRanges(t *testing.T) {
	for _, c := range []refusal[schema.Header]{
		{"header.suite", func(h *schema.Header) { h.Suite = 0 }},
		{"header.suite", func(h *schema.Header) { h.Suite = 3 }},
		{"header.n", func(h *schema.Header) { h.N = 512 }},
		{"header.n", func(h *schema.Header) { h.N = 0 }},
		{"header.q", func(h *schema.Header) { h.Q = 65537 }},
		{"header.q", func(h *schema.Header) { h.Q = 33550337 }}, // of the other degree
		{"header.q", func(h *schema.Header) { h.N = 2048 }},
		{"header.d", func(h *schema.Header) { h.Values = 0 }},
		{"header.d", func(h *schema.Header) { h.Values = math.MaxInt32; h.Values++ }},
		{"header.piece_blocks", func(h *schema.Header) { h.PieceBlocks = 0 }},
		{"header.piece_blocks", func(h *schema.Header) { h.PieceBlocks = 65537 }},
		{"header.committee", func(h *schema.Header) { h.Size = 2 }},
		{"header.committee", func(h *schema.Header) { h.Threshold = 2 }},
		{"header.committee", func(h *schema.Header) { h.Threshold = 1 }},
		{"header.committee", func(h *schema.Header) { h.Size, h.Threshold = 17, 12 }},
		{"header.committee", func(h *schema.Header) { h.Size, h.Threshold = 255, 255 }},
		{"header.commitments", func(h *schema.Header) { h.Commitments = h.Commitments[:2] }},
		{"header.commitments", func(h *schema.Header) { h.Commitments = nil }},
	} {
		h := testHeader()
		c.mutate(&h)
		_, err := h.Encode()
		named(t, c.field+", encoded", err, c.field)
		if len(h.Commitments) != 3 {
			continue
		}
		_, err = schema.DecodeHeader(writeHeader(t, h))
		named(t, c.field+", decoded", err, c.field)
	}
}

// writeHeader writes the fixed fields of h without any check.
func writeHeader(t *testing.T, h schema.Header) []byte {
	t.Helper()
	b, err := testHeader().Encode()
	must(t, err)
	le := binary.LittleEndian
	le.PutUint16(b[6:], uint16(h.Suite))
	le.PutUint32(b[100:], uint32(h.N))
	le.PutUint32(b[104:], h.Q)
	le.PutUint32(b[108:], uint32(h.Values))
	le.PutUint32(b[112:], uint32(h.PieceBlocks))
	b[116], b[117] = byte(h.Size), byte(h.Threshold)
	return append(b, make([]byte, 1<<10)...)
}

func TestHeaderPadding(t *testing.T) {
	for _, at := range []int{118, 119} {
		b := writeHeader(t, testHeader())
		b[at] = 1
		_, err := schema.DecodeHeader(b)
		named(t, "padding", err, "header.padding")
	}
	b := writeHeader(t, testHeader())
	_, err := schema.DecodeHeader(b[:testHeader().HeaderBytes()-1])
	named(t, "cut", err, "header.size")
	b[0] = 'X'
	if _, err := schema.DecodeHeader(b); !errors.Is(err, schema.ErrFormat) {
		t.Errorf("magic: %v", err)
	}
}

// TestSizes compares the sizes with PROTOCOL.md sections 1, 2, 4 and 5, worked out by hand.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		h                                                schema.Header
		bits, blocks, block, pieces, last, header, whole int
		sum                                              int64
	}{
		{testHeader(), 16, 3, 2048, 2, 2048, 184 + 96, 184 + 96 + 96 + 64 + 3*(32+32+16) + 2048, 4 * 2048},
		{ // the default committee, hybrid; d + 256 fills the last block exactly
			schema.Header{Suite: 1, N: 1024, Q: 16760833, Values: 10*1024 - 256, PieceBlocks: 10, Size: 4, Threshold: 3},
			24, 10, 3072, 1, 30720, 184 + 32*6, 184 + 32*6 + 128 + 64 + 4*(1120+32*3+16) + 3072, 11 * 3072,
		},
		{ // one more value, one more block
			schema.Header{Suite: 1, N: 1024, Q: 16760833, Values: 10*1024 - 255, PieceBlocks: 10, Size: 4, Threshold: 3},
			24, 11, 3072, 2, 3072, 184 + 32*6, 184 + 32*6 + 128 + 64 + 4*(1120+32*3+16) + 3072, 12 * 3072,
		},
		{ // the largest of everything
			schema.Header{Suite: 1, N: 2048, Q: 2147389441, Values: schema.MaxValues, PieceBlocks: 65536, Size: 16, Threshold: 9},
			31, 1<<20 + 1, 7936, 17, 7936, 184 + 32*12870, schema.MaxReportBytes, (1<<20 + 2) * 7936,
		},
		{
			schema.Header{Suite: 2, N: 1024, Q: 61441, Values: schema.MaxValues, PieceBlocks: 1, Size: 3, Threshold: 3},
			16, 1<<21 + 1, 2048, 1<<21 + 1, 2048, 280, 280 + 96 + 64 + 3*80 + 2048, (1<<21 + 2) * 2048,
		},
	} {
		h := c.h
		got := []int{h.Bits(), h.Blocks(), h.BlockBytes(), h.Pieces(), h.PieceBytes(h.Pieces() - 1), h.HeaderBytes(), h.ObjectBytes()}
		want := []int{c.bits, c.blocks, c.block, c.pieces, c.last, c.header, c.whole}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%+v: size %d is %d, want %d", h, i, got[i], want[i])
			}
		}
		if h.SumBytes() != c.sum {
			t.Errorf("%+v: a sum has %d bytes, want %d", h, h.SumBytes(), c.sum)
		}
		if h.HeaderBytes() > schema.HeadBytes || h.ObjectBytes() > schema.MaxReportBytes {
			t.Errorf("%+v: beyond HeadBytes or MaxReportBytes", h)
		}
	}
}

// TestHeadBytes: no allowed committee has a longer head, and one reaches the bound.
func TestHeadBytes(t *testing.T) {
	longest := 0
	for n := range 17 {
		for c := range 17 {
			for f := range 17 {
				if !schema.AllowedCommittee(n, c, f) {
					continue
				}
				off, _ := schema.Header{Suite: 1, Size: n, Threshold: c}.BoxOffset(0)
				longest = max(longest, int(off))
			}
		}
	}
	if longest != schema.HeadBytes {
		t.Errorf("the longest head has %d bytes, HeadBytes is %d", longest, schema.HeadBytes)
	}
}

// TestZeroHeader: sizes of a header that nobody filled in are no panic.
func TestZeroHeader(t *testing.T) {
	var h schema.Header
	if h.Blocks() != 0 || h.Pieces() != 0 || h.PieceBytes(0) != 0 {
		t.Error("a zero header has blocks")
	}
	full := testHeader()
	for _, i := range []int{-1, full.Pieces(), math.MaxInt, math.MinInt} {
		if n := full.PieceBytes(i); n != 0 {
			t.Errorf("piece %d has %d bytes", i, n)
		}
	}
	h.TaskID.Digest, h.Q = digest("x"), 0 // Q - 1 wraps
	if h.Bits() != 32 || h.BlockBytes() != 0 {
		t.Errorf("%d bits, %d bytes", h.Bits(), h.BlockBytes())
	}
}

func TestReportParts(t *testing.T) {
	r := testReport(t)
	for k, want := range testBoxes() {
		box, err := r.Box(k)
		must(t, err)
		off, n := r.BoxRange(k)
		if !bytes.Equal(box, want) || !bytes.Equal(r.Bytes()[off:off+n], want) {
			t.Errorf("box %d differs", k)
		}
		must(t, r.CheckBox(k, want))
		if err := r.CheckBox((k+1)%3, want); !errors.Is(err, schema.ErrFormat) {
			t.Errorf("box %d passes as another: %v", k, err)
		}
	}
	if !bytes.Equal(r.Corr(), testCorr()) {
		t.Error("corr differs")
	}
	for _, k := range []int{-1, 3, 16, math.MaxInt} {
		_, err := r.Box(k)
		named(t, "Box out of range", err, "report.box")
		named(t, "CheckBox out of range", r.CheckBox(k, nil), "report.box")
	}
}

// TestReportHead: a report of which only the head was read has no boxes to give, and does not panic.
func TestReportHead(t *testing.T) {
	whole := testReport(t)
	off, n := whole.BoxRange(2)
	head, err := schema.DecodeReportHead(whole.Bytes()[:off])
	must(t, err)
	must(t, head.Verify(testPublic("vehicle")))
	if head.ID != whole.ID || head.Bytes() != nil || head.Corr() != nil {
		t.Error("the head claims to be whole")
	}
	if o, l := head.BoxRange(2); o != off || l != n {
		t.Errorf("box 2 at %d, %d", o, l)
	}
	must(t, head.CheckBox(2, whole.Bytes()[off:off+n]))
	_, err = head.Box(2)
	named(t, "Box of a head", err, "report.box")
	named(t, "VerifyBoxes of a head", head.VerifyBoxes(), "report.box")
	short, _ := whole.BoxRange(0)
	_, err = schema.DecodeReportHead(whole.Bytes()[:short-1])
	named(t, "a head cut short", err, "report.head")
}

func TestReportRefused(t *testing.T) {
	shift := testBoxes() // the same bytes in all, cut elsewhere
	shift[0], shift[1] = append(shift[0], 9), shift[1][1:]
	for name, c := range map[string]struct {
		boxes [][]byte
		corr  []byte
		field string
	}{
		"two boxes":     {testBoxes()[:2], testCorr(), "report.boxes"},
		"shifted boxes": {shift, testCorr(), "report.box 0"},
		"short corr":    {testBoxes(), testCorr()[1:], "report.corr"},
	} {
		_, err := schema.NewReport(testHeader(), c.boxes, c.corr, testKey("vehicle"))
		named(t, name, err, c.field)
	}
	if _, err := schema.NewReport(testHeader(), testBoxes(), make([]byte, 2048), testKey("vehicle")); !errors.Is(err, schema.ErrFormat) {
		t.Errorf("a corr that differs from its hash: %v", err)
	}
	raw := testReport(t).Bytes()
	gap := bytes.Clone(raw[:len(raw)-2048]) // bytes between the boxes and corr, which nobody signed
	_, err := schema.DecodeReport(append(append(gap, 1, 2, 3), testCorr()...))
	named(t, "bytes before corr", err, "report.size")
	if err := testReport(t).Verify(testPublic("other")); !errors.Is(err, schema.ErrSignature) {
		t.Errorf("another vehicle's key: %v", err)
	}
}

func TestPartialRanges(t *testing.T) {
	for _, c := range []refusal[schema.Partial]{
		{"partial.n", func(p *schema.Partial) { p.N = 4096 }},
		{"partial.q", func(p *schema.Partial) { p.Q = 40961 }},
		{"partial.d", func(p *schema.Partial) { p.Values = 0 }},
		{"partial.sum", func(p *schema.Partial) { p.Sum = p.Sum[1:] }},
		{"partial.sum", func(p *schema.Partial) { p.Values = 769 }}, // one block more
		{"partial.reports", func(p *schema.Partial) { p.Reports = nil }},
		{"partial.reports", func(p *schema.Partial) { p.Reports[1] = p.Reports[0] }},
		{"partial.reports", func(p *schema.Partial) { p.Reports[0], p.Reports[1] = p.Reports[1], p.Reports[0] }},
	} {
		p := testPartial()
		c.mutate(&p)
		_, err := p.Encode()
		named(t, c.field+", encoded", err, c.field)
		if id, err := p.ID(); err == nil || !id.IsZero() {
			t.Errorf("%s: it has an identity", c.field)
		}
		_, err = schema.DecodePartial(writePartial(p))
		named(t, c.field+", decoded", err, c.field)
	}
}

// writePartial writes p without any check.
func writePartial(p schema.Partial) []byte {
	le := binary.LittleEndian
	b := append([]byte("VSPS\x01\x00\x00\x00"), p.RoundID.Digest[:]...)
	for _, v := range []uint32{uint32(p.N), p.Q, uint32(p.Values), uint32(len(p.Reports))} {
		b = le.AppendUint32(b, v)
	}
	for _, id := range p.Reports {
		b = append(b, id.Digest[:]...)
	}
	return append(b, p.Sum...)
}

// TestCounts: a count is never believed before the bytes are there.
func TestCounts(t *testing.T) {
	snapshot := testSnapshot(t).Bytes()
	partial := writePartial(testPartial())
	for _, n := range []uint32{0, 1, 3, 1 << 20, 1<<20 + 1, 1 << 24, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		for _, c := range []struct {
			data   []byte
			at     int
			decode func([]byte) ([]byte, schema.Digest, error, error)
		}{{snapshot, 48, decodeSnapshot}, {partial, 52, decodePartial}} {
			bad := bytes.Clone(c.data)
			binary.LittleEndian.PutUint32(bad[c.at:], n)
			var err error
			used := allocated(func() { _, _, _, err = c.decode(bad) })
			if !errors.Is(err, schema.ErrFormat) || used > 1<<20 {
				t.Errorf("%.4s with a count of %d: %v, %d bytes allocated", bad, n, err, used)
			}
		}
	}
}

// TestNewPieceHash: written in any steps it is HashPiece.
func TestNewPieceHash(t *testing.T) {
	piece := bytes.Repeat([]byte{1, 2, 3}, 1000)
	for _, step := range []int{1, 7, 2999, 3000} {
		h := schema.NewPieceHash(5, int64(len(piece)))
		for rest := range slices.Chunk(piece, step) {
			h.Write(rest)
		}
		if schema.Digest(h.Sum(nil)) != schema.HashPiece(5, piece) {
			t.Errorf("in steps of %d it differs", step)
		}
	}
}
