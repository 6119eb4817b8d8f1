package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint names a log up to a size: the head of the tree of its first Size
// entries. The zero value means "none yet". It is what a vote names (by [Checkpoint.ID]),
// what a decryptor remembers, and what an auditor keeps.
type Checkpoint struct {
	Origin string // [Scope.Origin]
	Size   int64  // entries, at least 1
	Root   ID     // RFC 6962 tree hash
}

// IsZero tells whether there is no checkpoint.
func (c Checkpoint) IsZero() bool { return c == Checkpoint{} }

// Text is the body of a C2SP tlog-checkpoint: origin, size and root, one a line.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// ID returns the SHA-256 of the text: the identity of a checkpoint, whoever signed it.
func (c Checkpoint) ID() ID { return sha256.Sum256([]byte(c.Text())) }

// ParseCheckpoint reads the text of a checkpoint of this package. Extension
// lines, which C2SP allows, are refused: they would change the identity.
func ParseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	if len(text) > 1024 || len(lines) != 4 {
		return c, fmt.Errorf("%w: a checkpoint has three lines", ErrEntry)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	root, err2 := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || err2 != nil || size < 1 || size > maxIndex || len(root) != len(c.Root) {
		return c, fmt.Errorf("%w: checkpoint of size %.20q", ErrEntry, lines[1])
	}
	c = Checkpoint{Origin: lines[0], Size: size, Root: ID(root)}
	if c.Text() != text || c.Origin == "" {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint not in canonical form", ErrEntry)
	}
	return c, nil
}

// Sign returns the checkpoint as a signed note (C2SP signed-note, Ed25519)
// under the name of its origin.
func (c Checkpoint) Sign(key ed25519.PrivateKey) ([]byte, error) {
	s, err := newSigner(c.Origin, key)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: c.Text()}, s)
}

// OpenCheckpoint reads a signed checkpoint of the log of that origin. At
// least one of the keys must have signed it, and no signature of theirs may be wrong.
func OpenCheckpoint(data []byte, origin string, keys ...ed25519.PublicKey) (Checkpoint, error) {
	if len(data) > maxNote {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint of %d bytes", ErrEntry, len(data))
	}
	known := make([]note.Verifier, 0, len(keys))
	for _, k := range keys {
		v, err := newVerifier(origin, k)
		if err != nil {
			return Checkpoint{}, err
		}
		known = append(known, v)
	}
	return openNote(data, origin, note.VerifierList(known...))
}

func openNote(data []byte, origin string, known note.Verifiers) (Checkpoint, error) {
	n, err := note.Open(data, known)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: checkpoint: %w", ErrCorrupt, err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err == nil && c.Origin != origin {
		err = fmt.Errorf("%w: checkpoint of %.100q", ErrCorrupt, c.Origin)
	}
	return c, err
}

// signer is a note.Signer with an Ed25519 key that is not in note's own text form.
type signer struct {
	note.Verifier
	key ed25519.PrivateKey
}

func newSigner(name string, key ed25519.PrivateKey) (signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return signer{}, fmt.Errorf("%w: signing key of %d bytes", ErrEntry, len(key))
	}
	v, err := newVerifier(name, key.Public().(ed25519.PublicKey))
	return signer{v, key}, err
}

// Sign implements note.Signer.
func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

func newVerifier(name string, key ed25519.PublicKey) (note.Verifier, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: public key of %d bytes", ErrEntry, len(key))
	}
	text, err := note.NewEd25519VerifierKey(name, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return v, nil
}
