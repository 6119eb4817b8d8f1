package remote_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// hostile runs a server that answers as it likes, and a store that takes it for its gateway.
func hostile(t *testing.T, answer http.HandlerFunc, change func(*remote.Config)) *remote.Store {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := remote.Config{URL: server.URL, Key: ed25519.NewKeyFromSeed(make([]byte, 32)), RootCAs: roots, Backoff: time.Millisecond, Tries: 3}
	if change != nil {
		change(&c)
	}
	s, err := remote.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

var name = pipeline.RoundName{Epoch: 1}

// head is that of a report with one piece.
func head(t *testing.T) (*schema.Report, []byte, []schema.Digest) {
	t.Helper()
	hashes := []schema.Digest{{1}, {2}}
	h := schema.Header{Suite: 2, Epoch: 1, N: 1024, Q: 1038337, Values: 1000, PieceBlocks: 1, Size: 4, Threshold: 3, Root: schema.PieceRoot(hashes)}
	h.Commitments = make([]schema.Digest, 6)
	h.CorrHash = schema.HashCorr(make([]byte, h.BlockBytes()))
	boxes := make([][]byte, 4)
	_, n := h.BoxOffset(0)
	for k := range boxes {
		boxes[k] = make([]byte, n)
	}
	rep, err := schema.NewReport(h, boxes, make([]byte, h.BlockBytes()), ed25519.NewKeyFromSeed(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	off, _ := h.BoxOffset(0)
	return rep, rep.Bytes()[:off], hashes
}

// script answers challenge and login well and reports with a text.
func script(report string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/challenge":
			io.WriteString(w, `{"challenge":"c","expires_in":1,"more":true}`)
		case "/v1/login":
			io.WriteString(w, `{"token":"t","expires_in":1}`)
		default:
			io.WriteString(w, report)
		}
	}
}

// TestHostileGateway: whatever a server says instead of an answer is an error, soon and in bounded memory.
func TestHostileGateway(t *testing.T) {
	rep, head, hashes := head(t)
	id := rep.ID.String()
	for what, text := range map[string]string{
		"nothing":            "",
		"no JSON":            "<html>",
		"another report":     fmt.Sprintf(`{"report_id":"%064d","pieces":[]}`, 0),
		"a piece beyond":     `{"report_id":"` + id + `","pieces":[[0,2]]}`,
		"a negative piece":   `{"report_id":"` + id + `","pieces":[[-1,0]]}`,
		"runs that go back":  `{"report_id":"` + id + `","pieces":[[1,1],[0,0]]}`,
		"a run that is none": `{"report_id":"` + id + `","pieces":[[1,0]]}`,
		"too much":           `{"report_id":"` + id + `","pieces":[` + strings.Repeat("[0,0],", 400_000) + `[0,0]]}`,
	} {
		s := hostile(t, script(text), nil)
		if missing, _, err := s.Announce(t.Context(), head, hashes); err == nil {
			t.Errorf("%s: %v", what, missing)
		}
	}
	s := hostile(t, script(`{"report_id":"`+id+`","pieces":[[0,1]],"unknown":1}`), nil)
	if missing, committed, err := s.Announce(t.Context(), head, hashes); err != nil || len(missing) != 2 || committed {
		t.Error(missing, committed, err)
	}
	for _, login := range []string{`{"challenge":""}`, `{"challenge":"` + strings.Repeat("x", 257) + `"}`, "5"} {
		s := hostile(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, login) }, nil)
		if err := s.Login(t.Context(), name, schema.RoundID{}); err == nil {
			t.Errorf("%q is a challenge", login)
		}
	}
}

// TestRetries: what says "later" is repeated, what says "no" is not; a redirection is never followed, and
// messages are printed harmlessly.
func TestRetries(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		tries  int32
		want   error
	}{
		{503, `{"code":"unavailable","message":"busy"}`, 3, pipeline.ErrNotReady},
		{429, `{"code":"rate"}`, 3, pipeline.ErrNotReady},
		{502, `<html>bad gateway</html>`, 3, pipeline.ErrNotReady},
		{404, `{"code":"not_found"}`, 1, storage.ErrNotExist},
		{403, `{"code":"refused","message":"` + "\x1b[31m\n" + `"}`, 1, nil},
		{400, `{"code":"\u001b]0;x\u0007\nok: true","message":"m"}`, 1, nil},
		{425, `{"code":"not_ready"}`, 1, pipeline.ErrNotReady},
		{413, `{"code":"too_large"}`, 1, storage.ErrTooLarge},
		{307, ``, 1, nil},
		{200, ``, 1, nil},
	} {
		var n atomic.Int32
		s := hostile(t, func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			if r.URL.Path == "/elsewhere" {
				t.Error("a redirection was followed")
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}, nil)
		r, _, err := s.Get(t.Context(), pipeline.TaskKey(name.Task))
		if c.status == 200 {
			if err == nil {
				r.Close()
			}
			continue
		}
		if err == nil || c.want != nil && !errors.Is(err, c.want) || n.Load() != c.tries {
			t.Errorf("%d: %d tries, %v", c.status, n.Load(), err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\x07\n") {
			t.Errorf("%q", err)
		}
	}
}

// TestRetryAfter: a pause that the gateway asks for is kept, in the time that the caller has.
func TestRetryAfter(t *testing.T) {
	var n atomic.Int32
	s := hostile(t, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := s.Stat(ctx, pipeline.TaskKey(name.Task))
	if !errors.Is(err, context.DeadlineExceeded) || n.Load() != 1 {
		t.Error(n.Load(), err)
	}
}

// TestShortBody: an object that ends early is no object.
func TestShortBody(t *testing.T) {
	s := hostile(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
	}, nil)
	if b, err := storage.ReadAll(t.Context(), s, pipeline.TaskKey(name.Task), 1000); err == nil {
		t.Errorf("%q", b)
	}
	for _, header := range []string{"", "bytes 0-4/5", "bytes 1-3/5", "bytes 1-2/2"} {
		s := hostile(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", header)
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "xy")
		}, nil)
		if r, err := s.GetRange(t.Context(), pipeline.TaskKey(name.Task), 1, 2); err == nil {
			r.Close()
			t.Errorf("range %q", header)
		}
	}
}

// TestPresignedElsewhere: a gateway cannot send a vehicle's requests to hosts of its choice.
func TestPresignedElsewhere(t *testing.T) {
	rep, head, hashes := head(t)
	var strayed atomic.Int32
	stray := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer stray.Close()
	bucket := strings.TrimPrefix(stray.URL, "https://")
	for _, location := range []string{
		`{"url":"` + stray.URL + `/x"}`, `{"url":"http://bucket.example/x"}`, `{"url":"https://u@bucket.example/x"}`, `{"url":"https://bucket.example@` + bucket + `/x"}`,
		`{"url":"https://bucket.example/x","header":{"Cookie":"x"}}`, `{"url":"https://bucket.example:1/x"}`, `{"url":":"}`, `{}`,
	} {
		s := hostile(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPut:
				w.WriteHeader(http.StatusCreated)
				io.WriteString(w, `{"outcome":"created"}`)
			case strings.Contains(r.URL.Path, "/pieces/"):
				io.WriteString(w, location)
			default:
				script(`{"report_id":"`+rep.ID.String()+`","pieces":[[0,1]],"presign":true}`)(w, r)
			}
		}, func(c *remote.Config) { c.Buckets = []string{"bucket.example"} })
		if _, _, err := s.Announce(t.Context(), head, hashes); err != nil {
			t.Fatal(err)
		}
		// It goes through the gateway instead.
		if o, err := s.PutOnce(t.Context(), pipeline.PieceKey(name, rep.ID, 0), []byte("x")); o != storage.Created || err != nil {
			t.Error(location, o, err)
		}
	}
	if strayed.Load() > 0 {
		t.Error("a request strayed")
	}
}

// TestConfig: only URLs of gateways are taken, and nothing prints the key.
func TestConfig(t *testing.T) {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte("seed"), 8))
	for _, url := range []string{"", "http://host", "https://", "https://u@host", "https://host/path", "https://host?x", "https://host#x", "host:8443", ":"} {
		if _, err := remote.Open(remote.Config{URL: url}); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
	if _, err := remote.Open(remote.Config{URL: "https://host", Key: key[:5]}); err == nil {
		t.Error("half a key is taken")
	}
	c := remote.Config{URL: "https://host:1/", Key: key}
	s, err := remote.Open(c)
	if err != nil || s.String() != "https://host:1" {
		t.Fatal(s, err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, c, &c, s)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", c, "store", s)
	if err := json.NewEncoder(&out).Encode(s); err != nil {
		t.Error(err)
	}
	text := strings.ToLower(out.String())
	for _, form := range []string{"seedseed", fmt.Sprintf("%x", key[:6]), strings.Trim(fmt.Sprint([]byte(key[:6])), "[]")} {
		if strings.Contains(text, form) {
			t.Errorf("the key is printed: %s", text)
		}
	}
	if err := s.Delete(t.Context(), "k"); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	far, _ := remote.Open(remote.Config{URL: "https://host"})
	if err := far.Login(t.Context(), name, schema.RoundID{}); !errors.Is(err, remote.ErrRefused) {
		t.Error(err)
	}
}
