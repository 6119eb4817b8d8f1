package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway"
)

type serveFlags struct {
	taskFlags
	tasks      []string
	listen     string
	metrics    string
	status     string
	public     bool
	otlp       string
	cert, key  string
	selfSigned string
	names      []string
	drain      time.Duration
	memory     int64
	verbose    bool
	presign    bool
	limits     gateway.Limits
}

const serveHelp = `Takes reports over HTTPS from vehicles that hold no keys to the store, and serves
them tasks, descriptors, round keys, receipts and models: a vehicle then uses
--store https://HOST:PORT. It logs in by a signature of the key that the round's
snapshot has for it, and can write nothing but its own report. Nothing is
acknowledged that is not durable in the store. GATEWAY.md has the protocol.

TLS is 1.3 only. SIGHUP reads --cert and --key again; with --self-signed FILE a
fresh key is made and the certificate written to FILE, for vehicles' --ca. --name
says by which hosts vehicles reach the gateway (default: the names in the
certificate); logins for another name are refused. Several gateways may serve one store.

SIGTERM stops gently: new uploads are sent away, those under way may end within
--drain. The log goes to the standard error as JSON lines, without addresses, payloads and
tokens. /healthz and /readyz are on both listeners, /metrics on --metrics only.
--status gives the read-only page of "status serve" on an address of its own, this machine's unless --status-public.
A store in a bucket spools each piece in TMPDIR.`

func (a *app) serveCommand() *cobra.Command {
	f := &serveFlags{}
	c := verb("serve", "Take reports over HTTPS from vehicles without keys to the store", serveHelp,
		"  veilsum serve --store s3://BUCKET?endpoint=HOST:PORT --owner owner.pub --listen :8443 --cert cert.pem --key key.pem --metrics 127.0.0.1:9100",
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return a.serve(ctx, f) })
	f.registerStore(c)
	flags := c.Flags()
	flags.StringVar(&f.owner, "owner", os.Getenv("VEILSUM_OWNER"), "pinned public key of the privacy owner, hexadecimal or a file (VEILSUM_OWNER)")
	flags.StringArrayVar(&f.tasks, "task", []string{"all"}, "TaskID that is served, several times or \"all\" that the owner signed")
	flags.StringVar(&f.listen, "listen", ":8443", "address for vehicles")
	flags.StringVar(&f.metrics, "metrics", "", "address for /metrics in the clear, 127.0.0.1:9100 for example; empty: none")
	flags.StringVar(&f.status, "status", "", "PORT or HOST:PORT for a status page in the clear, 8080 for example; empty: none")
	flags.BoolVar(&f.public, "status-public", false, "let --status listen on an address that other machines reach")
	flags.StringVar(&f.otlp, "otlp", "", otlpHelp)
	flags.StringVar(&f.cert, "cert", "", "certificate chain (PEM)")
	flags.StringVar(&f.key, "key", "", "its private key (PEM)")
	flags.StringVar(&f.selfSigned, "self-signed", "", "make a certificate for the names and write it to this file")
	flags.StringArrayVar(&f.names, "name", nil, "host by which vehicles reach this gateway, several times")
	flags.DurationVar(&f.drain, "drain", 30*time.Second, "time for uploads under way when stopping")
	flags.Int64Var(&f.memory, "memory", 192, "MiB above which the garbage collector works harder; GOMEMLIMIT goes before")
	flags.BoolVar(&f.verbose, "verbose", false, "log challenges and health checks too")
	flags.BoolVar(&f.presign, "presign", false, "let vehicles put pieces straight into an S3 store, by presigned URLs")
	f.registerLimits(c)
	return c
}

func (f *serveFlags) registerLimits(c *cobra.Command) {
	l, flags := &f.limits, c.Flags()
	flags.IntVar(&l.Uploads, "max-uploads", 4096, "bodies read at the same time; more are answered 503")
	flags.IntVar(&l.Connections, "max-connections", 8192, "open connections")
	flags.IntVar(&l.PerAddress, "max-per-address", 256, "open connections of one IP address, -1 for no limit")
	flags.IntVar(&l.Reports, "max-reports", 2, "reports that one vehicle may announce in a round, 1 to 8")
	flags.Float64Var(&l.Rate, "rate", 20, "requests of one vehicle a second")
	flags.IntVar(&l.Burst, "burst", 200, "requests of one vehicle at once")
	flags.IntVar(&l.MinRate, "min-rate", 100, "slowest body, bytes a second; 100 allows a satellite link of 2.4 kbps at half speed")
	flags.DurationVar(&l.Idle, "max-silence", time.Minute, "longest silence in a body")
	flags.DurationVar(&l.TokenLife, "token-life", 15*time.Minute, "how long a login lasts")
}

// config opens the store and builds the gateway's configuration but for its names.
func (f *serveFlags) config(a *app) (gateway.Config, error) {
	owner, err := f.pinnedOwner()
	if err != nil {
		return gateway.Config{}, err
	}
	s, err := openStore(f.store)
	if err != nil {
		return gateway.Config{}, err
	}
	c := gateway.Config{Store: s, Owner: owner, Limits: f.limits, Presign: f.presign, Log: f.logger(a)}
	c.Tasks, err = parseTasks(f.tasks)
	return c, err
}

// checkServed refuses to start on a store that this program must not touch, or for a task that is not there.
func checkServed(ctx context.Context, c gateway.Config) error {
	if err := pipeline.CheckFormat(ctx, c.Store); err != nil {
		return err
	}
	for _, id := range c.Tasks {
		if _, err := pipeline.LoadTask(ctx, c.Store, id, c.Owner); err != nil {
			return err
		}
	}
	return nil
}

func (f *serveFlags) logger(a *app) *slog.Logger {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

func (a *app) serve(ctx context.Context, f *serveFlags) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := f.config(a)
	if err != nil {
		return err
	}
	if err := checkServed(ctx, c); err != nil {
		return err
	}
	cert, err := f.certificate()
	if err != nil {
		return err
	}
	c.Names = f.names
	if len(c.Names) == 0 {
		c.Names = cert.names()
	}
	if os.Getenv("GOMEMLIMIT") == "" && f.memory > 0 {
		debug.SetMemoryLimit(f.memory << 20)
	}
	m := newServeMetrics()
	t, err := newTracer(ctx, f.otlp, "gateway", c.Log)
	if err != nil {
		return err
	}
	defer t.close()
	c.Observe = func(o gateway.Observation) { m.observe(o); t.request(o) }
	g, err := gateway.New(c)
	if err != nil {
		return &usageError{Err: err, Hint: "see the limits in --help; --name is needed if the certificate has no names"}
	}
	m.watch(g)
	return a.serveUntil(ctx, f, g, cert, m, c)
}

// serveUntil runs both listeners until the context ends, then drains.
func (a *app) serveUntil(ctx context.Context, f *serveFlags, g *gateway.Gateway, cert *serveCertificate, m *serveMetrics, c gateway.Config) error {
	l, err := net.Listen("tcp", f.listen)
	if err != nil {
		return withHint(err, "choose another --listen")
	}
	server := g.NewServer(cert.get)
	server.ConnState = m.connection
	failed := make(chan error, 3)
	go func() { failed <- server.ServeTLS(g.Listen(l), "", "") }()
	ready := serveReady{Listen: l.Addr().String(), Names: c.Names}
	if f.metrics != "" {
		inner, err := m.serve(f.metrics, g, failed)
		if err != nil {
			return errors.Join(err, server.Close())
		}
		defer inner.Close()
		ready.Metrics = inner.Addr
	}
	if f.status != "" {
		page, err := serveStatus("--status", f.status, f.public, newStatusReader(c.Store, f.store, c.Owner, c.Tasks), failed)
		if err != nil {
			return errors.Join(err, server.Close())
		}
		defer page.Close()
		ready.Status = page.Addr
	}
	defer cert.watch(c.Log)()
	a.out.Result(ready)
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serve: %w", err), server.Close())
	case <-ctx.Done():
	}
	return drain(g, server, f.drain, c.Log)
}

// drain stops gently. Uploads that are cut off go on at the next start: nothing is lost.
func drain(g *gateway.Gateway, server *http.Server, limit time.Duration, log *slog.Logger) error {
	log.Info("stopping", "uploads", g.Stats().Uploads)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := g.Shutdown(ctx, server); err != nil {
		log.Warn("stopped with uploads under way", "cause", err.Error())
		return nil
	}
	log.Info("stopped")
	return nil
}

type serveReady struct {
	Listen  string   `json:"listen"`
	Names   []string `json:"names"`
	Metrics string   `json:"metrics,omitempty"`
	Status  string   `json:"status,omitempty"`
}

var _ ui.Result = serveReady{}

// Text implements ui.Result.
func (r serveReady) Text() string {
	s := fmt.Sprintf("serving on %s as %v\n", r.Listen, r.Names)
	if r.Metrics != "" {
		s += "metrics on http://" + r.Metrics + "/metrics\n"
	}
	if r.Status != "" {
		s += statusReady{r.Status}.Text()
	}
	return s
}
