package calls

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/veilsum/veilsum/schema"
)

const pemType = "PRIVATE KEY"

type path struct {
	Path string `json:"path"`
}

type public struct {
	PublicKey schema.PublicKey `json:"public_key"`
}

// newKey writes a signing key as "veilsum key new" does: PKCS #8 in PEM, for its owner only, never overwritten.
func newKey(_ *call, q path) (any, error) {
	key, err := writeKey(q.Path)
	if err != nil {
		return nil, err
	}
	return public{schema.NewPublicKey(key)}, nil
}

func writeKey(name string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeNew(name, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
}

// writeNew writes a private file whole, and not over another one.
func writeNew(name string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".tmp-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil { // made with mode 0600
		return err
	}
	if err := os.Link(tmp.Name(), name); errors.Is(err, os.ErrExist) {
		return mistake("%s exists; it is not overwritten", name)
	} else if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func publicKey(_ *call, q path) (any, error) {
	key, err := readKey(q.Path)
	if err != nil {
		return nil, err
	}
	return public{schema.NewPublicKey(key)}, nil
}

// readKey reads a signing key; its errors never quote the file.
func readKey(name string) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if strings.Contains(string(b[:min(len(b), 200)]), "AGE ENCRYPTED FILE") {
		return nil, mistake("%s is encrypted: this package reads keys in clear only; put it on a private tmpfs with \"age -d\"", name)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != pemType {
		return nil, mistake("%s: not an Ed25519 private key in PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if own, ok := key.(ed25519.PrivateKey); ok && err == nil {
		return own, nil
	}
	return nil, mistake("%s: not an Ed25519 private key in PEM", name)
}

// readPublic takes a public key in hexadecimal, or the name of a file that holds it.
func readPublic(s string) (schema.PublicKey, error) {
	var p schema.PublicKey
	if p.UnmarshalText([]byte(s)) == nil {
		return p, nil
	}
	b, err := os.ReadFile(s)
	if err != nil {
		return p, mistake("owner: %.40q is neither a public key of 64 hexadecimal digits nor a readable file", s)
	}
	if p.UnmarshalText([]byte(strings.TrimSpace(string(b)))) != nil {
		return p, mistake("owner: file %s holds no public key", s)
	}
	return p, nil
}

func parseTask(s string) (schema.TaskID, error) {
	d, err := schema.ParseDigest(s)
	if err != nil {
		return schema.TaskID{}, mistake("task: %w", err)
	}
	return schema.TaskID{Digest: d}, nil
}

func parseDigests(list []string) ([]schema.ReportID, error) {
	ids := make([]schema.ReportID, len(list))
	for i, s := range list {
		d, err := schema.ParseDigest(s)
		if err != nil {
			return nil, mistake("report %d: %w", i, err)
		}
		ids[i].Digest = d
	}
	return ids, nil
}

// vehicle files, as "veilsum client init" writes them.
const (
	identityFile = "identity.pem"
	configFile   = "vehicle.json"
)

func inDir(dir, name string) (string, error) {
	if dir == "" {
		return "", mistake("a state directory is required")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("python: %w", err)
	}
	return filepath.Join(dir, name), nil
}
