package sampler_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"pgregory.net/rapid"
)

// hkdfByHand is RFC 5869 sections 2.2 and 2.3 for one block and an empty salt.
func hkdfByHand(secret []byte, info string) []byte {
	extract := hmac.New(sha256.New, make([]byte, sha256.Size))
	extract.Write(secret)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write([]byte(info))
	expand.Write([]byte{1})
	return expand.Sum(nil)
}

// TestHKDFByHand ties the oracle above to RFC 5869 appendix A.3 (its first 32 bytes).
func TestHKDFByHand(t *testing.T) {
	const want = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
	if got := hex.EncodeToString(hkdfByHand(bytes.Repeat([]byte{0x0b}, 22), "")); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestDerive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "secret")
		label := rapid.String().Draw(t, "label")
		got := sampler.Derive(secret, label)
		if want := hkdfByHand(secret, "veilsum/1/"+label); !bytes.Equal(got[:], want) {
			t.Fatalf("got %x, want %x", got, want)
		}
	})
}

func TestDeriveKnownAnswer(t *testing.T) {
	got := sampler.Derive(bytes.Repeat([]byte{7}, 32), "prg")
	if h := hex.EncodeToString(got[:]); h != knownDerive {
		t.Fatalf("got %s, want %s", h, knownDerive)
	}
	if got == sampler.Derive(bytes.Repeat([]byte{7}, 32), "com") {
		t.Fatal("two labels gave one key")
	}
}

// keystream is the same stream from crypto/cipher, one block at a time.
func keystream(key [32]byte, index uint64, n int) []byte {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	out := make([]byte, 0, n+16)
	for i := uint64(0); len(out) < n; i++ {
		var in, b [16]byte
		binary.BigEndian.PutUint64(in[:8], index)
		binary.BigEndian.PutUint64(in[8:], i)
		block.Encrypt(b[:], in[:])
		out = append(out, b[:]...)
	}
	return out[:n]
}

func TestStreamKnownAnswer(t *testing.T) {
	key := sampler.Derive([]byte("secret"), "test")
	for _, index := range []uint64{0, 1, 1 << 40, ^uint64(0)} {
		got := make([]byte, 5000)
		if n, err := sampler.NewKey(key).Stream(index).Read(got); n != len(got) || err != nil {
			t.Fatalf("Read: %d, %v", n, err)
		}
		if !bytes.Equal(got, keystream(key, index, len(got))) {
			t.Fatalf("index %d: differs from AES block by block", index)
		}
		want := make([]byte, len(got))
		block, _ := aes.NewCipher(key[:])
		iv := binary.BigEndian.AppendUint64(nil, index)
		cipher.NewCTR(block, append(iv, make([]byte, 8)...)).XORKeyStream(want, want)
		if !bytes.Equal(got, want) {
			t.Fatalf("index %d: differs from crypto/cipher", index)
		}
	}
	var b [32]byte
	_, _ = sampler.NewKey([32]byte{1, 2, 3}).Stream(5).Read(b[:])
	if h := hex.EncodeToString(b[:]); h != knownStream {
		t.Fatalf("got %s, want %s", h, knownStream)
	}
}

// TestStreamOrder checks that any mix of calls yields one keystream in order.
func TestStreamOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		index := rapid.Uint64().Draw(t, "index")
		s := sampler.NewKey(key).Stream(index)
		var got []byte
		for range rapid.IntRange(1, 12).Draw(t, "calls") {
			n := rapid.OneOf(rapid.IntRange(0, 20), rapid.IntRange(0, 5000)).Draw(t, "n")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				p := bytes.Repeat([]byte{0xaa}, n)
				if k, err := s.Read(p); k != n || err != nil {
					t.Fatalf("Read: %d, %v", k, err)
				}
				got = append(got, p...)
			case 1:
				w := make([]uint64, n/8)
				s.Words(w)
				for _, x := range w {
					got = binary.LittleEndian.AppendUint64(got, x)
				}
			default:
				got = binary.LittleEndian.AppendUint64(got, s.Uint64())
			}
		}
		if !bytes.Equal(got, keystream(key, index, len(got))) {
			t.Fatal("keystream out of order")
		}
	})
}

// TestStreamsDiffer: 8 equal words between two keystreams have probability
// below 2^-490 over all pairs here, so any hit is a fault.
func TestStreamsDiffer(t *testing.T) {
	seen := map[[64]byte]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for k := range byte(4) {
		key := sampler.NewKey([32]byte{k})
		for index := range uint64(64) { // one Key, many goroutines
			wg.Go(func() {
				var b [64]byte
				_, _ = io.ReadFull(key.Stream(index), b[:])
				mu.Lock()
				defer mu.Unlock()
				name := fmt.Sprintf("key %d index %d", k, index)
				if was, dup := seen[b]; dup {
					t.Errorf("%s equals %s", name, was)
				}
				seen[b] = name
			})
		}
	}
	wg.Wait()
}

func TestRedaction(t *testing.T) {
	key := sampler.NewKey([32]byte{1})
	s := key.Stream(0)
	_ = s.Uint64()
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	l.Info("x", "key", key, "value", *key, "stream", s)
	if n := strings.Count(log.String(), "[redacted]"); n != 3 {
		t.Errorf("log shows %q", log.String())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{key, *key, s} {
			if got := fmt.Sprintf(verb, v); got != "[redacted]" {
				t.Errorf("%s of %T shows %q", verb, v, got)
			}
		}
	}
	if key.String() != "[redacted]" || s.String() != "[redacted]" {
		t.Error("String shows the secret")
	}
}
