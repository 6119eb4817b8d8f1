package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/dir"
)

// cmdFreePort sets each NAME to a free address: freeport NAME ...
func cmdFreePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: freeport NAME ...")
	}
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(name, l.Addr().String())
		ts.Check(l.Close())
	}
}

// cmdAwait waits for a file: await FILE.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		<-tick.C
	}
	ts.Fatalf("%s does not come", args[0])
}

// served is "veilsum serve" in this process.
type served struct {
	ready  serveReady
	stderr *syncBuffer
	done   chan int
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func startServe(t *testing.T, ctx context.Context, args ...string) *served {
	t.Helper()
	s := &served{stderr: &syncBuffer{}, done: make(chan int, 1)}
	r, w := io.Pipe()
	go func() {
		code := run(ctx, append([]string{"serve", "--json"}, args...), strings.NewReader(""), w, s.stderr)
		w.Close()
		s.done <- code
	}()
	if err := json.NewDecoder(r).Decode(&s.ready); err != nil {
		t.Fatal(err, s.stderr.String())
	}
	go io.Copy(io.Discard, r)
	return s
}

// writeCertificate writes a certificate with its key and returns it.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	c, err := gateway.SelfSigned([]string{"127.0.0.1"}, time.Hour*24)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c.Leaf
}

// copyStore puts everything of a fleet into a directory store.
func copyStore(t *testing.T, f *pipelinetest.Fleet, root string) {
	t.Helper()
	s, err := dir.Open(root, dir.WithoutSync())
	if err != nil {
		t.Fatal(err)
	}
	for key := range f.Objects() {
		if _, err := s.PutOnce(t.Context(), key, f.Get(key)); err != nil {
			t.Fatal(err)
		}
	}
	f.Store = s
}

// TestServe: a report arrives, the metrics count it and name nobody, SIGHUP brings a new certificate, and the end is gentle.
func TestServe(t *testing.T) {
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	round := f.Open(1)
	root := t.TempDir()
	copyStore(t, f, root)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	first := writeCertificate(t, certFile, keyFile)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	spans := newReceiver(t)
	s := startServe(t, ctx, "--store", root, "--owner", schema.NewPublicKey(f.Owner).String(), "--task", f.TaskID.String(),
		"--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--status", "0", "--otlp", spans.url, "--cert", certFile, "--key", keyFile)
	roots := x509.NewCertPool()
	roots.AddCert(first)
	v := f.Vehicles[0]
	far, err := remote.Open(remote.Config{URL: "https://" + s.ready.Listen, Vehicle: v.ID, Key: v.Key, RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	c, exit := f.Vehicle(0)
	defer exit()
	sealed, err := c.Seal(ctx, far, f.TaskID, 1, f.Update(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Upload(ctx, far, sealed.File(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := round.ReadReport(ctx, f.Store, sealed.Report); err != nil {
		t.Error(err)
	}
	checkMetrics(t, "http://"+s.ready.Metrics, v.ID.String())
	checkStatusPage(t, "http://"+s.ready.Status, v.ID.String())
	checkReload(t, s, certFile, keyFile, first)
	stop()
	if code := <-s.done; code != 0 {
		t.Errorf("exit status %d: %s", code, s.stderr)
	}
	checkUploadSpans(t, spans, f, v)
	for line := range strings.Lines(s.stderr.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %q", line)
		}
	}
	if !strings.Contains(s.stderr.String(), `"msg":"stopped"`) || !strings.Contains(s.stderr.String(), v.ID.String()) {
		t.Error(s.stderr)
	}
}

func checkMetrics(t *testing.T, url, vehicle string) {
	t.Helper()
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(path, resp.Status, err)
		}
		if path != "/metrics" {
			continue
		}
		for _, want := range []string{
			`veilsum_gateway_requests_total{code="",route="header",status="201"} 1`, `veilsum_gateway_body_bytes_total{route="piece"}`,
			"veilsum_gateway_rounds 1", "veilsum_gateway_uploads 0", "veilsum_gateway_announced_reports 0", "process_resident_memory_bytes",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %s", want)
			}
		}
		if strings.Contains(string(text), vehicle) {
			t.Error("the metrics name a vehicle")
		}
	}
}

// checkStatusPage looks for the vehicle's report, and not for the vehicle.
func checkStatusPage(t *testing.T, url, vehicle string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(text), `<td class="n">1</td>`) || strings.Contains(string(text), vehicle) {
		t.Errorf("%s, %v: %s", resp.Status, err, text)
	}
}

// checkReload replaces the certificate by a broken one, which changes nothing, and by a good one.
func checkReload(t *testing.T, s *served, certFile, keyFile string, first *x509.Certificate) {
	t.Helper()
	served := func() *x509.Certificate {
		c, err := tls.Dial("tcp", s.ready.Listen, &tls.Config{InsecureSkipVerify: true}) // the test looks at the certificate itself
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	hup := func(said string) {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); !strings.Contains(s.stderr.String(), said); {
			if time.Since(start) > 20*time.Second {
				t.Fatalf("no %q in %s", said, s.stderr)
			}
		}
	}
	if !served().Equal(first) {
		t.Error("another certificate is served")
	}
	if err := os.WriteFile(certFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	hup("the old certificate stays")
	if !served().Equal(first) {
		t.Error("a broken certificate replaced a good one")
	}
	second := writeCertificate(t, certFile, keyFile)
	hup("certificate read again")
	if !served().Equal(second) {
		t.Error("the certificate was not replaced")
	}
}
