// Package vehicle is what a vehicle's programs do, without their flags: "veilsum
// client" and "veilsum-vehicle" differ in what they carry, not in what they do, and
// may take turns on one directory.
//
// A [Program] has one method for each verb. Each prints its result and returns
// the exit status of a command that went through, [exit.Done] or [exit.Refused], or an error.
package vehicle

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// A vehicle's directory holds these and the state of package client.
const (
	IdentityFile = "identity.pem"
	ConfigFile   = "vehicle.json"
)

// Program is one of the programs.
type Program struct {
	Name  string // as people call it, for hints: "veilsum client"
	Out   ui.Printer
	JSON  bool // results are for machines
	Stdin io.Reader

	// ReadKey and NewKey keep the vehicle's key, in whatever form the program knows.
	ReadKey func(path string) (ed25519.PrivateKey, error)
	NewKey  func(path string) (ed25519.PrivateKey, error)
	// OpenStore opens a store that is no gateway.
	OpenStore func(url string) (storage.Store, error)
	// ReadUpdate reads an update in a format that schema/tensors does not know; nil if there is none.
	ReadUpdate func(ctx context.Context, path string, want []schema.Tensor) ([]float32, error)
	// ReadValues reads local records in another format than JSON; nil if there is none.
	ReadValues func(ctx context.Context, path string) ([]statistics.Record, error)
}

// Where names a vehicle, its store and its task.
type Where struct {
	State string // the vehicle's directory
	Store string // URL
	CA    string // file with the certificates that vouch for a gateway; "" for the system's
	// Buckets are HOST:PORT of the gateway's S3 stores to which pieces may go straight.
	Buckets []string
	Task    string // TaskID in hexadecimal
	Owner   string // pinned key of the privacy owner, in hexadecimal or a file
}

// config is the file ConfigFile.
type config struct {
	ID           schema.VehicleID `json:"id"`
	DeviceSecret string           `json:"device_secret"` // 64 hexadecimal digits
	// The vehicle's floor: a task below it is refused.
	MinBatchSize    int     `json:"min_batch_size"`
	NoiseMultiplier float64 `json:"noise_multiplier"`
	// Fields are the local values that statistics may ask for; absent: all.
	Fields *[]string `json:"fields,omitempty"`
}

// WriteConfig writes a vehicle's configuration with a fresh device secret, which
// hedges its randomness. An existing one is kept, and an error.
func WriteConfig(dir string, id schema.VehicleID, floor client.Floor) error {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return err
	}
	v := config{ID: id, DeviceSecret: hex.EncodeToString(secret[:]), MinBatchSize: floor.MinBatchSize, NoiseMultiplier: floor.NoiseMultiplier}
	if floor.Fields != nil {
		v.Fields = &floor.Fields
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return keyfile.Write(filepath.Join(dir, ConfigFile), append(b, '\n'), 0o600, false)
}

// Identity reads who the vehicle is; its errors never quote the files.
func (p *Program) Identity(dir string) (client.Identity, client.Floor, error) {
	var id client.Identity
	if dir == "" {
		return id, client.Floor{}, &exit.Usage{Err: errors.New("--state is required"), Hint: "the vehicle's directory; \"" + p.Name + " init\" makes one"}
	}
	key, err := p.ReadKey(filepath.Join(dir, IdentityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return id, client.Floor{}, exit.WithHint(err, `--state is a vehicle's directory: "%s init" makes one`, p.Name)
	}
	if err != nil {
		return id, client.Floor{}, err
	}
	id.Key = key
	b, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if errors.Is(err, fs.ErrNotExist) {
		return id, client.Floor{}, exit.WithHint(err, `"%s init --id PSEUDONYM" writes it once the authority has enrolled the vehicle`, p.Name)
	}
	if err != nil {
		return id, client.Floor{}, err
	}
	floor, err := parseConfig(b, &id)
	if err != nil {
		return id, client.Floor{}, exit.Usagef("%s is damaged", filepath.Join(dir, ConfigFile))
	}
	return id, floor, nil
}

func parseConfig(b []byte, id *client.Identity) (client.Floor, error) {
	var v config
	if err := json.Unmarshal(b, &v); err != nil {
		return client.Floor{}, err
	}
	if len(v.DeviceSecret) != 2*len(id.DeviceSecret) {
		return client.Floor{}, errors.New("device_secret")
	}
	if _, err := hex.Decode(id.DeviceSecret[:], []byte(v.DeviceSecret)); err != nil {
		return client.Floor{}, err
	}
	id.ID = v.ID
	floor := client.Floor{MinBatchSize: v.MinBatchSize, NoiseMultiplier: v.NoiseMultiplier}
	if v.Fields != nil {
		floor.Fields = append([]string{}, *v.Fields...)
	}
	return floor, nil
}

// session is an open vehicle with a store and a verified task.
type session struct {
	*Program
	client *client.Client
	state  *state.Dir
	id     client.Identity
	store  storage.Store
	plan   *pipeline.Plan
	task   schema.TaskID
	floor  client.Floor
}

// open locks the vehicle's directory, opens the store and verifies the task.
func (p *Program) open(ctx context.Context, w Where) (*session, error) {
	task, owner, err := w.ids()
	if err != nil {
		return nil, err
	}
	s := &session{Program: p, task: task}
	if s.id, s.floor, err = p.Identity(w.State); err != nil {
		return nil, err
	}
	if s.store, err = p.openStore(w, s.id); err != nil {
		return nil, err
	}
	if s.state, err = state.Open(w.State); err != nil {
		return nil, err
	}
	s.client, err = client.New(client.Config{State: s.state, Identity: s.id, Owner: owner, Floor: s.floor})
	if err == nil {
		err = s.loadTask(ctx, owner)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) loadTask(ctx context.Context, owner schema.PublicKey) (err error) {
	if _, ok := s.store.(*remote.Store); !ok { // a gateway looks at its store itself
		if err := pipeline.CheckFormat(ctx, s.store); err != nil {
			return err
		}
	}
	s.plan, err = pipeline.LoadTask(ctx, s.store, s.task, owner)
	return err
}

func (s *session) close() {
	s.state.Close()
	if g, ok := s.store.(*remote.Store); ok {
		g.Close()
	}
}

func (w Where) ids() (task schema.TaskID, owner schema.PublicKey, err error) {
	if w.Task == "" {
		return task, owner, &exit.Usage{Err: errors.New("--task is required"), Hint: `"veilsum task new" printed the TaskID; or set VEILSUM_TASK`}
	}
	if task.Digest, err = schema.ParseDigest(w.Task); err != nil {
		return task, owner, &exit.Usage{Err: fmt.Errorf("--task %q: %w", w.Task, err), Hint: `"veilsum task new" printed it`}
	}
	owner, err = keyfile.ReadPublic(w.Owner)
	if u := (*exit.Usage)(nil); errors.As(err, &u) {
		return task, owner, &exit.Usage{Err: fmt.Errorf("--owner: %w", u.Err), Hint: u.Hint}
	}
	if err != nil {
		return task, owner, &exit.Usage{Err: fmt.Errorf("--owner: %w", err), Hint: "the privacy owner's public key, which you got on a way you trust; never take it from the store"}
	}
	return task, owner, nil
}

// openStore opens a gateway with the vehicle's identity, or another store.
func (p *Program) openStore(w Where, id client.Identity) (storage.Store, error) {
	if !strings.HasPrefix(w.Store, "https:") {
		if w.CA != "" || len(w.Buckets) > 0 {
			return nil, exit.Usagef("--ca and --bucket are for a gateway: --store https://HOST:PORT")
		}
		return p.OpenStore(w.Store)
	}
	c := remote.Config{URL: w.Store, Vehicle: id.ID, Key: id.Key, Buckets: w.Buckets}
	roots, err := ReadCAs(w.CA)
	if err != nil {
		return nil, err
	}
	c.RootCAs = roots
	s, err := remote.Open(c)
	if err != nil {
		return nil, &exit.Usage{Err: fmt.Errorf("--store %q: %w", w.Store, err), Hint: "a gateway is https://HOST or https://HOST:PORT"}
	}
	return s, nil
}

// ReadCAs reads the certificates that vouch for a gateway; nil means the system's.
func ReadCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, exit.WithHint(err, "--ca is a PEM file with the certificates that vouch for the gateway")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &exit.Usage{Err: fmt.Errorf("--ca %s: no certificate in PEM", file), Hint: "\"veilsum serve --self-signed\" writes one"}
	}
	return pool, nil
}
