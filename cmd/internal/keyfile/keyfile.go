// Package keyfile keeps signing keys in files: PKCS #8 in PEM (RFC 5958, RFC
// 8410), readable by their owner only, never overwritten unless asked to, and
// never quoted in an error.
package keyfile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/schema"
)

const pemType = "PRIVATE KEY"

// encrypted is in the first line of a file of package keyring.
const encrypted = "AGE ENCRYPTED FILE"

// New makes a key and writes it; the file must not exist unless force.
func New(path string, force bool) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	text, err := Encode(key)
	if err != nil {
		return nil, err
	}
	return key, Write(path, text, 0o600, force)
}

// prefix is what stands before the 32 bytes of the seed: RFC 8410 fixes every
// byte of a version 1 private key without attributes, which is what openssl and Go write.
// Package x509 would link all other kinds of keys, a tenth of a megabyte in a vehicle's program.
const prefix = "\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"

// Encode returns the text of a key's file.
func Encode(key ed25519.PrivateKey) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, ErrFormat
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: append([]byte(prefix), key.Seed()...)}), nil
}

// ErrFormat: a text is not the PEM of an Ed25519 private key.
var ErrFormat = errors.New("not an Ed25519 private key in PEM")

// Decode reads the text of a key's file, or returns ErrFormat.
func Decode(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, ErrFormat
	}
	seed, ok := bytes.CutPrefix(block.Bytes, []byte(prefix))
	if !ok || len(seed) != ed25519.SeedSize {
		return nil, ErrFormat
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Read reads a key; its errors never quote the file.
func Read(path string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := Decode(b)
	if err != nil {
		return nil, exit.Usagef("%s: %w", path, err)
	}
	return key, nil
}

// ReadPublic takes a public key in hexadecimal, or the name of a file that holds it.
func ReadPublic(s string) (schema.PublicKey, error) {
	var p schema.PublicKey
	if p.UnmarshalText([]byte(s)) == nil {
		return p, nil
	}
	if s == "" {
		return p, errors.New("a public key is required")
	}
	b, err := os.ReadFile(s)
	if err != nil {
		return p, fmt.Errorf("%.40q is neither a public key of 64 hexadecimal digits nor a readable file", s)
	}
	if text := string(b); strings.Contains(text, pemType) || strings.Contains(text, encrypted) {
		return p, &exit.Usage{Err: fmt.Errorf("file %s holds a private key", s), Hint: "\"veilsum key show " + s + "\" prints the public one"}
	}
	if err := p.UnmarshalText([]byte(strings.TrimSpace(string(b)))); err != nil {
		return p, fmt.Errorf("file %s: %w", s, err)
	}
	return p, nil
}

// Write writes to a temporary file and renames it, so that a failure
// leaves no part. Without force an existing file is refused.
func Write(path string, data []byte, mode os.FileMode, force bool) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-") // state.Open sweeps what a kill leaves of it
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		tmp.Close()
		return err
	}
	if err := errors.Join(tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if force {
		return errors.Join(os.Rename(tmp.Name(), path), syncDir(filepath.Dir(path)))
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		if errors.Is(err, os.ErrExist) {
			return exit.WithHint(fmt.Errorf("%s exists", path), "choose another name, or pass --force to overwrite it")
		}
		return err
	}
	return syncDir(filepath.Dir(path))
}

// MakeDir makes a private directory, and its parents, whose names survive a power cut.
func MakeDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MakeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// syncDir makes the names in a directory last: without it a power cut could take a key
// back whose public half is in use already.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
