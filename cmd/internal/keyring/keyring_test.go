package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/veilsum/veilsum/cmd/internal/keyring"
)

func identity(text string) keyring.Unlock {
	return keyring.Unlock{Identity: func() ([]byte, error) { return []byte(text), nil }}
}

// TestAtRest: both kinds of recipient, and the passphrase, open what was written to them and nothing
// else does; the file holds no trace of the key.
func TestAtRest(t *testing.T) {
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct{ to, own, other string }{
		"x25519": {classic.Recipient().String(), classic.String(), hybrid.String()},
		"hybrid": {hybrid.Recipient().String(), "# a comment\n" + hybrid.String() + "\n", classic.String()},
	} {
		key, file, err := keyring.New([]string{x.to}, "")
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := keyring.Open(file, keyring.Unlock{}); !errors.Is(err, keyring.ErrLocked) {
			t.Error(name, err)
		}
		if _, err := keyring.Open(file, identity(x.other)); !errors.Is(err, keyring.ErrUnlock) {
			t.Error(name, err)
		}
		got, err := keyring.Open(file, identity(x.own))
		if err != nil || !got.Equal(key) {
			t.Error(name, err)
		}
		if bytes.Contains(file, []byte("PRIVATE KEY")) {
			t.Error(name, "the file is not encrypted")
		}
	}
}

// TestPassphrase needs the right one; scrypt makes each try cost about a second.
func TestPassphrase(t *testing.T) {
	key, file, err := keyring.New(nil, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	open := func(p string) error {
		got, err := keyring.Open(file, keyring.Unlock{Passphrase: func() (string, error) { return p, nil }})
		if err == nil && !got.Equal(key) {
			t.Error("another key")
		}
		return err
	}
	if err := open("correct horse"); err != nil {
		t.Error(err)
	}
	if err := open("wrong horse"); !errors.Is(err, keyring.ErrUnlock) {
		t.Error(err)
	}
}

// TestClear: keys in clear need nothing.
func TestClear(t *testing.T) {
	key, file, err := keyring.New(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keyring.Open(file, keyring.Unlock{}); err != nil || !got.Equal(key) {
		t.Error(err)
	}
}

// TestRefused: what is no key, no secret or no recipient is told apart, and never quoted.
func TestRefused(t *testing.T) {
	const secret = "AGE-SECRET-KEY-1NOTQUOTED"
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	_, file, err := keyring.New([]string{id.Recipient().String()}, "")
	if err != nil {
		t.Fatal(err)
	}
	_, noRecipient, err1 := keyring.New([]string{secret}, "")
	_, _, err2 := keyring.New([]string{id.Recipient().String()}, "and a passphrase")
	_, err3 := keyring.Open(file, identity(secret))
	if noRecipient != nil {
		t.Error("a file for no recipient")
	}
	for i, err := range []error{err1, err2, err3} {
		if !errors.Is(err, keyring.ErrSecret) || strings.Contains(err.Error(), "NOTQUOTED") {
			t.Error(i+1, err)
		}
	}
	for _, junk := range []string{"", "junk", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", strings.Repeat("x", 1<<20)} {
		if _, err := keyring.Open([]byte(junk), keyring.Unlock{}); !errors.Is(err, keyring.ErrFormat) {
			t.Errorf("%.20q: %v", junk, err)
		}
	}
	for _, n := range []int{len(file) / 2, len(file) - 40} { // cut, and damaged
		bad := bytes.Clone(file[:n])
		if _, err := keyring.Open(bad, identity(id.String())); !errors.Is(err, keyring.ErrUnlock) {
			t.Error(n, err)
		}
	}
	if _, err := keyring.Open([]byte("age-encryption.org/v1\njunk"), identity(id.String())); !errors.Is(err, keyring.ErrUnlock) {
		t.Error(err)
	}
}

// TestSource reads files and standard input once, and takes one line as a passphrase.
func TestSource(t *testing.T) {
	s := keyring.Source{Path: "-", Stdin: strings.NewReader("a pass phrase\r\n")}
	for range 2 {
		if line, err := s.Line(); line != "a pass phrase" || err != nil {
			t.Errorf("%q %v", line, err)
		}
	}
	none := keyring.Source{}
	if line, err := none.Line(); line != "" || err != nil {
		t.Error(line, err)
	}
	path := filepath.Join(t.TempDir(), "p")
	for _, text := range []string{"", "\n", "two\nlines\n", strings.Repeat("x", 20_000)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := keyring.Source{Path: path}
		if _, err := s.Line(); !errors.Is(err, keyring.ErrSecret) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	s = keyring.Source{Path: path + "-absent"}
	if _, err := s.Line(); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// FuzzOpen: no file makes Open panic or give a key that was not written.
func FuzzOpen(f *testing.F) {
	key, clear, err := keyring.New(nil, "")
	if err != nil {
		f.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	locked, file, err := keyring.New([]string{id.Recipient().String()}, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(clear)
	f.Add(file)
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := keyring.Open(b, identity(id.String()))
		if bytes.Equal(b, clear) && (err != nil || !got.Equal(key)) || bytes.Equal(b, file) && (err != nil || !got.Equal(locked)) {
			t.Error(err)
		}
	})
}

// A key that was encrypted with age opens with the identity alone.
func Example() {
	id, _ := age.GenerateX25519Identity()
	key, file, _ := keyring.New([]string{id.Recipient().String()}, "")
	_, err := keyring.Open(file, keyring.Unlock{})
	fmt.Println(err)
	got, err := keyring.Open(file, keyring.Unlock{Identity: func() ([]byte, error) { return []byte(id.String()), nil }})
	fmt.Println(got.Equal(key), err)
	// Output:
	// the key is encrypted
	// true <nil>
}
