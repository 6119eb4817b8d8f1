package schema

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Version is the format version that every object of this package carries.
const Version = 1

// Errors of this package. Decoders wrap ErrFormat, verifiers ErrSignature.
var (
	ErrFormat    = errors.New("schema: malformed object")
	ErrVersion   = fmt.Errorf("%w: unknown version (made by a newer veilsum?)", ErrFormat)
	ErrSignature = errors.New("schema: signature does not verify")
)

// Digest is a SHA-256 value. Its text form is 64 lower-case hexadecimal digits.
type Digest [32]byte

// The identifiers of objects. They are distinct types over the same 32 bytes, so
// that a round's identifier cannot stand where a report's is meant.
type (
	// TaskID is H("task"; task body).
	TaskID struct{ Digest }
	// ScopeID is H("scope"; scope), the identity of a BudgetScope.
	ScopeID struct{ Digest }
	// RoundID is H("descriptor"; descriptor body).
	RoundID struct{ Digest }
	// ReportID is H("header"; header).
	ReportID struct{ Digest }
	// ManifestID is H("manifest"; manifest body).
	ManifestID struct{ Digest }
)

// String returns the hexadecimal form.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 8 hexadecimal digits, for people.
func (d Digest) Short() string { return hex.EncodeToString(d[:4]) }

// IsZero tells whether all bytes are zero, the form of "none".
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; only 64 lower-case
// hexadecimal digits are accepted, so that an object has one name.
func (d *Digest) UnmarshalText(text []byte) error { return unhex(d[:], text) }

// ParseDigest reads the text form of a Digest.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	err := d.UnmarshalText([]byte(s))
	return d, err
}

func unhex(dst, text []byte) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("%w: want %d hexadecimal digits, have %d", ErrFormat, 2*len(dst), len(text))
	}
	for _, c := range text { // hex.Decode takes upper case, too
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%w: %q is not a lower-case hexadecimal digit", ErrFormat, c)
		}
	}
	_, err := hex.Decode(dst, text)
	return err
}

// VehicleID is a vehicle's pseudonym inside one BudgetScope: 16 random bytes
// chosen by the enrollment authority. It names a signing key, nothing else.
type VehicleID [16]byte

// String returns 32 hexadecimal digits.
func (v VehicleID) String() string { return hex.EncodeToString(v[:]) }

// MarshalText implements encoding.TextMarshaler.
func (v VehicleID) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *VehicleID) UnmarshalText(text []byte) error { return unhex(v[:], text) }

// PublicKey is an Ed25519 public key (RFC 8032); its text form is 64 hexadecimal digits.
type PublicKey [ed25519.PublicKeySize]byte

// NewPublicKey returns the public half of key.
func NewPublicKey(key ed25519.PrivateKey) PublicKey {
	return PublicKey(key.Public().(ed25519.PublicKey))
}

// String returns 64 hexadecimal digits.
func (p PublicKey) String() string { return hex.EncodeToString(p[:]) }

// IsZero tells whether the key is absent.
func (p PublicKey) IsZero() bool { return p == PublicKey{} }

// MarshalText implements encoding.TextMarshaler.
func (p PublicKey) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *PublicKey) UnmarshalText(text []byte) error { return unhex(p[:], text) }

// Signature is an Ed25519 signature; its text form is 128 hexadecimal digits.
type Signature [ed25519.SignatureSize]byte

// MarshalText implements encoding.TextMarshaler.
func (s Signature) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s[:])), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Signature) UnmarshalText(text []byte) error { return unhex(s[:], text) }

// Hash is H(label; fields) of PROTOCOL.md section 1: SHA-256 over the label
// "veilsum/1/"+label and the fields, each behind its length as a 64-bit
// little-endian integer, so that no two lists of fields collide.
func Hash(label string, fields ...[]byte) Digest {
	h := sha256.New()
	writeField(h, []byte("veilsum/1/"+label))
	for _, f := range fields {
		writeField(h, f)
	}
	return Digest(h.Sum(nil))
}

func writeField(w io.Writer, field []byte) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(field)))
	w.Write(n[:])
	w.Write(field)
}

// Sign is Sig(label; fields) of PROTOCOL.md section 1: Ed25519 over
// Hash("sig/"+label, fields...). It panics, as crypto/ed25519 does, if key has not
// ed25519.PrivateKeySize bytes; [SignBody], [NewReport] and [NewSnapshot] return an error instead.
func Sign(key ed25519.PrivateKey, label string, fields ...[]byte) Signature {
	h := Hash("sig/"+label, fields...)
	return Signature(ed25519.Sign(key, h[:]))
}

// Verify checks a signature made by [Sign] and returns ErrSignature if it does not hold.
func Verify(key PublicKey, sig Signature, label string, fields ...[]byte) error {
	h := Hash("sig/"+label, fields...)
	if !ed25519.Verify(key[:], h[:], sig[:]) {
		return fmt.Errorf("%w: %s", ErrSignature, label)
	}
	return nil
}

// Equal compares in constant time.
func (d Digest) Equal(e Digest) bool { return subtle.ConstantTimeCompare(d[:], e[:]) == 1 }
