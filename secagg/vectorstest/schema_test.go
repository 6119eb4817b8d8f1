package vectorstest

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
)

func digest(b []byte) schema.Digest { return schema.Digest(b) }

func TestHash(t *testing.T) {
	for _, v := range known(t).Hash {
		got := schema.Hash(v.Label, v.Fields...)
		equal(t, "H "+v.Label, got[:], v.Out)
	}
}

func TestSignature(t *testing.T) {
	for _, v := range known(t).Signature {
		key := ed25519.NewKeyFromSeed(v.Seed)
		public := schema.NewPublicKey(key)
		equal(t, "public key", public[:], v.Public)
		h := schema.Hash("sig/"+v.Label, v.Fields...)
		equal(t, "digest", h[:], v.Digest)
		got := schema.Sign(key, v.Label, v.Fields...)
		equal(t, "signature", got[:], v.Signature)
		if err := schema.Verify(public, schema.Signature(v.Signature), v.Label, v.Fields...); err != nil {
			t.Error(err)
		}
	}
}

func (v headerVector) header() schema.Header {
	h := schema.Header{
		Suite: v.Suite, Epoch: v.Epoch, Lane: v.Lane, Vehicle: schema.VehicleID(v.VehicleID),
		N: v.N, Q: v.Q, Values: v.Values, PieceBlocks: v.PieceBlocks, Size: v.Decryptors, Threshold: v.Threshold,
		CorrHash: schema.HashCorr(v.Corr), Root: digest(v.Root),
	}
	h.TaskID.Digest, h.RoundID.Digest = digest(v.TaskID), digest(v.RoundID)
	for _, c := range v.Commitments {
		h.Commitments = append(h.Commitments, digest(c))
	}
	return h
}

func TestHeader(t *testing.T) {
	for _, v := range known(t).Header {
		got, err := v.header().Encode()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "header", got, v.Header)
		id := schema.NewReportID(got)
		equal(t, "ReportID", id.Digest[:], v.ReportID)
		back, err := schema.DecodeHeader(v.Header)
		if err != nil {
			t.Fatal(err)
		}
		again, err := back.Encode()
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "header, decoded and encoded", again, v.Header)
	}
}

func TestPieces(t *testing.T) {
	v := known(t).Piece
	for i, piece := range v.Pieces {
		from := i * v.BlocksPerPiece
		equal(t, "piece", piece, slices.Concat(v.Blocks[from:min(from+v.BlocksPerPiece, len(v.Blocks))]...))
	}
	hashes := make([]schema.Digest, len(v.Pieces))
	for i, piece := range v.Pieces {
		hashes[i] = schema.HashPiece(i, piece)
		equal(t, "piece hash", hashes[i][:], v.PieceHashes[i])
	}
	root := schema.PieceRoot(hashes)
	equal(t, "root", root[:], v.Root)
}

// TestReports decodes Python's header objects and rebuilds them from their parts.
func TestReports(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		for _, v := range r.Reports {
			rep, err := schema.DecodeReport(v.HeaderObject)
			if err != nil {
				t.Fatal(err)
			}
			v.checkReport(t, r, rep)
			boxes := make([][]byte, r.Params.Decryptors)
			for k := range boxes {
				if boxes[k], err = rep.Box(k); err != nil {
					t.Fatal(err)
				}
			}
			again, err := schema.NewReport(rep.Header, boxes, v.Corr, ed25519.NewKeyFromSeed(v.SigningSeed))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "header object", again.Bytes(), v.HeaderObject)
		}
	})
}

func (v report) checkReport(t *testing.T, r round, rep *schema.Report) {
	t.Helper()
	if err := rep.Verify(schema.PublicKey(v.SigningPublic)); err != nil {
		t.Error(err)
	}
	equal(t, "ReportID", rep.ID.Digest[:], v.ReportID)
	equal(t, "corr", rep.Corr(), v.Corr)
	equal(t, "root", rep.Header.Root[:], v.Root)
	h := rep.Header
	equal(t, "vehicle", h.Vehicle[:], v.VehicleID)
	equal(t, "TaskID", h.TaskID.Digest[:], r.TaskID)
	equal(t, "RoundID", h.RoundID.Digest[:], r.RoundID)
	equal(t, "header numbers",
		[]uint64{uint64(h.Suite), h.Epoch, uint64(h.Lane), uint64(h.N), uint64(h.Q), uint64(h.Values), uint64(h.PieceBlocks), uint64(h.Size), uint64(h.Threshold)},
		[]uint64{
			uint64(r.Params.Suite), r.Epoch, uint64(r.Lane), uint64(r.Params.N), uint64(r.Params.Q), uint64(r.Params.Values),
			uint64(r.Params.PieceBlocks), uint64(r.Params.Decryptors), uint64(r.Params.Threshold),
		})
	hashes := make([]schema.Digest, len(v.Pieces))
	for i, piece := range v.Pieces {
		if len(piece) != h.PieceBytes(i) {
			t.Errorf("piece %d has %d bytes, want %d", i, h.PieceBytes(i), len(piece))
		}
		hashes[i] = schema.HashPiece(i, piece)
		equal(t, "piece hash", hashes[i][:], v.PieceHashes[i])
	}
	if schema.PieceRoot(hashes) != h.Root {
		t.Error("root differs")
	}
}

// openBoxes opens every box of every report, k by k, and checks the seeds.
func openBoxes(t *testing.T, r round) [][]secagg.Seeds {
	t.Helper()
	p := r.Params.new(t)
	out := make([][]secagg.Seeds, r.Params.Decryptors)
	for k, rk := range r.RoundKeys {
		key, err := secagg.ParseRoundKey(p.Suite(), rk.Private)
		if err != nil {
			t.Fatal(err)
		}
		if rk.Decryptor != k {
			t.Fatalf("round key %d is decryptor %d's", k, rk.Decryptor)
		}
		equal(t, "public key", key.Public(), rk.Public)
		for _, v := range r.Reports {
			seeds, err := openBox(p, k, key, r, v)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "seeds of box", seeds.Bytes(), v.BoxPlaintexts[k])
			out[k] = append(out[k], seeds)
		}
	}
	return out
}

func openBox(p secagg.Params, k int, key secagg.RoundKey, r round, v report) (secagg.Seeds, error) {
	rep, err := schema.DecodeReport(v.HeaderObject)
	if err != nil {
		return secagg.Seeds{}, err
	}
	box, err := rep.Box(k)
	if err != nil {
		return secagg.Seeds{}, err
	}
	commitments := make([][32]byte, len(rep.Header.Commitments))
	for i, c := range rep.Header.Commitments {
		commitments[i] = c
	}
	return secagg.OpenBox(p, k, key, [32]byte(r.RoundID), rep.ID.Digest, box, commitments)
}

func TestOpenBoxes(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) { openBoxes(t, r) })
}

// TestBoxesAreBound: a box of the vectors opens only where it belongs.
func TestBoxesAreBound(t *testing.T) {
	eachRound(t, func(t *testing.T, r round) {
		p := r.Params.new(t)
		key, err := secagg.ParseRoundKey(p.Suite(), r.RoundKeys[1].Private)
		if err != nil {
			t.Fatal(err)
		}
		other := r
		other.RoundID = bytes.Clone(r.RoundID)
		other.RoundID[0] ^= 1
		for name, err := range map[string]error{
			"another round":     second(openBox(p, 1, key, other, r.Reports[0])),
			"another decryptor": second(openBox(p, 0, key, r, r.Reports[0])),
		} {
			if !errors.Is(err, secagg.ErrBox) {
				t.Errorf("%s: %v, want ErrBox", name, err)
			}
		}
	})
}

func second(_ secagg.Seeds, err error) error { return err }
