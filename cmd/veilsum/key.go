package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/schema"
)

// Signing keys are PKCS #8 PEM files (RFC 5958, RFC 8410), readable by their owner only.
const pemType = "PRIVATE KEY"

func (a *app) keyCommand() *cobra.Command {
	var force bool
	create := verb("new FILE", "Make a signing key", `Makes an Ed25519 key for the privacy owner, the collector or the enrollment
authority, writes it to FILE (PEM, mode 0600) and prints the public key. The
committee's keys are made by "committee init", a vehicle's by "client init".
Keep the three keys with three people: whoever holds two of them can do more than either.`,
		"  veilsum key new owner.pem > owner.pub", cobra.ExactArgs(1), func(_ context.Context, args []string) error {
			key, err := newKeyFile(args[0], force)
			if err != nil {
				return err
			}
			a.out.Result(publicResult{schema.NewPublicKey(key)})
			return nil
		})
	create.Flags().BoolVar(&force, "force", false, "overwrite an existing file; the old key is lost")
	show := verb("show FILE", "Print the public key of a key file", "", "  veilsum key show owner.pem", cobra.ExactArgs(1),
		func(_ context.Context, args []string) error {
			key, err := readKeyFile(args[0])
			if err != nil {
				return err
			}
			a.out.Result(publicResult{schema.NewPublicKey(key)})
			return nil
		})
	return noun("key", "Signing keys of the roles", create, show)
}

type publicResult struct {
	PublicKey schema.PublicKey `json:"public_key"`
}

// Text implements ui.Result.
func (r publicResult) Text() string { return r.PublicKey.String() + "\n" }

// newKeyFile makes a key and writes it; the file must not exist unless force.
func newKeyFile(path string, force bool) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), 0o600, force)
}

// readKeyFile reads a key; its errors never quote the file.
func readKeyFile(path string) (ed25519.PrivateKey, error) {
	if path == "" {
		return nil, &usageError{err: errors.New("--key is required"), hint: `"veilsum key new FILE" makes one`}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, withHint(err, `"veilsum key new FILE" makes a key`)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemType {
		return nil, usage("%s is not a PEM private key", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := k.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, usage("%s is not an Ed25519 private key", path)
	}
	return key, nil
}

// readPublic takes a public key in hexadecimal, or the name of a file that holds it.
func readPublic(s string) (schema.PublicKey, error) {
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
	if strings.Contains(string(b), pemType) {
		return p, &usageError{err: fmt.Errorf("file %s holds a private key", s), hint: "\"veilsum key show " + s + "\" prints the public one"}
	}
	if err := p.UnmarshalText([]byte(strings.TrimSpace(string(b)))); err != nil {
		return p, fmt.Errorf("file %s: %w", s, err)
	}
	return p, nil
}

// writeFile writes to a temporary file and renames it, so that a failure
// leaves no part. Without force an existing file is refused.
func writeFile(path string, data []byte, mode os.FileMode, force bool) error {
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
		return os.Rename(tmp.Name(), path)
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		if errors.Is(err, os.ErrExist) {
			return withHint(fmt.Errorf("%s exists", path), "choose another name, or pass --force to overwrite it")
		}
		return err
	}
	return nil
}
