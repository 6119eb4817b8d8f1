package realshare

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/trial"
	"github.com/veilsum/veilsum/schema"
)

// world is everybody who takes part in the real round.
type world struct {
	*trial.Cast
	c         *Config
	collector *collector.Collector
	round     *pipeline.Round
	gate      *gate
	delivered int   // reports before the close
	cuts      []int // where uploads were broken on purpose, in bytes of their pieces
}

func newWorld(ctx context.Context, c *Config) (*world, error) {
	task := Task(c.Scenario, c.Privacy)
	task.Batch = schema.Batch{Min: c.least(), Max: c.Vehicles, Lanes: 1}
	if c.Suite != 0 {
		task.Suite = c.Suite
	}
	cast, err := trial.New(ctx, trial.Config{Store: c.Store, Dir: c.Folder, Task: task, Vehicles: c.Vehicles, Ahead: 1})
	if err != nil {
		return nil, err
	}
	w := &world{Cast: cast, c: c}
	if err := w.open(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// open opens the round and the gateway.
func (w *world) open(ctx context.Context) (err error) {
	if w.collector, err = collector.New(w.Collector, nil); err != nil {
		return err
	}
	w.round, err = w.collector.Open(ctx, w.c.Store, w.Plan, collector.Opening{
		Name:  pipeline.RoundName{Task: w.Task, Epoch: 1},
		Model: make([]byte, w.c.Scenario.Report.ModelBytes), OldestModel: 1, Snapshot: w.Snapshot, Deadline: time.Now().Add(certificateLife / 2),
	})
	if err != nil {
		return err
	}
	w.gate, err = newGate(w.c, w.Owner)
	return err
}

func (w *world) close() {
	if w.gate != nil {
		w.gate.close()
	}
	w.Close()
}

// certificateLife is how long the gateway's certificate holds; a run takes minutes.
const certificateLife = 24 * time.Hour

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
	certificate, err := gateway.SelfSigned([]string{host}, certificateLife)
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
