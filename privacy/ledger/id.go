package ledger

import (
	"encoding/hex"
	"fmt"
)

// ID is an identifier that the caller gives its meaning: of a scope, task,
// round, manifest, or the hash of an object. Its text form is 64 lower-case
// hexadecimal digits.
type ID [32]byte

// String returns the text form.
func (d ID) String() string { return hex.EncodeToString(d[:]) }

// IsZero tells whether all bytes are zero, the form of "none".
func (d ID) IsZero() bool { return d == ID{} }

// MarshalText implements encoding.TextMarshaler.
func (d ID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it takes the text form only.
func (d *ID) UnmarshalText(text []byte) error {
	if !unhex(d[:], text) {
		return fmt.Errorf("%w: want 64 lower-case hexadecimal digits", ErrEntry)
	}
	return nil
}

// nibble maps lower-case hexadecimal digits to their values, all else to 0xff:
// encoding/hex also takes upper case, which would give one entry two spellings.
var nibble = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	return t
}()

// unhex decodes exactly 2*len(dst) lower-case digits.
func unhex(dst, text []byte) bool {
	if len(text) != 2*len(dst) {
		return false
	}
	var bad byte
	for i := range dst {
		hi, lo := nibble[text[2*i]], nibble[text[2*i+1]]
		bad |= hi | lo // a digit leaves the high half zero
		dst[i] = hi<<4 | lo&15
	}
	return bad < 16
}
