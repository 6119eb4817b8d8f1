package secaggbench

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// Transform runs lattigo's inverse number-theoretic transform and nothing else.
type Transform struct {
	r      *ring.Ring
	blocks int
	w      []uint64
}

// NewTransform prepares the transforms of one report of p.
func NewTransform(p secagg.Params) (*Transform, error) {
	r, err := ring.New(p.N(), p.Q())
	if err != nil {
		return nil, fmt.Errorf("secaggbench: %w", err)
	}
	t := &Transform{r: r, blocks: p.Blocks(), w: make([]uint64, p.N())}
	for i := range t.w {
		t.w[i] = uint64(i) % uint64(p.Q())
	}
	return t, nil
}

// Inverse transforms as many blocks as a report of p has. It reuses one block,
// which stays in the cache: the fastest case for lattigo.
func (t *Transform) Inverse() {
	for range t.blocks {
		t.r.BareINTT(t.w)
	}
}

// FloatAdds are plain loops x[i] += y[i] over float32, y at least as long as x,
// x not empty. They differ in what comes before the loop: where in a cache line
// the linker puts so short a loop is worth a factor of 1.8 on some machines.
// The fastest one is the fair yardstick of an addition.
func FloatAdds() []func(x, y []float32) {
	return []func(x, y []float32){floatAdd, floatAddLater, floatAddLatest}
}

//go:noinline
func floatAdd(x, y []float32) {
	y = y[:len(x)]
	for i := range x {
		x[i] += y[i]
	}
}

//go:noinline
func floatAddLater(x, y []float32) {
	y = y[:len(x)]
	x[0]++
	for i := range x {
		x[i] += y[i]
	}
}

//go:noinline
func floatAddLatest(x, y []float32) {
	y = y[:len(x)]
	x[0]++
	x[len(x)/2]++
	for i := range x {
		x[i] += y[i]
	}
}

// Bare is what a decryptor cannot do without for one report: open one HPKE box
// as large as that of p, and verify one Ed25519 signature.
type Bare struct {
	key        hpke.PrivateKey
	enc, box   []byte
	public     ed25519.PublicKey
	signature  []byte
	id         []byte
	plainBytes int
}

// NewBare seals one box and signs one identifier.
func NewBare(p secagg.Params) (*Bare, error) {
	kem := hpke.DHKEM(ecdh.X25519())
	if p.Suite() == secagg.SuiteHybrid {
		kem = hpke.MLKEM768X25519()
	}
	b := &Bare{id: make([]byte, 32), plainBytes: 32 * p.HeldSets()}
	if err := b.seal(kem); err != nil {
		return nil, fmt.Errorf("secaggbench: %w", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("secaggbench: %w", err)
	}
	b.public, b.signature = public, ed25519.Sign(private, b.id)
	return b, nil
}

func (b *Bare) seal(kem hpke.KEM) error {
	key, err := kem.GenerateKey()
	if err != nil {
		return err
	}
	enc, sender, err := hpke.NewSender(key.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
	if err != nil {
		return err
	}
	box, err := sender.Seal(b.id, make([]byte, b.plainBytes))
	b.key, b.enc, b.box = key, enc, box
	return err
}

// Open opens the box and verifies the signature.
func (b *Bare) Open() error {
	recipient, err := hpke.NewRecipient(b.enc, b.key, hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
	if err != nil {
		return fmt.Errorf("secaggbench: %w", err)
	}
	if _, err := recipient.Open(b.id, b.box); err != nil {
		return fmt.Errorf("secaggbench: %w", err)
	}
	if !ed25519.Verify(b.public, b.id, b.signature) {
		return errors.New("secaggbench: signature does not verify")
	}
	return nil
}
