package secagg

import (
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"
)

// Suite names the HPKE ciphers (RFC 9180) of the seed boxes: base mode,
// HKDF-SHA256, AES-256-GCM and the KEM of section 2.
type Suite uint16

const (
	// SuiteHybrid is suite 1, ML-KEM-768 with X25519: a box stays shut as
	// long as either of the two holds.
	SuiteHybrid Suite = 1
	// SuiteX25519 is suite 2, X25519 alone: boxes 1,088 bytes shorter, for
	// thin links. It is not post-quantum.
	SuiteX25519 Suite = 2
)

// Lengths of the encoded keys, and the shared length of the AEAD tag.
const (
	hybridPublic  = 1216 // ML-KEM-768 encapsulation key || X25519 point
	hybridEncap   = 1120 // ML-KEM-768 ciphertext || X25519 point
	x25519Length  = 32
	privateLength = 32 // both KEMs serialize a private key as 32 bytes
	tagLength     = 16
)

// String returns the name of the suite for people.
func (s Suite) String() string {
	switch s {
	case SuiteHybrid:
		return "ML-KEM-768+X25519"
	case SuiteX25519:
		return "X25519 (not post-quantum)"
	}
	return fmt.Sprintf("Suite(%d)", uint16(s))
}

// PostQuantum reports whether boxes of the suite resist a quantum computer.
func (s Suite) PostQuantum() bool { return s == SuiteHybrid }

// PublicKeyBytes is the length of an encoded round key, 0 for an unknown suite.
func (s Suite) PublicKeyBytes() int {
	switch s {
	case SuiteHybrid:
		return hybridPublic
	case SuiteX25519:
		return x25519Length
	}
	return 0
}

// encapBytes is the length of an encapsulated key (Nenc in RFC 9180).
func (s Suite) encapBytes() int {
	switch s {
	case SuiteHybrid:
		return hybridEncap
	case SuiteX25519:
		return x25519Length
	}
	return 0
}

// kem returns the KEM of the suite or ErrKey.
func (s Suite) kem() (hpke.KEM, error) {
	switch s {
	case SuiteHybrid:
		return hpke.MLKEM768X25519(), nil
	case SuiteX25519:
		return hpke.DHKEM(ecdh.X25519()), nil
	}
	return nil, fmt.Errorf("%w: unknown suite %d", ErrKey, uint16(s))
}
