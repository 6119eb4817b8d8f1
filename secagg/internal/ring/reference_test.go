package ring_test

import (
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// Slow and obvious versions of what the package does, from PROTOCOL.md alone.

// each runs f for every allowed modulus.
func each(t *testing.T, f func(t *testing.T, r *ring.Ring)) {
	t.Helper()
	for _, m := range ring.Moduli() {
		t.Run(big.NewInt(int64(m.Q)).String(), func(t *testing.T) {
			r, err := ring.New(m.N, m.Q)
			if err != nil {
				t.Fatal(err)
			}
			f(t, r)
		})
	}
}

// key returns a stream key that depends on i only.
func key(i byte) *sampler.Key { return sampler.NewKey([32]byte{i, 1, 2, 3}) }

// refField reads bits i*f to i*f+f-1 of b, one at a time.
func refField(b []byte, i, f int) uint32 {
	var v uint32
	for k := range f {
		bit := i*f + k
		v |= uint32(b[bit/8]>>(bit%8)&1) << k
	}
	return v
}

// refPack is the packing of PROTOCOL.md section 1, one bit at a time.
func refPack(v []uint32, f int) []byte {
	out := make([]byte, len(v)*f/8)
	for i, x := range v {
		for k := range f {
			bit := i*f + k
			out[bit/8] |= byte(x>>k&1) << (bit % 8)
		}
	}
	return out
}

// refUniform is "Residues of a stream" of PROTOCOL.md section 1 on bytes.
func refUniform(n, f int, q uint32, stream *sampler.Stream) (out []uint32, words int) {
	var b [8]byte
	for len(out) < n {
		_, _ = stream.Read(b[:])
		words++
		w := new(big.Int).SetUint64(binary.LittleEndian.Uint64(b[:]))
		for range 64 / f {
			v := uint32(new(big.Int).And(w, big.NewInt(1<<f-1)).Int64())
			w.Rsh(w, uint(f))
			if v < q && len(out) < n {
				out = append(out, v)
			}
		}
	}
	return out, words
}

// refRoot returns psi = g^((Q-1)/2N) for the least primitive root g.
func refRoot(n int, q int64) *big.Int {
	bq, rest := big.NewInt(q), q-1
	var primes []int64
	for p := int64(2); rest > 1; p++ {
		if rest%p == 0 {
			primes = append(primes, p)
		}
		for rest%p == 0 {
			rest /= p
		}
	}
	for g := int64(2); ; g++ {
		primitive := true
		for _, p := range primes {
			if new(big.Int).Exp(big.NewInt(g), big.NewInt((q-1)/p), bq).Int64() == 1 {
				primitive = false
			}
		}
		if primitive {
			return new(big.Int).Exp(big.NewInt(g), big.NewInt((q-1)/int64(2*n)), bq)
		}
	}
}

// refReverse reverses the low log2(n) bits of k.
func refReverse(k, n int) int {
	r := 0
	for ; n > 1; n /= 2 {
		r = r*2 + k%2
		k /= 2
	}
	return r
}

// refEval evaluates the polynomial at x by Horner's rule.
func refEval(poly []uint32, x *big.Int, q int64) int64 {
	v := new(big.Int)
	bq := big.NewInt(q)
	for i := len(poly) - 1; i >= 0; i-- {
		v.Mul(v, x)
		v.Add(v, big.NewInt(int64(poly[i])))
		v.Mod(v, bq)
	}
	return v.Int64()
}

// refMul is the schoolbook product mod X^N+1.
func refMul(a []uint32, s []int32, q uint32) []uint32 {
	n := len(a)
	out := make([]uint32, n)
	for j, sj := range s {
		sv := uint64((int64(sj)%int64(q) + int64(q)) % int64(q))
		if sv == 0 {
			continue
		}
		for i, x := range a {
			p := uint64(x) * sv % uint64(q)
			if i+j < n {
				out[i+j] = uint32((uint64(out[i+j]) + p) % uint64(q))
			} else {
				out[i+j-n] = uint32((uint64(out[i+j-n]) + uint64(q) - p) % uint64(q))
			}
		}
	}
	return out
}

// residues returns n canonical residues, the edges among them.
func residues(rng *rand.Rand, n int, q uint32) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = rng.Uint32N(q)
	}
	out[0], out[1], out[n-1] = 0, q-1, q-1
	return out
}
