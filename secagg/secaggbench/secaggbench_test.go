package secaggbench_test

import (
	"io"
	"testing"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/secaggbench"
)

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// TestBGV: the baseline sums as many clients as it is said to hold. A message
// is doubled 13 times, which grows its noise by 8192; 10^4 independent messages
// grow it by 100, so 2^6 of the room left for drowning is tested, too.
func TestBGV(t *testing.T) {
	const q, d = 1_038_337, 5000
	b, err := secaggbench.NewBGV(q, 4)
	check(t, err)
	if m := b.Modulus(); m < q || m%(2*4096) != 1 {
		t.Fatalf("plaintext modulus %d", m)
	}
	values := make([]int64, d)
	for i := range values {
		values[i] = int64(i%121) - 60
	}
	sum, err := b.Encrypt(values)
	check(t, err)
	for range 13 {
		check(t, b.Add(sum, sum))
	}
	got, err := b.Open(sum, d)
	check(t, err)
	for i, v := range values {
		if got[i] != v<<13 {
			t.Fatalf("value %d is %d, want %d", i, got[i], v<<13)
		}
	}
}

// TestBGVAdds: different clients, so that an Add that forgot one would show.
func TestBGVAdds(t *testing.T) {
	b, err := secaggbench.NewBGV(1<<20, 2)
	check(t, err)
	one, err := b.Encrypt([]int64{1, -2, 3})
	check(t, err)
	two, err := b.Encrypt([]int64{10, 20, -30})
	check(t, err)
	check(t, b.Add(one, two))
	got, err := b.Open(one, 3)
	check(t, err)
	if [3]int64(got) != [3]int64{11, 18, -27} {
		t.Fatalf("got %v", got)
	}
	// 4096 values of two residues of two words, and lattigo's metadata.
	if n, least := one.Bytes(), 4096*2*2*8; n < least || n > least+1024 {
		t.Errorf("%d bytes, want about %d", n, least)
	}
	if n, err := one.WriteTo(io.Discard); err != nil || n != int64(one.Bytes()) {
		t.Errorf("wrote %d bytes (%v), want %d", n, err, one.Bytes())
	}
	if bits := b.PackedBits(one); bits != 2*85*4096 {
		t.Errorf("%v bits packed, want two polynomials of 85 bits: one prime is just above 2^42", bits)
	}
}

func TestFloatAdds(t *testing.T) {
	for i, add := range secaggbench.FloatAdds() {
		x, y := []float32{1, 2, 3, 4}, []float32{10, 20, 30, 40}
		add(x, y)
		if x[1] != 22 || x[3] != 44 {
			t.Errorf("loop %d: %v", i, x)
		}
	}
}

func TestBare(t *testing.T) {
	for _, suite := range []secagg.Suite{secagg.SuiteHybrid, secagg.SuiteX25519} {
		p, err := secagg.New(secagg.Literal{
			N: 1024, Q: 249857, Values: 1, LocalStdDev: 6.4, Committee: secagg.DefaultCommittee, Suite: suite,
		})
		check(t, err)
		b, err := secaggbench.NewBare(p)
		check(t, err)
		check(t, b.Open())
		transform, err := secaggbench.NewTransform(p)
		check(t, err)
		transform.Inverse()
	}
	if _, err := secaggbench.NewTransform(secagg.Params{}); err == nil {
		t.Error("zero params accepted")
	}
}
