package schema

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
)

// MaxReports bounds the reports of one list (manifest, candidates, reservation): 2^20.
const MaxReports = 1 << 20

// MaxObject bounds the encoded size of a JSON object: 128 MiB, enough for a
// reservation of MaxReports vehicles. Small objects have the smaller bound of maxBytes.
const MaxObject = 128 << 20

// Object is the set of signed JSON objects. label separates their signatures and
// identifiers; validate checks every field's range without any context.
type Object interface {
	Task | RoundKey | Descriptor | Check | Manifest | Reservation | Vote | Answer | Receipt
	label() string
	maxBytes() int
	validate() error
}

// Signed is a JSON object in its signed envelope: {"body": …, "signature": …}.
// The body's bytes are kept exactly as they were signed or read; they are
// hashed, never encoded again. Make one with [SignBody] or [Decode]; the zero
// value encodes to nothing that decodes.
type Signed[T Object] struct {
	// Body is the decoded object. Changing it does not change the signed bytes.
	Body      T
	Signature Signature
	raw       []byte
}

type envelope struct {
	Body      json.RawMessage `json:"body"`
	Signature Signature       `json:"signature"`
}

// SignBody validates, encodes and signs an object.
func SignBody[T Object](b T, key ed25519.PrivateKey) (Signed[T], error) {
	if err := b.validate(); err != nil {
		return Signed[T]{}, err
	}
	raw, err := marshal(b)
	if err != nil {
		return Signed[T]{}, fmt.Errorf("schema: encode %s: %w", b.label(), err)
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
	again, err := s.MarshalJSON()
	if err != nil || !bytes.Equal(again, data) {
		return Signed[T]{}, fmt.Errorf("%w: %s: not in canonical form", ErrFormat, s.Body.label())
	}
	return s, nil
}

// Verify checks the signature with key.
func (s Signed[T]) Verify(key PublicKey) error {
	return Verify(key, s.Signature, s.Body.label(), s.raw)
}

// ID returns H(label; body bytes), the identity of the object: the signature is not part of it.
func (s Signed[T]) ID() Digest { return Hash(s.Body.label(), s.raw) }

// Bytes returns the encoded envelope.
func (s Signed[T]) Bytes() []byte {
	b, err := s.MarshalJSON()
	if err != nil {
		return nil // only for the zero value, which nothing decodes
	}
	return b
}

// MarshalJSON implements json.Marshaler with the signed bytes.
func (s Signed[T]) MarshalJSON() ([]byte, error) {
	if s.raw == nil {
		return nil, fmt.Errorf("schema: encode %s: it was never signed", s.Body.label())
	}
	return marshal(envelope{Body: s.raw, Signature: s.Signature})
}

// UnmarshalJSON implements json.Unmarshaler; the body must be canonical.
func (s *Signed[T]) UnmarshalJSON(data []byte) error {
	var zero T
	if len(data) > zero.maxBytes() {
		return fmt.Errorf("%w: %s: %d bytes, at most %d", ErrFormat, zero.label(), len(data), zero.maxBytes())
	}
	var e envelope
	if err := strict(data, &e); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrFormat, zero.label(), err)
	}
	b, err := decodeBody[T](e.Body)
	if err != nil {
		return err
	}
	*s = Signed[T]{Body: b, Signature: e.Signature, raw: bytes.Clone(e.Body)}
	return nil
}

func decodeBody[T Object](raw []byte) (T, error) {
	var b T
	if err := strict(raw, &b); err != nil {
		return b, fmt.Errorf("%w: %s: %w", ErrFormat, b.label(), err)
	}
	if err := b.validate(); err != nil {
		return b, err
	}
	again, err := marshal(b)
	if err != nil || !bytes.Equal(again, raw) {
		return b, fmt.Errorf("%w: %s: body not in canonical form", ErrFormat, b.label())
	}
	return b, nil
}

// marshal is the canonical form: encoding/json's compact form, fields in the
// order of the Go struct, without HTML escapes.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// strict decodes one JSON value with known fields only and nothing behind it.
func strict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("bytes after the object")
	}
	return nil
}

// Real is a finite real parameter. In JSON it is a decimal string, the
// shortest that gives the same float64, so that every reader computes from the same number.
type Real float64

// MarshalText implements encoding.TextMarshaler.
func (r Real) MarshalText() ([]byte, error) {
	if math.IsNaN(float64(r)) || math.IsInf(float64(r), 0) {
		return nil, fmt.Errorf("schema: %v is not a finite number", float64(r))
	}
	return strconv.AppendFloat(nil, float64(r), 'g', -1, 64), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Real) UnmarshalText(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("%w: %.40q is not a finite decimal number", ErrFormat, text)
	}
	*r = Real(f)
	return nil
}

// field reports a field whose value is outside its range.
func field(object, name string, have any, want string) error {
	return fmt.Errorf("%w: %s.%s: %v: want %s", ErrFormat, object, name, have, want)
}
