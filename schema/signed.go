package schema

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
)

// MaxReports bounds the reports of one list (manifest, candidates, reservation): 2^20.
const MaxReports = 1 << 20

// MaxObject bounds the encoded size of a JSON object: 128 MiB, enough for a
// check that refuses MaxReports reports. Small objects have the smaller bound of maxBytes.
const MaxObject = 128 << 20

// Object is the set of signed JSON objects. label separates their signatures and
// identifiers; validate checks every field's range without any context;
// bytesPerComma is a lower bound for the canonical bytes that come with each
// comma, by which [scan] bounds what a decoder may allocate.
type Object interface {
	Task | RoundKey | Descriptor | Check | Manifest | Reservation | Vote | Answer | Receipt | Handover | RegionSum | Release
	label() string
	maxBytes() int
	bytesPerComma() int
	validate() error
}

// Signed is a JSON object in its signed envelope: {"body":…,"signature":"…"}.
// The body's bytes are kept exactly as they were signed or read; they are
// hashed, never encoded again. Make one with [SignBody] or [Decode]; the zero
// value encodes to nothing that decodes.
type Signed[T Object] struct {
	// Body is the decoded object. Changing it does not change the signed bytes.
	Body      T
	Signature Signature
	raw       []byte
}

// The envelope around a body. It is JSON, but read as fixed bytes, so that it has
// one spelling by construction.
const (
	envelopeHead  = `{"body":`
	envelopeMid   = `,"signature":"`
	envelopeTail  = `"}`
	envelopeAfter = len(envelopeMid) + 2*ed25519.SignatureSize + len(envelopeTail)
)

// SignBody validates, encodes and signs an object.
func SignBody[T Object](b T, key ed25519.PrivateKey) (Signed[T], error) {
	if err := b.validate(); err != nil {
		return Signed[T]{}, err
	}
	if err := checkKey(key); err != nil {
		return Signed[T]{}, err
	}
	raw, err := marshal(b)
	if err != nil {
		return Signed[T]{}, fmt.Errorf("schema: encode %s: %w", b.label(), err)
	}
	if n := len(envelopeHead) + len(raw) + envelopeAfter; n > b.maxBytes() {
		return Signed[T]{}, field(b.label(), "size", n, fmt.Sprintf("at most %d bytes: shorten names or lists", b.maxBytes()))
	}
	return Signed[T]{Body: b, Signature: Sign(key, b.label(), raw), raw: raw}, nil
}

// Decode reads a signed object of at most its type's size bound. The bytes
// must be exactly what [Signed.Bytes] gives for the same content. The signature is not checked.
func Decode[T Object](data []byte) (Signed[T], error) {
	var s Signed[T]
	if err := s.UnmarshalJSON(data); err != nil {
		return Signed[T]{}, err
	}
	return s, nil
}

// Verify checks the signature with key.
func (s Signed[T]) Verify(key PublicKey) error {
	return Verify(key, s.Signature, s.Body.label(), s.raw)
}

// ID returns H(label; body bytes), the identity of the object: the signature is not part of it.
func (s Signed[T]) ID() Digest { return Hash(s.Body.label(), s.raw) }

// Bytes returns the encoded envelope, nil for the zero value.
func (s Signed[T]) Bytes() []byte {
	if s.raw == nil {
		return nil
	}
	b := make([]byte, 0, len(envelopeHead)+len(s.raw)+envelopeAfter)
	b = append(append(b, envelopeHead...), s.raw...)
	b = hex.AppendEncode(append(b, envelopeMid...), s.Signature[:])
	return append(b, envelopeTail...)
}

// MarshalJSON implements json.Marshaler with the signed bytes. An encoder that
// escapes HTML changes them; this package's does not.
func (s Signed[T]) MarshalJSON() ([]byte, error) {
	if s.raw == nil {
		return nil, fmt.Errorf("schema: encode %s: it was never signed", s.Body.label())
	}
	return s.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler as [Decode] does.
func (s *Signed[T]) UnmarshalJSON(data []byte) error {
	var b T
	if len(data) > b.maxBytes() {
		return field(b.label(), "size", len(data), fmt.Sprintf("at most %d bytes", b.maxBytes()))
	}
	raw, sig, err := openEnvelope(data)
	if err == nil {
		err = decodeCanonical(raw, &b, b.bytesPerComma())
	}
	if err != nil {
		return wrong(b.label(), data, err)
	}
	if err := b.validate(); err != nil {
		return err
	}
	*s = Signed[T]{Body: b, Signature: sig, raw: bytes.Clone(raw)}
	return nil
}

// openEnvelope returns the body's bytes, within data, and the signature.
func openEnvelope(data []byte) ([]byte, Signature, error) {
	var sig Signature
	body := len(data) - envelopeAfter
	if body < len(envelopeHead) || string(data[:len(envelopeHead)]) != envelopeHead {
		return nil, sig, errEnvelope
	}
	rest, ok := bytes.CutPrefix(data[body:], []byte(envelopeMid))
	if !ok || string(rest[2*len(sig):]) != envelopeTail {
		return nil, sig, errEnvelope
	}
	err := sig.UnmarshalText(rest[:2*len(sig)])
	return data[len(envelopeHead):body], sig, err
}

// checkKey refuses what crypto/ed25519 would panic on.
func checkKey(key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return fmt.Errorf("schema: signing key of %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	}
	return nil
}
