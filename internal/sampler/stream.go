package sampler

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
)

const (
	kdfPrefix = "veilsum/1/"
	redacted  = "[redacted]"
	bufBytes  = 1024
)

// zeros is the plaintext whose encryption is the keystream.
var zeros [bufBytes]byte

// Derive returns 32 bytes of HKDF-SHA256 (RFC 5869) over secret with an empty
// salt and the info string "veilsum/1/" followed by label. It is the only key
// derivation of the protocol; distinct labels give independent keys.
func Derive(secret []byte, label string) [32]byte {
	out, err := hkdf.Key(sha256.New, secret, nil, kdfPrefix+label, 32)
	if err != nil {
		// HKDF fails only above 255 hash lengths or where the operator
		// forbids short secrets (GODEBUG=fips140=only): no input reaches it.
		panic("sampler: hkdf: " + err.Error())
	}
	return [32]byte(out)
}

// Key is an expanded AES-256 key. It is safe for concurrent use, prints as
// "[redacted]" and must come from [NewKey].
type Key struct {
	block cipher.Block
}

// NewKey expands k. Every stream of the key is determined by k and its index.
func NewKey(k [32]byte) *Key {
	block, err := aes.NewCipher(k[:])
	if err != nil { // only for a wrong key length
		panic("sampler: aes: " + err.Error())
	}
	return &Key{block: block}
}

// Stream returns the AES-256-CTR keystream whose initial counter block is
// index as 8 bytes big-endian followed by 8 zero bytes. Streams of different
// index do not overlap within their first 2^64 blocks.
func (k *Key) Stream(index uint64) *Stream {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[:8], index)
	return &Stream{ctr: cipher.NewCTR(k.block, iv[:]), pos: bufBytes}
}

// String returns "[redacted]".
func (Key) String() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// Stream is an endless keystream. Read, Words and Uint64 consume the same
// bytes in order, whatever the mix of calls. It is not safe for concurrent
// use, must not be copied, and prints as "[redacted]".
type Stream struct {
	ctr cipher.Stream
	pos int // buf[pos:] is the next part of the keystream
	buf [bufBytes]byte
}

// Read fills p with the next len(p) bytes. It never fails and never returns
// fewer bytes.
func (s *Stream) Read(p []byte) (int, error) {
	n := copy(p, s.buf[s.pos:])
	s.pos += n
	rest := p[n:]
	for len(rest) >= bufBytes {
		s.ctr.XORKeyStream(rest[:bufBytes], zeros[:])
		rest = rest[bufBytes:]
	}
	if len(rest) > 0 {
		s.refill()
		s.pos = copy(rest, s.buf[:])
	}
	return len(p), nil
}

// Words fills dst with the next 8*len(dst) bytes as little-endian words.
func (s *Stream) Words(dst []uint64) {
	for len(dst) > 0 {
		n := min(len(dst), (bufBytes-s.pos)/8)
		if n == 0 {
			dst[0] = s.split()
			dst = dst[1:]
			continue
		}
		src := s.buf[s.pos : s.pos+8*n]
		for i := range dst[:n] {
			dst[i] = binary.LittleEndian.Uint64(src[8*i:])
		}
		s.pos += 8 * n
		dst = dst[n:]
	}
}

// Uint64 returns the next word: the value Words would give for one.
func (s *Stream) Uint64() uint64 {
	if s.pos+8 > bufBytes {
		return s.split()
	}
	w := binary.LittleEndian.Uint64(s.buf[s.pos:])
	s.pos += 8
	return w
}

// split returns the next word where the buffer holds fewer than 8 bytes.
func (s *Stream) split() uint64 {
	var b [8]byte
	n := copy(b[:], s.buf[s.pos:])
	s.refill()
	s.pos = copy(b[n:], s.buf[:])
	return binary.LittleEndian.Uint64(b[:])
}

// refill replaces the buffer; the caller has consumed it.
func (s *Stream) refill() {
	s.ctr.XORKeyStream(s.buf[:], zeros[:])
	s.pos = 0
}

// String returns "[redacted]".
func (*Stream) String() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (*Stream) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (*Stream) LogValue() slog.Value { return slog.StringValue(redacted) }
