package secagg_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/veilsum/veilsum/secagg"
)

func TestSumRefusesOtherLengths(t *testing.T) {
	f := newFleet(t, literal(3000))
	s, size, blocks := secagg.NewSum(f.p), f.p.BlockBytes(), f.p.Blocks()
	for name, err := range map[string]error{
		"corr short":         s.AddCorr(make([]byte, size-1)),
		"corr of two blocks": s.AddCorr(make([]byte, 2*size)),
		"no corr":            s.AddCorr(nil),
		"sub corr":           s.SubCorr(make([]byte, size+1)),
		"no blocks":          s.AddBlocks(0, nil),
		"half a block":       s.AddBlocks(0, make([]byte, size/2)),
		"negative":           s.AddBlocks(-1, make([]byte, size)),
		"beyond the end":     s.AddBlocks(blocks, make([]byte, size)),
		"over the end":       s.AddBlocks(blocks-1, make([]byte, 2*size)),
		"far beyond":         s.SubBlocks(1<<62, make([]byte, size)),
		"block -1":           s.Block(-1, make([]uint32, 1024)),
		"block B":            s.Block(blocks, make([]uint32, 1024)),
		"short room":         s.Block(0, make([]uint32, 1023)),
		"merge nil":          s.Merge(nil),
		"merge other":        s.Merge(secagg.NewSum(newFleet(t, literal(2999)).p)),
	} {
		if !errors.Is(err, secagg.ErrSum) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var buf bytes.Buffer
	_, err := s.WriteTo(&buf)
	check(t, err)
	if len(bytes.Trim(buf.Bytes(), "\x00")) > 0 {
		t.Error("a refused call changed the sum")
	}
}

// TestSumAddsResiduesThatAreNotCanonical: a report's fields need not be below
// Q; the sum is, and is right mod Q (section 1).
func TestSumAddsResiduesThatAreNotCanonical(t *testing.T) {
	f := newFleet(t, literal(10))
	ones := bytes.Repeat([]byte{0xff}, f.p.BlockBytes()) // every field 2^18-1
	s, x := secagg.NewSum(f.p), make([]uint32, f.p.N())
	const n = 70_000 // beyond the adds between two reductions
	for range n {
		check(t, s.AddBlocks(0, ones))
	}
	check(t, s.Block(0, x))
	want := uint32(uint64(n) * (1<<18 - 1) % uint64(f.p.Q()))
	for _, v := range x {
		if v != want {
			t.Fatalf("residue %d, want %d", v, want)
		}
	}
}

// TestReadSumRefuses: one sum has one encoding.
func TestReadSumRefuses(t *testing.T) {
	f := newFleet(t, literal(1500))
	var buf bytes.Buffer
	n, err := f.sum(t, f.report(t, 0)).WriteTo(&buf)
	check(t, err)
	good := buf.Bytes()
	if n != f.p.SumBytes() || int64(len(good)) != n {
		t.Fatalf("%d bytes, want %d", n, f.p.SumBytes())
	}
	again, err := secagg.ReadSum(f.p, iotest.OneByteReader(bytes.NewReader(good)))
	check(t, err)
	var copied bytes.Buffer
	_, err = again.WriteTo(&copied)
	check(t, err)
	if !bytes.Equal(copied.Bytes(), good) {
		t.Fatal("written sum differs from the one read")
	}
	for block := range f.p.Blocks() + 1 {
		bad := bytes.Clone(good)
		copy(bad[block*f.p.BlockBytes():], []byte{0xff, 0xff, 0xff}) // first field 2^18-1
		_, err := secagg.ReadSum(f.p, bytes.NewReader(bad))
		wantError(t, err, secagg.ErrSum)
	}
	_, err = secagg.ReadSum(f.p, bytes.NewReader(good[:len(good)-1]))
	wantError(t, err, io.ErrUnexpectedEOF)
	wantError(t, err, secagg.ErrSum)
	_, err = secagg.ReadSum(f.p, iotest.ErrReader(io.ErrClosedPipe))
	wantError(t, err, io.ErrClosedPipe)
}

func TestSumResets(t *testing.T) {
	f := newFleet(t, literal(10))
	s := f.sum(t, f.report(t, 0))
	s.Reset()
	x := make([]uint32, f.p.N())
	check(t, s.Corr(x))
	for _, v := range x {
		if v != 0 {
			t.Fatal("not zero")
		}
	}
	if s.Params().Literal() != f.p.Literal() {
		t.Fatal("other parameters")
	}
}

// failAfter is a writer that takes n bytes.
type failAfter struct{ n int }

func (w *failAfter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		return 0, io.ErrShortWrite
	}
	w.n -= len(p)
	return len(p), nil
}

func TestWriteToReportsFailure(t *testing.T) {
	f := newFleet(t, literal(3000))
	n, err := secagg.NewSum(f.p).WriteTo(&failAfter{n: 3000})
	wantError(t, err, io.ErrShortWrite)
	if n != int64(f.p.BlockBytes()) {
		t.Fatalf("%d bytes", n)
	}
}
