package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// algCosignature is the signature type of C2SP tlog-cosignature v1.
const algCosignature = 0x04

// Cosign adds a witness's cosignature (C2SP tlog-cosignature v1) to a signed
// checkpoint: "I have seen no fork of this log up to here". name is the witness's,
// without spaces and plus signs. at is recorded to the second, for people: no
// rule of ours uses it. The checkpoint is not verified; do that first.
func Cosign(signed []byte, name string, key ed25519.PrivateKey, at time.Time) ([]byte, error) {
	if len(signed) > maxNote || len(key) != ed25519.PrivateKeySize || at.Unix() < 0 {
		return nil, fmt.Errorf("%w: cosign %d bytes with a key of %d bytes", ErrEntry, len(signed), len(key))
	}
	_, err := note.Open(signed, note.VerifierList())
	var n *note.UnverifiedNoteError
	if !errors.As(err, &n) {
		return nil, fmt.Errorf("%w: not a signed checkpoint: %w", ErrEntry, err)
	}
	out, err := note.Sign(n.Note, cosigner{cosignVerifier{name, key.Public().(ed25519.PublicKey)}, key, at})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return out, nil
}

// OpenCosigned reads a checkpoint of the log of that origin that the witness cosigned.
func OpenCosigned(data []byte, origin, name string, key ed25519.PublicKey) (Checkpoint, error) {
	if len(data) > maxNote || len(key) != ed25519.PublicKeySize {
		return Checkpoint{}, fmt.Errorf("%w: cosigned checkpoint of %d bytes, key of %d", ErrEntry, len(data), len(key))
	}
	return openNote(data, origin, note.VerifierList(cosignVerifier{name, key}))
}

type cosignVerifier struct {
	name string
	key  ed25519.PublicKey
}

// Name implements note.Verifier.
func (v cosignVerifier) Name() string { return v.name }

// KeyHash implements note.Verifier.
func (v cosignVerifier) KeyHash() uint32 {
	h := sha256.New()
	h.Write([]byte(v.name + "\n"))
	h.Write([]byte{algCosignature})
	h.Write(v.key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// Verify implements note.Verifier.
func (v cosignVerifier) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(v.key, cosigned(msg, binary.BigEndian.Uint64(sig)), sig[8:])
}

type cosigner struct {
	cosignVerifier
	private ed25519.PrivateKey
	at      time.Time
}

// Sign implements note.Signer.
func (s cosigner) Sign(msg []byte) ([]byte, error) {
	at := uint64(s.at.Unix())
	return append(binary.BigEndian.AppendUint64(nil, at), ed25519.Sign(s.private, cosigned(msg, at))...), nil
}

func cosigned(msg []byte, at uint64) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, msg)
}
