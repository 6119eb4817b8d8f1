// Package keyring keeps signing keys in files: those of package keyfile, in clear or
// encrypted at rest with age (age-encryption.org/v1, armored), to recipients or with a passphrase.
//
// [New] makes a key and the content of its file, [Open] reads one of either form.
// Secrets come from files or from standard input, never from flags or the environment, and no
// error quotes them.
package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/veilsum/veilsum/cmd/internal/keyfile"
)

// Errors that decide what a person does next.
var (
	// ErrFormat: the file holds no Ed25519 private key, open or encrypted.
	ErrFormat = keyfile.ErrFormat
	// ErrLocked: the file is encrypted, and nothing was given to open it.
	ErrLocked = errors.New("the key is encrypted")
	// ErrUnlock: what was given does not open the file.
	ErrUnlock = errors.New("the identity or passphrase does not open the key")
	// ErrSecret: an identity file, a passphrase file or a recipient cannot be used.
	ErrSecret = errors.New("unusable secret")
)

const (
	ageBegin = "age-encryption.org/"
	maxFile  = 64 << 10
)

func encrypted(text []byte) bool {
	return bytes.HasPrefix(text, []byte(ageBegin)) || bytes.HasPrefix(bytes.TrimSpace(text), []byte(armor.Header))
}

// New makes a key and the content of its file: in clear if recipients and
// passphrase are empty, else encrypted to all recipients or, alone, with the passphrase.
func New(recipients []string, passphrase string) (ed25519.PrivateKey, []byte, error) {
	to, err := parseRecipients(recipients, passphrase)
	if err != nil {
		return nil, nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	text, err := keyfile.Encode(key)
	if err != nil {
		return nil, nil, err
	}
	if len(to) == 0 {
		return key, text, nil
	}
	defer clear(text)
	b, err := encrypt(text, to)
	return key, b, err
}

func parseRecipients(all []string, passphrase string) ([]age.Recipient, error) {
	if passphrase != "" {
		if len(all) > 0 {
			return nil, fmt.Errorf("%w: recipients and a passphrase exclude each other", ErrSecret)
		}
		r, err := age.NewScryptRecipient(passphrase)
		return []age.Recipient{r}, err
	}
	if len(all) == 0 {
		return nil, nil
	}
	to, err := age.ParseRecipients(strings.NewReader(strings.Join(all, "\n")))
	if err != nil {
		return nil, fmt.Errorf("%w: want an age recipient, age1…", ErrSecret) // not quoted: it may be an identity by mistake
	}
	return to, nil
}

func encrypt(text []byte, to []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := errors.Join(w.Close(), a.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Unlock is what opens encrypted keys. Its functions are called only when a key needs
// them; nil, or an empty answer, gives none.
type Unlock struct {
	Identity   func() ([]byte, error) // content of an age identity file
	Passphrase func() (string, error)
}

// Open reads a key file of either form.
func Open(file []byte, u Unlock) (ed25519.PrivateKey, error) {
	if len(file) > maxFile {
		return nil, ErrFormat
	}
	if !encrypted(file) {
		return keyfile.Decode(file)
	}
	ids, err := u.identities()
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, ErrLocked
	}
	var src io.Reader = bytes.NewReader(file)
	if !bytes.HasPrefix(file, []byte(ageBegin)) {
		src = armor.NewReader(bytes.NewReader(file))
	}
	r, err := age.Decrypt(src, ids...)
	if wrong := (*age.NoIdentityMatchError)(nil); errors.As(err, &wrong) {
		return nil, ErrUnlock
	}
	if err != nil {
		return nil, fmt.Errorf("%w: damaged, or not for this kind of identity", ErrUnlock)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%w: damaged", ErrUnlock)
	}
	defer clear(text)
	return keyfile.Decode(text)
}

func (u Unlock) identities() ([]age.Identity, error) {
	var ids []age.Identity
	if u.Identity != nil {
		text, err := u.Identity()
		if err != nil {
			return nil, err
		}
		if len(text) > 0 {
			if ids, err = age.ParseIdentities(bytes.NewReader(text)); err != nil {
				return nil, fmt.Errorf("%w: no age identity file", ErrSecret)
			}
		}
	}
	if u.Passphrase == nil {
		return ids, nil
	}
	p, err := u.Passphrase()
	if err != nil || p == "" {
		return ids, err
	}
	s, err := age.NewScryptIdentity(p)
	return append(ids, s), err
}
