package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/gatewaytest"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/storage"
)

// dial opens a connection with one of the two HTTP versions.
func dial(t *testing.T, s *gatewaytest.Server, proto string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: s.CAs, NextProtos: []string{proto}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil { // the test's own patience
		t.Fatal(err)
	}
	return c
}

// TestSlowBody: a body that stops, or trickles below the slowest rate, is cut off and gives its place
// back, in both HTTP versions; a slow but allowed one is taken.
func TestSlowBody(t *testing.T) {
	f := pipelinetest.New(t, 1, pieces(1500))
	var out lockedBuffer
	s := gatewaytest.Start(f, func(c *gateway.Config) {
		c.Limits.Idle, c.Limits.Grace, c.Limits.MinRate = 200*time.Millisecond, 200*time.Millisecond, 10_000
		c.Log = slog.New(slog.NewJSONHandler(&out, nil))
	})
	x := newAttack(t, s, f, f.Open(1), 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	p := parts[0]
	for name, body := range map[string]func() io.Reader{
		"stops":    func() io.Reader { return &stuck{r: bytes.NewReader(p[:100]), closed: make(chan struct{})} },
		"trickles": func() io.Reader { return &trickle{b: p, step: 10, pause: 50 * time.Millisecond} }, // 200 bytes a second
	} {
		for _, h2 := range []bool{true, false} {
			start := time.Now()
			a := x.stream(h2, piecePath(rep, 0), p, body())
			if a.status != 408 && a.status != 0 { // or the connection is closed
				t.Errorf("%s, HTTP/2 %v: %v", name, h2, a)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("%s, HTTP/2 %v: it took %v", name, h2, d)
			}
		}
	}
	if n := s.Gateway.Stats().Uploads; n != 0 {
		t.Errorf("%d bodies are still read", n)
	}
	a := x.stream(true, piecePath(rep, 0), p, &trickle{b: p, step: 500, pause: 10 * time.Millisecond}) // 50,000 bytes a second
	x.want(a, 201, "")
	if text := out.String(); !strings.Contains(text, `"code":"slow"`) || strings.Contains(text, "127.0.0.1") {
		t.Errorf("the log names no slow body, or an address:\n%s", text)
	}
}

// TestPanicIsLogged: a mistake of ours costs one request, and somebody hears of it.
func TestPanicIsLogged(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	r := f.Open(1)
	var out lockedBuffer
	s := gatewaytest.Start(f, func(c *gateway.Config) {
		c.Store = watched{Store: f.Store, created: func(string, []byte) { panic("our mistake") }}
		c.Log = slog.New(slog.NewJSONHandler(&out, nil))
	})
	x := newAttack(t, s, f, r, 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	if a := x.announce(rep, parts); a.status != 0 {
		t.Error(a)
	}
	x.want(x.do(http.MethodGet, "/healthz", nil), 200, "")
	if !strings.Contains(out.String(), "our mistake") {
		t.Error(out.String())
	}
}

// stuck delivers some bytes and then nothing until it is closed.
type stuck struct {
	r      io.Reader
	closed chan struct{}
	once   sync.Once
}

// Read implements io.Reader.
func (s *stuck) Read(p []byte) (int, error) {
	if n, _ := s.r.Read(p); n > 0 {
		return n, nil
	}
	<-s.closed
	return 0, io.ErrClosedPipe
}

// Close implements io.Closer.
func (s *stuck) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// trickle delivers a few bytes at a time.
type trickle struct {
	b     []byte
	step  int
	pause time.Duration
}

// Read implements io.Reader.
func (r *trickle) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	timer := time.NewTimer(r.pause)
	<-timer.C
	n := copy(p, r.b[:min(r.step, len(r.b))])
	r.b = r.b[n:]
	return n, nil
}

// stream puts a body as it comes from a reader.
func (x *attack) stream(h2 bool, path string, b []byte, r io.Reader) answer {
	x.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x.s.CAs}, ForceAttemptHTTP2: h2}
	defer transport.CloseIdleConnections()
	limit, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(limit, http.MethodPut, x.s.URL+path, r)
	if err != nil {
		x.t.Fatal(err)
	}
	req.ContentLength = int64(len(b))
	req.Header.Set("Authorization", "Bearer "+x.token)
	req.Header.Set("Content-Digest", digestOf(b))
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return answer{code: err.Error()}
	}
	defer resp.Body.Close()
	if want := map[bool]int{true: 2, false: 1}[h2]; resp.ProtoMajor != want {
		x.t.Errorf("HTTP/%d, want %d", resp.ProtoMajor, want)
	}
	a := answer{status: resp.StatusCode}
	a.body, _ = io.ReadAll(resp.Body)
	return a
}

// TestSlowHeader: a connection that never finishes a request is closed, in both versions and before
// the handshake too.
func TestSlowHeader(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	s := gatewaytest.Start(f, func(c *gateway.Config) {
		c.Limits.HeaderTimeout, c.Limits.IdleTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	plain, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(30 * time.Second))
	h1, h2 := dial(t, s, "http/1.1"), dial(t, s, "h2")
	fmt.Fprintf(h1, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	// The preface, SETTINGS, and the first bytes of a HEADERS frame that promises 100.
	fmt.Fprintf(h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x64\x01\x04\x00\x00\x00\x01\x82")
	for name, c := range map[string]net.Conn{"before the handshake": plain, "HTTP/1.1": h1, "HTTP/2": h2} {
		_, err := io.Copy(io.Discard, c)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: the connection is still open", name)
		}
	}
}

// TestOversizedHeader: a request of large headers is refused and nothing of it is kept.
func TestOversizedHeader(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	s := gatewaytest.Start(f, nil)
	x := newAttack(t, s, f, f.Open(1), 0)
	large := strings.Repeat("x", 64<<10)
	if a := x.do(http.MethodGet, "/healthz", nil, "X-Large", large); a.status != 431 && a.status != 0 {
		t.Errorf("HTTP/2: %v", a)
	}
	c := dial(t, s, "http/1.1")
	go fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: %s\r\n\r\n", large)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil && resp.StatusCode != 431 {
		t.Errorf("HTTP/1.1: %v", resp.Status)
	}
	x.want(x.do(http.MethodGet, "/healthz", nil), 200, "")
}

// TestOldTLS: nothing older than TLS 1.3, and nothing in the clear.
func TestOldTLS(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	s := gatewaytest.Start(f, nil)
	if c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: s.CAs, MaxVersion: tls.VersionTLS12}); err == nil {
		c.Close()
		t.Error("TLS 1.2 is taken")
	}
	if resp, err := http.Get(strings.Replace(s.URL, "https:", "http:", 1) + "/healthz"); err == nil && resp.StatusCode == http.StatusOK {
		t.Error("plain HTTP is answered")
	}
}

// TestConnections: one connection too many from an address is closed; a place is given back.
func TestConnections(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Limits.PerAddress = 2 })
	first, second := dial(t, s, "h2"), dial(t, s, "h2")
	roots := &tls.Config{RootCAs: s.CAs}
	if c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), roots); err == nil {
		c.Close()
		t.Error("a third connection is taken")
	}
	first.Close()
	for start := time.Now(); ; {
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), roots)
		if err == nil {
			c.Close()
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Fatal("the place is not given back:", err)
		}
	}
	second.Close()
}

// gate is a store whose writes of pieces wait until they are let through.
type gate struct {
	storage.Store
	waiting atomic.Int32
	open    chan struct{}
}

// PutOnce implements storage.Store.
func (s *gate) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	if strings.Contains(key, "/piece-") {
		s.waiting.Add(1)
		select {
		case <-s.open:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return s.Store.PutOnce(ctx, key, body)
}

func (s *gate) wait(t *testing.T, n int32) {
	t.Helper()
	for start := time.Now(); s.waiting.Load() < n; {
		if time.Since(start) > 20*time.Second {
			t.Fatal("nobody comes to the store")
		}
	}
}

// TestBackpressureAndDrain: beyond its places a gateway sends away with Retry-After; stopping it lets what is under way end.
func TestBackpressureAndDrain(t *testing.T) {
	f := pipelinetest.New(t, 1, pieces(1500))
	store := &gate{Store: f.Store, open: make(chan struct{})}
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Store, c.Limits.Uploads = store, 1 })
	x := newAttack(t, s, f, f.Open(1), 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	first := make(chan answer, 1)
	go func() { first <- x.put(piecePath(rep, 0), parts[0]) }()
	store.wait(t, 1)
	a := x.put(piecePath(rep, 1), parts[1])
	x.want(a, 503, "unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	s.Gateway.Drain()
	x.want(x.do(http.MethodGet, "/readyz", nil), 503, "unavailable")
	x.want(x.do(http.MethodGet, "/healthz", nil), 200, "")
	x.want(x.put(piecePath(rep, 1), parts[1]), 503, "unavailable")
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(ctx) }()
	close(store.open)
	x.want(<-first, 201, "")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRate: a vehicle that asks too often is sent away; another one is not.
func TestRate(t *testing.T) {
	f := pipelinetest.New(t, 2, pipelinetest.Task(100))
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Limits.Rate, c.Limits.Burst = 1, 3 })
	r := f.Open(1)
	x, y := newAttack(t, s, f, r, 0).enter(), newAttack(t, s, f, r, 1)
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	x.want(x.put(piecePath(rep, 0), parts[0]), 201, "")
	a := x.put(headerPath(rep), rep.Bytes())
	x.want(a, 429, "rate")
	if a.header.Get("Retry-After") != "2" {
		t.Error(a.header)
	}
	y.enter()
	*f.Clock = f.Clock.Add(2 * time.Second)
	x.want(x.put(headerPath(rep), rep.Bytes()), 201, "")
}

// TestStoreFails: while the store fails everything is answered 503, and nothing is acknowledged that is not there.
func TestStoreFails(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	store := &tripping{Store: f.Store}
	s := gatewaytest.Start(f, func(c *gateway.Config) { c.Store = store })
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	fail := func() { store.arm(false); store.mu.Lock(); store.spent = true; store.mu.Unlock() }
	mend := func() { store.mu.Lock(); store.armed, store.spent = false, false; store.mu.Unlock() }
	for _, step := range []func() answer{
		func() answer { return x.announce(rep, parts) },
		func() answer { return x.put(piecePath(rep, 0), parts[0]) },
		func() answer { return x.put(headerPath(rep), rep.Bytes()) },
	} {
		fail()
		f.Unchanged(nil, func() error { x.want(step(), 503, "unavailable"); return nil })
		mend()
		if a := step(); a.status != 200 && a.status != 201 {
			t.Error(a)
		}
	}
	if _, err := r.ReadReport(ctx, f.Store, rep.ID); err != nil {
		t.Error(err)
	}
}

// TestLogIsSilent: a log of everything that went right and wrong holds no token, challenge, signature,
// digest or byte of a body.
func TestLogIsSilent(t *testing.T) {
	f := pipelinetest.New(t, 1, pieces(1500))
	var out lockedBuffer
	store := &tripping{Store: f.Store}
	s := gatewaytest.Start(f, func(c *gateway.Config) {
		c.Store, c.Log = store, slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	r := f.Open(1)
	x := newAttack(t, s, f, r, 0)
	l := x.signed("127.0.0.1", nil)
	x.token = x.send(l).token(t)
	wrong := x.signed("elsewhere", nil)
	x.want(x.send(wrong), 403, "refused")
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.announce(rep, parts)
	for j, p := range parts {
		x.put(piecePath(rep, j), p[1:])
		x.do(http.MethodPut, piecePath(rep, j), p, "Content-Digest", digestOf(p[1:]))
		x.put(piecePath(rep, j), p)
	}
	store.arm(false)
	store.spent = true
	x.put(headerPath(rep), rep.Bytes())
	store.armed, store.spent = false, false
	x.put(headerPath(rep), rep.Bytes())
	text := out.String()
	if n := strings.Count(text, "\n"); n < 10 || !strings.Contains(text, f.Vehicles[0].ID.String()) || !strings.Contains(text, `"code":"digest"`) {
		t.Fatalf("%d lines; the log says too little:\n%s", n, text)
	}
	secrets := map[string][]byte{"challenge": []byte(l.Challenge), "token": []byte(x.token), "signature": l.Signature[:], "digest": []byte(digestOf(parts[0]))}
	for j, p := range parts {
		secrets[fmt.Sprint("piece ", j)] = p
	}
	for name, secret := range secrets {
		part := secret[:12]
		for _, form := range []string{string(part), fmt.Sprintf("%x", part), base64.StdEncoding.EncodeToString(part)} {
			if strings.Contains(text, form) {
				t.Errorf("the log shows a %s", name)
			}
		}
	}
	if _, err := r.ReadReport(ctx, f.Store, rep.ID); err != nil {
		t.Error(err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
