package secaggbench

import (
	"fmt"
	"io"
	"math"

	"github.com/tuneinsight/lattigo/v5/core/rlwe"
	"github.com/tuneinsight/lattigo/v5/mhe"
	"github.com/tuneinsight/lattigo/v5/ring"
	"github.com/tuneinsight/lattigo/v5/schemes/bgv"
	"github.com/tuneinsight/lattigo/v5/utils/sampling"
)

// BGV is the baseline: each client encrypts its integers under the committee's
// collective public key with lattigo's BGV, the server adds ciphertexts, the
// members would open the sum together.
//
// Parameters are the smallest secure ones that hold 10^4 clients' sums modulo
// t, the modulus of the compared task, about 2^20. Fresh noise has a standard
// deviation of 473 (ring degree 4096, ternary secrets, sigma 3.2, 4 members),
// 2^15.5 after 10^4 additions and below 2^18.2 at 6 deviations. Members must
// drown it before they show a decryption, at least 2^40 times, which makes 2^62
// with 4 members' tails; times t that is 2^82, with the sign 2^83. So the
// ciphertext modulus is 2^84, in two primes of 42 bits. Ring degree 2048 is
// secure up to 2^54, 4096 up to 2^109 (128 bits, HomomorphicEncryption.org).
type BGV struct {
	params    bgv.Parameters
	encoder   *bgv.Encoder
	encryptor *rlwe.Encryptor
	evaluator *bgv.Evaluator
	secret    *rlwe.SecretKey // sum of the members' secrets; nobody has it in a real committee
}

const (
	bgvLogN      = 12
	bgvPrimeBits = 42
)

// NewBGV makes a committee of that many members and its collective key. The
// plaintext modulus is the least suitable prime of minModulus or more, which is
// at most 2^30.
func NewBGV(minModulus uint32, members int) (*BGV, error) {
	t := minModulus - 1 + 1<<(bgvLogN+1)
	t = t>>(bgvLogN+1)<<(bgvLogN+1) + 1
	for !ring.IsPrime(uint64(t)) {
		t += 1 << (bgvLogN + 1)
	}
	params, err := bgv.NewParametersFromLiteral(bgv.ParametersLiteral{
		LogN: bgvLogN, LogQ: []int{bgvPrimeBits, bgvPrimeBits}, PlaintextModulus: uint64(t),
	})
	if err != nil {
		return nil, fmt.Errorf("secaggbench: %w", err)
	}
	b := &BGV{params: params, encoder: bgv.NewEncoder(params), evaluator: bgv.NewEvaluator(params, nil)}
	return b, b.makeKeys(members)
}

// makeKeys plays lattigo's multiparty key generation.
func (b *BGV) makeKeys(members int) error {
	crs, err := sampling.NewPRNG()
	if err != nil {
		return fmt.Errorf("secaggbench: %w", err)
	}
	protocol, generator := mhe.NewPublicKeyGenProtocol(b.params), rlwe.NewKeyGenerator(b.params)
	point, all := protocol.SampleCRP(crs), protocol.AllocateShare()
	b.secret = rlwe.NewSecretKey(b.params)
	for range members {
		secret, share := generator.GenSecretKeyNew(), protocol.AllocateShare()
		protocol.GenShare(secret, point, &share)
		protocol.AggregateShares(all, share, &all)
		b.params.RingQ().Add(b.secret.Value.Q, secret.Value.Q, b.secret.Value.Q)
	}
	public := rlwe.NewPublicKey(b.params)
	protocol.GenPublicKey(all, point, public)
	b.encryptor = rlwe.NewEncryptor(b.params, public)
	return nil
}

// Modulus is the plaintext modulus t; a sum must stay within (-t/2, t/2).
func (b *BGV) Modulus() uint64 { return b.params.PlaintextModulus() }

// PackedBits is the size of m if residues were packed without a gap: two
// polynomials a block, each coefficient as wide as the ciphertext modulus.
func (b *BGV) PackedBits(m *BGVMessage) float64 {
	return 2 * math.Ceil(b.params.LogQ()) * float64(b.params.N()*len(m.blocks))
}

// BGVMessage is one client's ciphertexts, or a sum of them.
type BGVMessage struct{ blocks []*rlwe.Ciphertext }

// Encrypt encrypts values in (-t/2, t/2). Integers are coefficients, the
// cheapest encoding.
func (b *BGV) Encrypt(values []int64) (*BGVMessage, error) {
	m := &BGVMessage{}
	plain := bgv.NewPlaintext(b.params, b.params.MaxLevel())
	plain.IsBatched = false
	for n := b.params.N(); len(values) > 0; values = values[min(n, len(values)):] {
		if err := b.encoder.Encode(values[:min(n, len(values))], plain); err != nil {
			return nil, fmt.Errorf("secaggbench: %w", err)
		}
		c, err := b.encryptor.EncryptNew(plain)
		if err != nil {
			return nil, fmt.Errorf("secaggbench: %w", err)
		}
		m.blocks = append(m.blocks, c)
	}
	return m, nil
}

// Add adds m to sum, which is of the same length.
func (b *BGV) Add(sum, m *BGVMessage) error {
	for i, c := range sum.blocks {
		if err := b.evaluator.Add(c, m.blocks[i], c); err != nil {
			return fmt.Errorf("secaggbench: %w", err)
		}
	}
	return nil
}

// WriteTo writes the message as lattigo does.
func (m *BGVMessage) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for _, c := range m.blocks {
		n, err := c.WriteTo(w)
		written += n
		if err != nil {
			return written, fmt.Errorf("secaggbench: %w", err)
		}
	}
	return written, nil
}

// Bytes is the length that WriteTo writes: 8 bytes a residue.
func (m *BGVMessage) Bytes() int {
	n := 0
	for _, c := range m.blocks {
		n += c.BinarySize()
	}
	return n
}

// Open decrypts the first values of m with the sum of all secrets. It is a
// test of the baseline, not part of it: real members show masked shares.
func (b *BGV) Open(m *BGVMessage, values int) ([]int64, error) {
	decryptor, out := rlwe.NewDecryptor(b.params, b.secret), make([]int64, 0, values+b.params.N())
	block := make([]int64, b.params.N())
	for _, c := range m.blocks {
		if err := b.encoder.Decode(decryptor.DecryptNew(c), block); err != nil {
			return nil, fmt.Errorf("secaggbench: %w", err)
		}
		out = append(out, block...)
	}
	return out[:values], nil
}
