package realshare

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// committee opens with any three of four members.
var committee = schema.Committee{Size: 4, Threshold: 3, Malicious: 1}

// keysLive is how long round keys may live; a run takes minutes.
const keysLive = 24 * time.Hour

// world is everybody who takes part in the real round.
type world struct {
	c          *Config
	owner      schema.PublicKey
	collector  *collector.Collector
	decryptors []*decryptor.Decryptor
	locked     []*state.Dir
	identities []client.Identity
	plan       *pipeline.Plan
	round      *pipeline.Round
	gate       *gate
	delivered  int   // reports before the close
	cuts       []int // where uploads were broken on purpose, in bytes of their pieces
}

func newWorld(ctx context.Context, c *Config) (w *world, err error) {
	w = &world{c: c}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	keys := make([]ed25519.PrivateKey, 3+committee.Size)
	for i := range keys {
		if _, keys[i], err = ed25519.GenerateKey(rand.Reader); err != nil {
			return w, err
		}
	}
	owner, authority, collects, members := keys[0], keys[1], keys[2], keys[3:]
	w.owner = schema.NewPublicKey(owner)
	task := Task(c.Scenario, c.Privacy)
	task.Owner, task.Authority, task.Collector = w.owner, schema.NewPublicKey(authority), schema.NewPublicKey(collects)
	task.Committee.Keys = nil
	for _, m := range members {
		task.Committee.Keys = append(task.Committee.Keys, schema.NewPublicKey(m))
	}
	task.Batch = schema.Batch{Min: c.least(), Max: c.Vehicles, Lanes: 1}
	if c.Suite != 0 {
		task.Suite = c.Suite
	}
	if w.collector, err = collector.New(collects, nil); err != nil {
		return w, err
	}
	id, plan, err := pipeline.PublishTask(ctx, c.Store, task, owner)
	if err != nil {
		return w, err
	}
	w.plan = plan
	snapshot, err := w.enroll(ctx, authority)
	if err != nil {
		return w, err
	}
	name := pipeline.RoundName{Task: id, Epoch: 1}
	if err := w.seat(ctx, name, members); err != nil {
		return w, err
	}
	w.round, err = w.collector.Open(ctx, c.Store, plan, collector.Opening{
		Name: name, Model: make([]byte, c.Scenario.Report.ModelBytes), OldestModel: 1, Snapshot: snapshot, Deadline: time.Now().Add(keysLive / 2),
	})
	if err != nil {
		return w, err
	}
	w.gate, err = newGate(c, w.owner)
	return w, err
}

func (w *world) enroll(ctx context.Context, authority ed25519.PrivateKey) (schema.Digest, error) {
	var list []schema.Enrolled
	for range w.c.Vehicles {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return schema.Digest{}, err
		}
		v := client.Identity{Key: key}
		for _, b := range [][]byte{v.ID[:], v.DeviceSecret[:]} {
			if _, err := rand.Read(b); err != nil {
				return schema.Digest{}, err
			}
		}
		w.identities, list = append(w.identities, v), append(list, schema.Enrolled{ID: v.ID, Key: schema.PublicKey(public)})
	}
	return pipeline.PublishSnapshot(ctx, w.c.Store, w.plan, 1, list, authority)
}

// seat opens the decryptors and publishes their keys.
func (w *world) seat(ctx context.Context, name pipeline.RoundName, members []ed25519.PrivateKey) error {
	for k, key := range members {
		dir, err := state.Open(filepath.Join(w.c.Folder, "decryptor-"+strconv.Itoa(k)), state.WithoutSync())
		if err != nil {
			return err
		}
		w.locked = append(w.locked, dir)
		d, err := decryptor.New(decryptor.Config{State: dir, Key: key, Owner: w.owner})
		if err != nil {
			return err
		}
		w.decryptors = append(w.decryptors, d)
		if _, err := d.PublishKeys(ctx, w.c.Store, name.Task, name.Epoch, name.Epoch, time.Now().Add(keysLive)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) close() {
	if w.gate != nil {
		w.gate.close()
	}
	for _, dir := range w.locked {
		dir.Close()
	}
}

// gate is a gateway on a free port of this machine.
type gate struct {
	url    string
	cas    *x509.CertPool
	server *http.Server
	done   chan struct{}

	mu       sync.Mutex
	requests int // but those of pieces
	refused  int
}

func newGate(c *Config, owner schema.PublicKey) (*gate, error) {
	g := &gate{cas: x509.NewCertPool(), done: make(chan struct{})}
	const host = "127.0.0.1"
	certificate, err := gateway.SelfSigned([]string{host}, keysLive)
	if err != nil {
		return nil, err
	}
	g.cas.AddCert(certificate.Leaf)
	door, err := gateway.New(gateway.Config{
		Store: c.Store, Owner: owner, Names: []string{host}, Observe: g.observe, Limits: gateway.Limits{Burst: 1 << 16, PerAddress: -1},
	})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		return nil, err
	}
	g.url = "https://" + l.Addr().String()
	g.server = door.NewServer(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil })
	go func() {
		defer close(g.done)
		_ = g.server.ServeTLS(door.Listen(l), "", "") // ends with the server
	}()
	return g, nil
}

func (g *gate) observe(o gateway.Observation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o.Route != "piece" {
		g.requests++
	}
	switch {
	case o.Code == "" || o.Status == http.StatusNotFound: // a receipt that is not there yet is no refusal
	case o.Route == "piece" && (o.Status == http.StatusBadRequest || o.Status == http.StatusServiceUnavailable): // its link broke
	default:
		g.refused++
	}
}

// take returns the counts and starts them anew.
func (g *gate) take() (requests, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	requests, refused = g.requests, g.refused
	g.requests, g.refused = 0, 0
	return requests, refused
}

func (g *gate) remote(v client.Identity, over *wire) (*remote.Store, error) {
	return remote.Open(remote.Config{URL: g.url, Vehicle: v.ID, Key: v.Key, RootCAs: g.cas, Dial: over.dial, Backoff: time.Millisecond})
}

func (g *gate) close() {
	_ = g.server.Close()
	<-g.done
}
