package ring_test

import (
	"errors"
	"math/big"
	"math/bits"
	"testing"

	"github.com/veilsum/veilsum/secagg/internal/ring"
)

func TestModuli(t *testing.T) {
	all := ring.Moduli()
	if len(all) != 16 {
		t.Fatalf("%d moduli", len(all))
	}
	for i, m := range all {
		if m.Bits != 16+i || bits.Len32(m.Q-1) != m.Bits || m.N != 1024 && m.N != 2048 {
			t.Errorf("%+v: width", m)
		}
		if int(m.Q)%(2*m.N) != 1 || !big.NewInt(int64(m.Q)).ProbablyPrime(20) {
			t.Errorf("%+v: not a prime 1 mod 2N", m)
		}
		r, err := ring.New(m.N, m.Q)
		if err != nil {
			t.Fatal(err)
		}
		if r.N() != m.N || r.Q() != m.Q || r.Bits() != m.Bits || r.BlockBytes() != m.N*m.Bits/8 {
			t.Errorf("%+v: accessors differ", m)
		}
	}
	all[0].Q = 3
	if ring.Moduli()[0].Q != 61441 {
		t.Error("a caller changed the table")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, m := range []struct {
		n int
		q uint32
	}{
		{2048, 61441},     // a prime of the other degree's rows
		{1024, 33550337},  // the same, the other way
		{1024, 12289},     // a fine prime, too small
		{1024, 65537},     // 17 bits, another prime
		{1024, 61443},     // even factor apart
		{512, 61441},      // other degree
		{2048, 1<<32 - 1}, // too wide
		{0, 0}, {1024, 0}, {1024, 1}, {-1024, 61441},
	} {
		if r, err := ring.New(m.n, m.q); r != nil || !errors.Is(err, ring.ErrModulus) {
			t.Errorf("New(%d, %d) = %v, %v", m.n, m.q, r, err)
		}
	}
}
