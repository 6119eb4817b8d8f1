package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/schema"
)

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
	return keyfile.New(path, force)
}

// readKeyFile reads the key that --key names; its errors never quote the file.
func readKeyFile(path string) (ed25519.PrivateKey, error) {
	if path == "" {
		return nil, &usageError{Err: errors.New("--key is required"), Hint: `"veilsum key new FILE" makes one`}
	}
	key, err := keyfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(err, `"veilsum key new FILE" makes a key`)
	}
	return key, err
}

// readPublic takes a public key in hexadecimal, or the name of a file that holds it.
func readPublic(s string) (schema.PublicKey, error) { return keyfile.ReadPublic(s) }

// writeFile writes a file whole or not at all; without force an existing one is refused.
func writeFile(path string, data []byte, mode os.FileMode, force bool) error {
	return keyfile.Write(path, data, mode, force)
}
