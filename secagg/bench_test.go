package secagg_test

import (
	"crypto/ed25519"
	"crypto/hpke"
	"testing"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// benchValues is d of the speed targets.
const benchValues = 1_000_000

// perValue reports ns/value instead of ns/op.
func perValue(b *testing.B, values int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(values), "ns/value")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBareINTT is the yardstick of Seal and Open: lattigo's inverse
// transform over as many blocks.
func BenchmarkBareINTT(b *testing.B) {
	r, err := ring.New(1024, 249857)
	check(b, err)
	w := make([]uint64, 1024)
	for b.Loop() {
		for range benchValues/1024 + 1 {
			r.BareINTT(w)
		}
	}
	perValue(b, benchValues)
}

// BenchmarkSeal seals one update; the target is 5 times BareINTT.
func BenchmarkSeal(b *testing.B) {
	f := newFleet(b, literal(benchValues))
	zero := func(int, []int32) error { return nil }
	drop := func(int, []byte) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		_, err := secagg.Seal(f.p, f.roundID, secagg.SeedOf(hash("client", 0)), zero, drop)
		check(b, err)
	}
	perValue(b, benchValues)
}

// BenchmarkAddBlocks adds one report piece by piece.
func BenchmarkAddBlocks(b *testing.B) {
	f := newFleet(b, literal(benchValues))
	s, k := secagg.NewSum(f.p), f.p.DefaultPieceBlocks()
	piece := make([]byte, k*f.p.BlockBytes())
	for b.Loop() {
		for j := 0; j < f.p.Blocks(); j += k {
			check(b, s.AddBlocks(j, piece[:min(k, f.p.Blocks()-j)*f.p.BlockBytes()]))
		}
	}
	perValue(b, benchValues)
}

// BenchmarkOpen opens a sum with all answers; the target is 40 ns/value.
func BenchmarkOpen(b *testing.B) {
	f := newFleet(b, literal(benchValues))
	r := f.report(b, 0)
	sum, answers := f.sum(b, r), f.answers(b, []int{0, 1, 2, 3}, r)
	drop := func(int, []int32) error { return nil }
	for b.Loop() {
		_, err := committee.Open(f.p, f.roundID, 1, 0, sum, answers, drop)
		check(b, err)
	}
	perValue(b, benchValues)
}

// BenchmarkDecryptor is a decryptor's work for one client: verify a signature,
// open the box, check the commitments, add the masks. The target is twice Bare.
func BenchmarkDecryptor(b *testing.B) {
	for _, suite := range []secagg.Suite{secagg.SuiteHybrid, secagg.SuiteX25519} {
		l := literal(1)
		l.Suite = suite
		f := newFleet(b, l)
		r := f.report(b, 0)
		b.Run(suite.String()+"/CheckAndAdd", func(b *testing.B) {
			sh, err := committee.NewShares(f.p, 0)
			check(b, err)
			public, private, err := ed25519.GenerateKey(nil)
			check(b, err)
			sig := ed25519.Sign(private, r.id[:])
			for b.Loop() {
				if !ed25519.Verify(public, r.id[:], sig) {
					b.Fatal("signature")
				}
				seeds, err := secagg.OpenBox(f.p, 0, f.keys[0], f.roundID, r.id, r.boxes[0], r.coms)
				check(b, err)
				check(b, sh.Add(seeds))
			}
		})
		b.Run(suite.String()+"/Bare", func(b *testing.B) { bareDecryptor(b, suite, f, r) })
	}
}

// bareDecryptor is one HPKE open and one Ed25519 verification.
func bareDecryptor(b *testing.B, suite secagg.Suite, f *fleet, r report) {
	b.Helper()
	id := uint16(0x0020)
	if suite == secagg.SuiteHybrid {
		id = 0x647a
	}
	kem, err := hpke.NewKEM(id)
	check(b, err)
	raw, err := f.keys[0].Bytes()
	check(b, err)
	key, err := kem.NewPrivateKey(raw)
	check(b, err)
	enc, sender, err := hpke.NewSender(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
	check(b, err)
	box, err := sender.Seal(r.id[:], make([]byte, 96))
	check(b, err)
	public, private, err := ed25519.GenerateKey(nil)
	check(b, err)
	sig := ed25519.Sign(private, r.id[:])
	for b.Loop() {
		recipient, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
		check(b, err)
		if _, err := recipient.Open(r.id[:], box); err != nil || !ed25519.Verify(public, r.id[:], sig) {
			b.Fatal(err)
		}
	}
}
