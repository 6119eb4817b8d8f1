package keyfile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/schema"
)

// TestPKCS8: a key's file is what package x509 writes and reads.
func TestPKCS8(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.pem")
	key, err := keyfile.New(path, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil || !bytes.Equal(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})) {
		t.Errorf("%s (%v)", text, err)
	}
	if got, err := keyfile.Read(path); err != nil || !got.Equal(key) {
		t.Error(err)
	}
	if _, err := keyfile.New(path, false); err == nil {
		t.Error("overwritten")
	}
}

// TestDecodeRefuses other keys and damage, without quoting them.
func TestDecodeRefuses(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := keyfile.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	wrap := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	for name, bad := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)/2], "other kind": wrap("PRIVATE KEY", der), "other label": wrap("PUBLIC KEY", block.Bytes),
		"short": wrap("PRIVATE KEY", block.Bytes[:47]), "long": wrap("PRIVATE KEY", append(bytes.Clone(block.Bytes), 0)),
	} {
		if _, err := keyfile.Decode(bad); !errors.Is(err, keyfile.ErrFormat) {
			t.Error(name, err)
		}
	}
	if _, err := keyfile.Encode(nil); !errors.Is(err, keyfile.ErrFormat) {
		t.Error(err)
	}
}

// TestReadPublic takes a key or its file, and no private one.
func TestReadPublic(t *testing.T) {
	dir := t.TempDir()
	key, err := keyfile.New(filepath.Join(dir, "k.pem"), false)
	if err != nil {
		t.Fatal(err)
	}
	want := schema.NewPublicKey(key)
	file := filepath.Join(dir, "k.pub")
	if err := keyfile.Write(file, []byte(want.String()+"\n"), 0o644, false); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{want.String(), file} {
		if got, err := keyfile.ReadPublic(s); err != nil || got != want {
			t.Error(s, err)
		}
	}
	for _, s := range []string{"", "zz", filepath.Join(dir, "k.pem"), filepath.Join(dir, "absent")} {
		if _, err := keyfile.ReadPublic(s); err == nil {
			t.Error(s)
		}
	}
}
