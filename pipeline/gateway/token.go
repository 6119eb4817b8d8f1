package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
)

// challengeLife is how long a challenge may wait for its login, over the slowest link.
const challengeLife = 2 * time.Minute

// maxUsed bounds the challenges that are remembered as used, 24 bytes each and overhead.
const maxUsed = 1 << 17

// tokens makes challenges and tokens and knows its own again by a MAC under a key of this process: both
// take no memory until they are used, and all end with the process.
type tokens struct {
	key  [32]byte
	now  func() time.Time
	life time.Duration

	mu   sync.Mutex
	used map[[16]byte]int64 // challenges that were spent on a login, until they expire
}

// Format implements fmt.Formatter: the key is never printed.
func (*tokens) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (*tokens) LogValue() slog.Value { return slog.StringValue("[redacted]") }

func newTokens(now func() time.Time, life time.Duration) (*tokens, error) {
	t := &tokens{now: now, life: life, used: map[[16]byte]int64{}}
	if _, err := rand.Read(t.key[:]); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return t, nil
}

// seal appends the MAC over label and body. The label keeps a challenge from being read as a token.
func (t *tokens) seal(label byte, body []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(body, t.mac(label, body)...))
}

func (t *tokens) mac(label byte, body []byte) []byte {
	h := hmac.New(sha256.New, t.key[:])
	h.Write([]byte{label})
	h.Write(body)
	return h.Sum(nil)
}

// open returns the body if the MAC is right.
func (t *tokens) open(label byte, s string, n int) ([]byte, bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(n+sha256.Size) {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, false
	}
	body, mac := b[:n], b[n:]
	return body, hmac.Equal(mac, t.mac(label, body))
}

const (
	labelChallenge = 'c'
	labelToken     = 't'

	challengeBytes = 16 + 8
	tokenBytes     = 8 + 16 + 32 + 8 + 4
)

func (t *tokens) challenge() (wire.Challenge, error) {
	b := make([]byte, challengeBytes, challengeBytes+sha256.Size)
	if _, err := rand.Read(b[:16]); err != nil {
		return wire.Challenge{}, fmt.Errorf("gateway: %w", err)
	}
	binary.LittleEndian.PutUint64(b[16:], uint64(t.now().Add(challengeLife).Unix()))
	return wire.Challenge{Challenge: t.seal(labelChallenge, b), ExpiresIn: int(challengeLife / time.Second)}, nil
}

// fresh tells whether a challenge is ours, has not expired and was not spent.
func (t *tokens) fresh(challenge string) bool {
	b, ok := t.open(labelChallenge, challenge, challengeBytes)
	if !ok || t.now().Unix() >= int64(binary.LittleEndian.Uint64(b[16:])) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, spent := t.used[[16]byte(b)]
	return !spent
}

// spend uses a fresh challenge up; false if another login was faster. Only valid signatures
// come so far, so nobody outside of the fleet can fill the memory.
func (t *tokens) spend(challenge string) (bool, error) {
	b, ok := t.open(labelChallenge, challenge, challengeBytes)
	if !ok {
		return false, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.used) >= maxUsed {
		now := t.now().Unix()
		for k, expiry := range t.used {
			if now >= expiry {
				delete(t.used, k)
			}
		}
	}
	if len(t.used) >= maxUsed {
		return false, unavailable(nil, "too many logins")
	}
	if _, spent := t.used[[16]byte(b)]; spent {
		return false, nil
	}
	t.used[[16]byte(b)] = int64(binary.LittleEndian.Uint64(b[16:]))
	return true, nil
}

// bearer is what a token stands for.
type bearer struct {
	vehicle schema.VehicleID
	round   pipeline.RoundName
}

func (t *tokens) mint(v bearer) wire.Token {
	le := binary.LittleEndian
	b := make([]byte, 0, tokenBytes+sha256.Size)
	b = le.AppendUint64(b, uint64(t.now().Add(t.life).Unix()))
	b = append(append(b, v.vehicle[:]...), v.round.Task.Digest[:]...)
	b = le.AppendUint32(le.AppendUint64(b, v.round.Epoch), v.round.Lane)
	return wire.Token{Token: t.seal(labelToken, b), ExpiresIn: int(t.life / time.Second)}
}

func (t *tokens) parse(token string) (bearer, bool) {
	b, ok := t.open(labelToken, token, tokenBytes)
	le := binary.LittleEndian
	if !ok || t.now().Unix() >= int64(le.Uint64(b)) {
		return bearer{}, false
	}
	v := bearer{vehicle: schema.VehicleID(b[8:24])}
	v.round.Task.Digest = schema.Digest(b[24:56])
	v.round.Epoch, v.round.Lane = le.Uint64(b[56:]), le.Uint32(b[64:])
	return v, true
}
