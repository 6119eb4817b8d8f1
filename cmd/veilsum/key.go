package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/cmd/internal/keyring"
	"github.com/veilsum/veilsum/schema"
)

func (a *app) keyCommand() *cobra.Command {
	var force bool
	var recipients []string
	create := verb("new FILE", "Make a signing key", `Makes an Ed25519 key for the privacy owner, the collector or the enrollment
authority, writes it to FILE (PEM, mode 0600) and prints the public key. The
committee's keys are made by "committee init", a vehicle's by "client init".
Keep the three keys with three people: whoever holds two of them can do more than either.

With --recipient (age keys, "age-keygen -pq" makes post-quantum ones) or
--passphrase-file the file is encrypted with age. Every command opens such keys with
--identity or --passphrase-file; the "age" program can, too.`,
		`  veilsum key new owner.pem > owner.pub
  veilsum key new owner.pem --passphrase-file -
  veilsum key new collector.pem --recipient age1… && veilsum key show collector.pem --identity age-key.txt`, cobra.ExactArgs(1), func(_ context.Context, args []string) error {
			key, err := a.newKey(args[0], recipients, force)
			if err != nil {
				return err
			}
			a.out.Result(publicResult{schema.NewPublicKey(key)})
			return nil
		})
	create.Flags().BoolVar(&force, "force", false, "overwrite an existing file; the old key is lost")
	recipientFlag(create, &recipients)
	show := verb("show FILE", "Print the public key of a key file", "", "  veilsum key show owner.pem", cobra.ExactArgs(1),
		func(_ context.Context, args []string) error {
			key, err := a.readKey(args[0])
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

// newKeyFile makes a key and writes it in clear; the file must not exist unless force.
func newKeyFile(path string, force bool) (ed25519.PrivateKey, error) {
	return writeKey(path, nil, "", force)
}

func writeKey(path string, recipients []string, passphrase string, force bool) (ed25519.PrivateKey, error) {
	key, text, err := keyring.New(recipients, passphrase)
	if err != nil {
		return nil, keyError(path, err)
	}
	return key, writeFile(path, text, 0o600, force)
}

// newKey makes a key file: encrypted if there are recipients, or with --passphrase-file.
func (a *app) newKey(path string, recipients []string, force bool) (ed25519.PrivateKey, error) {
	passphrase, err := a.passphrase.Line()
	if err != nil {
		return nil, keyError(path, err)
	}
	return writeKey(path, recipients, passphrase, force)
}

func recipientFlag(c *cobra.Command, to *[]string) {
	c.Flags().StringArrayVar(to, "recipient", nil, "encrypt the key to this age recipient, age1…; may be repeated")
}

// readKey opens a key file of either form; its errors never quote the file.
func (a *app) readKey(path string) (ed25519.PrivateKey, error) {
	if path == "" {
		return nil, &usageError{Err: errors.New("--key is required"), Hint: `"veilsum key new FILE" makes one`}
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(err, `"veilsum key new FILE" makes a key`)
	}
	if err != nil {
		return nil, err
	}
	key, err := keyring.Open(b, keyring.Unlock{Identity: a.identity.Bytes, Passphrase: a.passphrase.Line})
	return key, keyError(path, err)
}

// keyError says which key, and how to open it.
func keyError(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrLocked):
		return &usageError{Err: fmt.Errorf("%s: %w", path, err), Hint: "pass --identity FILE or --passphrase-file FILE; - reads standard input"}
	case errors.Is(err, keyring.ErrFormat), errors.Is(err, keyring.ErrSecret):
		return usage("%s: %w", path, err)
	case errors.Is(err, keyring.ErrUnlock):
		return withHint(fmt.Errorf("%s: %w", path, err), "--identity must hold one of the key's recipients, or --passphrase-file its passphrase")
	}
	return err
}

// readPublic takes a public key in hexadecimal, or the name of a file that holds it.
func readPublic(s string) (schema.PublicKey, error) { return keyfile.ReadPublic(s) }

// writeFile writes a file whole or not at all; without force an existing one is refused.
func writeFile(path string, data []byte, mode os.FileMode, force bool) error {
	return keyfile.Write(path, data, mode, force)
}

// writeOnce is writeFile for a result: a step that is repeated finds its own file.
func writeOnce(path string, data []byte, force bool) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return writeFile(path, data, 0o644, force)
}
