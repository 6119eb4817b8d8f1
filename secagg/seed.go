package secagg

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg/internal/redact"
)

// ErrSeed says that the ingredients of a client seed are malformed.
var ErrSeed = errors.New("secagg: bad client seed")

// deviceSecretBytes is the length of e in section 4.
const deviceSecretBytes = 32

// ClientSeed is R of section 4: everything random in one report follows from
// it. It prints as "[redacted]". One seed seals one message once: two messages
// under one seed and round differ by exactly the difference of their
// ciphertexts, and both can be read by whoever learns one. The zero value seals
// nothing.
type ClientSeed struct {
	secret
	r hidden[[32]byte]
}

// NewClientSeed draws a client seed (section 4). It hedges the randomness of
// the operating system with deviceSecret (32 bytes that never leave the
// vehicle) and with digest, a hash of the message that is going to be sealed:
// if a broken generator repeats itself, the seed repeats only for the same
// device, round and message, and then all of the report but its boxes repeats
// and reveals nothing new. The boxes are not hedged: [Sealed.Box] draws from the
// operating system.
func NewClientSeed(deviceSecret []byte, roundID, digest [32]byte) (ClientSeed, error) {
	if len(deviceSecret) != deviceSecretBytes {
		return ClientSeed{}, fmt.Errorf("%w: device secret is not %d bytes", ErrSeed, deviceSecretBytes)
	}
	var u [32]byte
	if _, err := rand.Read(u[:]); err != nil {
		return ClientSeed{}, fmt.Errorf("%w: %w", ErrSeed, err)
	}
	return deriveClientSeed(u, deviceSecret, roundID, digest), nil
}

// deriveClientSeed is KDF(u || e || RoundID || h, "client"). All four have a
// fixed length, so the concatenation is injective.
func deriveClientSeed(u [32]byte, deviceSecret []byte, roundID, digest [32]byte) ClientSeed {
	var ikm [4 * 32]byte
	copy(ikm[:32], u[:])
	copy(ikm[32:64], deviceSecret)
	copy(ikm[64:96], roundID[:])
	copy(ikm[96:], digest[:])
	defer clear(ikm[:])
	return ClientSeed{r: redact.Hide(sampler.Derive(ikm[:], "client"))}
}
