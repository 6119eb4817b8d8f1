package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/gateway/gatewaytest"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

// tripping is a store that, each time it is armed, takes one new object and then fails; and that counts
// how often each was sent.
type tripping struct {
	storage.Store
	mu    sync.Mutex
	armed bool
	after bool // even the writer of that object hears of a failure
	spent bool
	seen  map[string]int
}

var errTripped = errors.New("tripped")

func (s *tripping) arm(after bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.after, s.spent = true, after, false
}

// PutOnce implements storage.Store.
func (s *tripping) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[string]int{}
	}
	if s.spent {
		return 0, errTripped
	}
	o, err := s.Store.PutOnce(ctx, key, body)
	if err == nil && (o == storage.Created || !strings.Contains(key, "/claims/")) {
		s.seen[key]++
	}
	if s.armed && o == storage.Created {
		s.spent = true
		if s.after {
			return 0, errTripped
		}
	}
	return o, err
}

func (s *tripping) twice() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, times := range s.seen {
		if times > 1 {
			n++
		}
	}
	return n
}

func (s *tripping) puts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// cutter is a relay that closes every connection after some bytes of the client's.
type cutter struct {
	url   string
	after atomic.Int64
	cuts  atomic.Int64
}

func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &cutter{url: "https://" + l.Addr().String()}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go c.relay(near, strings.TrimPrefix(target, "https://"))
		}
	}()
	return c
}

func (c *cutter) relay(near net.Conn, target string) {
	defer near.Close()
	far, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	go io.Copy(near, far)
	if n, _ := io.CopyN(far, near, c.after.Load()); n == c.after.Load() {
		c.cuts.Add(1)
	}
}

// attack speaks the protocol by hand, as one vehicle or none.
type attack struct {
	t     testing.TB
	s     *gatewaytest.Server
	f     *pipelinetest.Fleet
	round *pipeline.Round
	v     client.Identity
	http  *http.Client
	token string
}

func newAttack(t *testing.T, s *gatewaytest.Server, f *pipelinetest.Fleet, r *pipeline.Round, vehicle int) *attack {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.CAs}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &attack{t: t, s: s, f: f, round: r, v: f.Vehicles[vehicle], http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what came back.
type answer struct {
	status int
	code   string
	body   []byte
	header http.Header
}

func (a answer) String() string { return fmt.Sprintf("%d %s %.100s", a.status, a.code, a.body) }

// do sends one request; a length below zero means none.
func (x *attack) do(method, path string, body []byte, header ...string) answer {
	x.t.Helper()
	req, err := http.NewRequest(method, x.s.URL+path, bytes.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	if x.token != "" {
		req.Header.Set("Authorization", "Bearer "+x.token)
	}
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "Host":
			req.Host = header[i+1]
		case "Chunked":
			req.ContentLength = -1
		default:
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := x.http.Do(req)
	if err != nil && req.GetBody != nil { // a connection to a gateway that was restarted
		req.Body, _ = req.GetBody()
		resp, err = x.http.Do(req)
	}
	if err != nil {
		return answer{code: err.Error()}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, body: b, header: resp.Header}
	var refusal struct{ Code, Message string }
	if resp.StatusCode >= 300 && method != http.MethodHead {
		if err := json.Unmarshal(b, &refusal); err != nil {
			x.t.Errorf("%s %s: %d %q is no refusal", method, path, resp.StatusCode, b)
		}
	}
	a.code = refusal.Code
	return a
}

// want checks status and code of an answer.
func (x *attack) want(a answer, status int, code string) {
	x.t.Helper()
	if a.status != status || a.code != code {
		x.t.Errorf("%v, want %d %s", a, status, code)
	}
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func (x *attack) put(path string, b []byte) answer {
	x.t.Helper()
	return x.do(http.MethodPut, path, b, "Content-Digest", digestOf(b))
}

func piecePath(rep *schema.Report, j int) string {
	return fmt.Sprintf("/v1/reports/%s/pieces/%d", rep.ID, j)
}

func headerPath(rep *schema.Report) string { return "/v1/reports/" + rep.ID.String() + "/header" }

// challenge fetches one.
func (x *attack) challenge() string {
	x.t.Helper()
	var c struct{ Challenge string }
	a := x.do(http.MethodPost, "/v1/challenge", nil)
	if json.Unmarshal(a.body, &c) != nil || a.status != http.StatusOK {
		x.t.Fatal(a)
	}
	return c.Challenge
}

// login is the body of one, as GATEWAY.md has it.
type login struct {
	Version   int              `json:"version"`
	Challenge string           `json:"challenge"`
	TaskID    schema.TaskID    `json:"task_id"`
	RoundID   schema.RoundID   `json:"round_id"`
	Epoch     uint64           `json:"epoch"`
	Lane      uint32           `json:"lane"`
	Vehicle   schema.VehicleID `json:"vehicle"`
	Signature schema.Signature `json:"signature"`
}

// signed fills in and signs a login for a gateway name, written down here a second time from the page.
func (x *attack) signed(name string, change func(*login)) login {
	x.t.Helper()
	return x.sign(name, x.challenge(), change)
}

func (x *attack) sign(name, challenge string, change func(*login)) login {
	l := login{Version: 1, Challenge: challenge, TaskID: x.round.Name.Task, RoundID: x.round.ID, Epoch: x.round.Name.Epoch, Lane: x.round.Name.Lane, Vehicle: x.v.ID}
	if change != nil {
		change(&l)
	}
	le := func(v uint64, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(v >> (8 * i))
		}
		return b
	}
	l.Signature = schema.Sign(x.v.Key, "gateway-login", []byte(name), []byte(l.Challenge), l.TaskID.Digest[:], l.RoundID.Digest[:],
		le(l.Epoch, 8), le(uint64(l.Lane), 4), l.Vehicle[:])
	return l
}

func (x *attack) send(l login, header ...string) answer {
	x.t.Helper()
	b, err := json.Marshal(l)
	if err != nil {
		x.t.Fatal(err)
	}
	return x.do(http.MethodPost, "/v1/login", b, header...)
}

// enter logs in.
func (x *attack) enter() *attack {
	x.t.Helper()
	a := x.send(x.signed("127.0.0.1", nil))
	if x.token = a.token(x.t); x.token == "" {
		x.t.Fatal(a)
	}
	return x
}

// forge makes a report without storing it.
func (x *attack) forge(v client.Identity, g pipelinetest.Forgery) (*schema.Report, [][]byte) {
	x.t.Helper()
	var report *schema.Report
	var parts [][]byte
	g.Before = func(rep *schema.Report, pieces [][]byte) { report, parts = rep, pieces }
	elsewhere := *x.f
	elsewhere.Store = mem.New()
	elsewhere.Forge(x.round, v, g)
	return report, parts
}

func head(rep *schema.Report) []byte {
	n, _ := rep.Header.BoxOffset(0)
	return rep.Bytes()[:n]
}

func announcement(rep *schema.Report, pieces [][]byte) []byte {
	b := bytes.Clone(head(rep))
	for j, p := range pieces {
		h := schema.HashPiece(j, p)
		b = append(b, h[:]...)
	}
	return b
}

func (x *attack) announce(rep *schema.Report, pieces [][]byte) answer {
	x.t.Helper()
	return x.do(http.MethodPost, "/v1/reports", announcement(rep, pieces))
}

// stored reads a report back from the fleet's store.
func stored(t testing.TB, f *pipelinetest.Fleet, r *pipeline.Round, id schema.ReportID) (*schema.Report, [][]byte) {
	t.Helper()
	rep, err := schema.DecodeReport(f.Get(pipeline.HeaderKey(r.Name, id)))
	if err != nil {
		t.Fatal(err)
	}
	var pieces [][]byte
	for j := range rep.Header.Pieces() {
		pieces = append(pieces, f.Get(pipeline.PieceKey(r.Name, id, j)))
	}
	return rep, pieces
}

func (x *attack) hashes(rep *schema.Report) (h []schema.Digest) {
	x.t.Helper()
	_, pieces := stored(x.t, x.f, x.round, rep.ID)
	for j, p := range pieces {
		h = append(h, schema.HashPiece(j, p))
	}
	return h
}

func isRefused(err error) bool { return errors.Is(err, remote.ErrRefused) }

func isKey(err error) bool { return errors.Is(err, storage.ErrKey) }
