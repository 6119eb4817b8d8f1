package secagg

import (
	"crypto/hpke"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/secagg/internal/redact"
)

// ErrKey says that a round key or its suite is unknown or malformed.
var ErrKey = errors.New("secagg: bad round key")

// RoundKey is a decryptor's private key for one round. It prints as
// "[redacted]", is safe for concurrent use, and must come from
// [GenerateRoundKey] or [ParseRoundKey]; the zero value opens nothing.
type RoundKey struct {
	secret
	suite  Suite
	key    hidden[hpke.PrivateKey]
	public []byte // encoded once: it is part of every box's info
}

// GenerateRoundKey makes a round key from the operating system's randomness.
func GenerateRoundKey(s Suite) (RoundKey, error) {
	kem, err := s.kem()
	if err != nil {
		return RoundKey{}, err
	}
	key, err := kem.GenerateKey()
	if err != nil {
		return RoundKey{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return newRoundKey(s, key), nil
}

// ParseRoundKey reads what [RoundKey.Bytes] wrote.
func ParseRoundKey(s Suite, b []byte) (RoundKey, error) {
	kem, err := s.kem()
	if err != nil {
		return RoundKey{}, err
	}
	if len(b) != privateLength {
		return RoundKey{}, fmt.Errorf("%w: private key is not %d bytes", ErrKey, privateLength)
	}
	key, err := kem.NewPrivateKey(b)
	if err != nil {
		// The library's error is dropped: an error about a secret key must
		// not travel.
		return RoundKey{}, fmt.Errorf("%w: private key refused", ErrKey)
	}
	return newRoundKey(s, key), nil
}

func newRoundKey(s Suite, key hpke.PrivateKey) RoundKey {
	return RoundKey{suite: s, key: redact.Hide(key), public: key.PublicKey().Bytes()}
}

// Suite returns the suite of the key, 0 for the zero value.
func (k RoundKey) Suite() Suite { return k.suite }

// Public returns the encoded public key, [Suite.PublicKeyBytes] long.
func (k RoundKey) Public() []byte { return append([]byte(nil), k.public...) }

// Bytes returns the private key, 32 bytes, for durable storage. Whoever holds
// it opens this decryptor's boxes: it belongs in the decryptor's record and
// nowhere else, and in no backup.
func (k RoundKey) Bytes() ([]byte, error) {
	if k.key.IsZero() {
		return nil, fmt.Errorf("%w: zero value", ErrKey)
	}
	b, err := k.key.Get().Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: private key refused", ErrKey)
	}
	return b, nil
}

// ValidatePublicKey reports whether a box can be sealed to public. It tries
// one encapsulation, so that a malformed key and an X25519 point of low order
// are found when a round is described and not by every client.
func ValidatePublicKey(s Suite, public []byte) error {
	key, err := parsePublicKey(s, public)
	if err != nil {
		return err
	}
	if _, _, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), nil); err != nil {
		return fmt.Errorf("%w: public key refused: %w", ErrKey, err)
	}
	return nil
}

func parsePublicKey(s Suite, public []byte) (hpke.PublicKey, error) {
	kem, err := s.kem()
	if err != nil {
		return nil, err
	}
	if len(public) != s.PublicKeyBytes() {
		return nil, fmt.Errorf("%w: public key is not %d bytes", ErrKey, s.PublicKeyBytes())
	}
	key, err := kem.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("%w: public key refused: %w", ErrKey, err)
	}
	return key, nil
}
