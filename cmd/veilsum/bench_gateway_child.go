package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/vehicle"
	"github.com/veilsum/veilsum/pipeline/gateway"
)

// benchChild is a server under test, a process of its own.
type benchChild struct {
	process *exec.Cmd
	ready   serveReady
	roots   *x509.CertPool
}

// thisProgram is a command that runs this program again.
func thisProgram(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Args[0] = os.Args[0]
	return c, nil
}

// startChild runs this program again and returns when it serves. Its certificate goes to the file pem.
func startChild(ctx context.Context, pem string, args ...string) (*benchChild, error) {
	process, err := thisProgram(ctx, append(args, "--json", "--listen", "127.0.0.1:0", "--self-signed", pem)...)
	if err != nil {
		return nil, err
	}
	c := &benchChild{process: process}
	c.process.Cancel = func() error { return c.process.Process.Signal(syscall.SIGTERM) }
	out, err := c.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var said bytes.Buffer
	if len(args) > 1 && args[0] == "bench" { // the log of a gateway is a line for each request
		c.process.Stderr = &said
	}
	if err := c.process.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(out).Decode(&c.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("the server does not start: %s", said.String()), err, c.process.Wait())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	c.roots, err = vehicle.ReadCAs(pem)
	return c, err
}

func (c *benchChild) url() string { return "https://" + c.ready.Listen }

// stop ends the server. How it ended was seen in the figures.
func (c *benchChild) stop() {
	_ = c.process.Process.Signal(syscall.SIGTERM)
	_ = c.process.Wait()
}

// ticks is the unit of /proc/PID/stat on Linux, USER_HZ.
const ticks = 100

// cpu is the processor time of the server in seconds.
func (c *benchChild) cpu() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The second field is a name in parentheses; utime and stime are the 14th and 15th.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("bench: /proc/PID/stat is too short")
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticks, errors.Join(err1, err2)
}

// peakMemory is the largest resident memory of the server so far, MiB.
func (c *benchChild) peakMemory() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("bench: no VmHWM in /proc/PID/status")
}

// sampled is what a gateway's metrics said.
type sampled struct{ inflight, refusals, errors float64 }

// sample reads the metrics twice a second until the returned function is called, which reads them a last time.
func (c *benchChild) sample(ctx context.Context) func() (sampled, error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var most float64
	go func() {
		defer close(done)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if s, err := c.scrape(); err == nil { // the last one counts
				most = max(most, s.inflight)
			}
		}
	}()
	return func() (sampled, error) {
		cancel()
		<-done
		s, err := c.scrape()
		s.inflight = max(most, s.inflight)
		return s, err
	}
}

func (c *benchChild) scrape() (s sampled, err error) {
	resp, err := http.Get("http://" + c.ready.Metrics + "/metrics")
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, text, ok := strings.Cut(lines.Text(), " ")
		value, bad := strconv.ParseFloat(text, 64)
		if !ok || bad != nil {
			continue
		}
		switch {
		case name == "veilsum_gateway_uploads":
			s.inflight = value
		case !strings.HasPrefix(name, "veilsum_gateway_requests_total{") || strings.Contains(name, `code=""`):
		case strings.Contains(name, `code="unavailable"`) || strings.Contains(name, `code="rate"`):
			s.refusals += value
		default:
			s.errors += value
		}
	}
	return s, nil
}

// put sends the bodies of report i to a bare server, over a connection of its own.
func (c *benchChild) put(ctx context.Context, x *gatewayLoad, i int) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: c.roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	for _, body := range append(x.pieces[:len(x.pieces):len(x.pieces)], x.replay.headers[i]) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, c.url(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			return fmt.Errorf("the bare server answers %s", resp.Status)
		}
	}
	return nil
}

// slowDial opens connections that write rate bytes a second.
func slowDial(rate int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return slowConn{c, rate}, nil
	}
}

type slowConn struct {
	net.Conn
	rate int
}

// Write implements net.Conn.
func (c slowConn) Write(p []byte) (n int, err error) {
	step := max(1, c.rate/4)
	for n < len(p) && err == nil {
		var k int
		k, err = c.Conn.Write(p[n:min(n+step, len(p))])
		n += k
		time.Sleep(time.Duration(k) * time.Second / time.Duration(c.rate))
	}
	return n, err
}

// benchBareCommand is the server that the gateway is compared with; "bench gateway" starts it.
func (a *app) benchBareCommand() *cobra.Command {
	var folder, listen, selfSigned string
	c := verb("bare-put", "Serve PUT into files, for comparison", "Copies each body to a file in --dir, fsyncs it and answers 201.",
		"  veilsum bench bare-put --dir /tmp --listen 127.0.0.1:8443 --self-signed ca.pem", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.bareServer(ctx, folder, listen, selfSigned) })
	c.Hidden = true
	c.Flags().StringVar(&folder, "dir", "", "folder of the files")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address")
	c.Flags().StringVar(&selfSigned, "self-signed", "", "where the certificate is written")
	return c
}

func (a *app) bareServer(ctx context.Context, folder, listen, selfSigned string) error {
	made, err := gateway.SelfSigned([]string{"127.0.0.1"}, 24*time.Hour)
	if err != nil {
		return err
	}
	if err := writeFile(selfSigned, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]}), 0o644, true); err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	s := &http.Server{
		Handler: bareHandler(folder), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{made}},
	}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	a.out.Result(serveReady{Listen: l.Addr().String()})
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func bareHandler(folder string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Create(filepath.Join(folder, "bare-"+rand.Text()))
		if err == nil {
			_, err = io.Copy(f, r.Body)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			http.Error(w, "failed", http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}
}
