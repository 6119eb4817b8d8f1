// Package remote is a vehicle's view of a store behind an upload gateway: a
// [storage.Store] that reads what a vehicle needs, and takes the vehicle's own reports.
//
// Call [Open] with the gateway's URL and the vehicle's identity and hand the store to
// pipeline/client: Seal and Upload work as with any other. The vehicle logs in to each round by a
// signature of its enrolled key and holds no other credential. Listing, deleting and writing anything
// but the vehicle's announced report are [errors.ErrUnsupported].
//
// A request that fails is sent again, with growing pauses, or after the pause that the gateway asks
// for; one that was in doubt is repeated safely, since nothing is created twice. The package knows no
// other transport than TLS 1.3, and neither Arrow nor an S3 client. GATEWAY.md is the protocol.
package remote

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Config is everything that a store is opened with.
type Config struct {
	URL     string             // https://HOST or https://HOST:PORT; required
	Vehicle schema.VehicleID   // the vehicle's pseudonym
	Key     ed25519.PrivateKey // its enrolled key; without one only public objects can be read
	RootCAs *x509.CertPool     // who vouches for the gateway; nil: the system's authorities
	// MinRate is the slowest link, bytes a second, on which a request is not given up. Default 100:
	// half of a satellite link of 2.4 kbps.
	MinRate int
	// Buckets are the hosts (HOST or HOST:PORT, as in their URLs) of stores to which a piece may be put straight if the
	// gateway offers it. Empty: every piece goes through the gateway. RootCAs vouch for them too.
	Buckets []string
	Tries   int // of one request; default 6
	// Dial opens connections, for links that need more than the system's own way; nil: net.Dialer.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Backoff time.Duration // before the second try, doubled up to MaxBackoff; default 1 s
}

// Limits of the pauses between tries: the longest of our own, and the longest that a gateway may ask for.
const (
	MaxBackoff    = time.Minute
	MaxRetryAfter = 5 * time.Minute
)

// String, GoString, Format and LogValue print "[redacted]": a configuration holds a key.
func (Config) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer.
func (Config) GoString() string { return "[redacted]" }

// Format implements fmt.Formatter, for every verb.
func (Config) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// LogValue implements slog.LogValuer.
func (Config) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// Store is a gateway as a store. It is safe for concurrent use. Make one with Open.
type Store struct {
	config Config
	base   *url.URL
	http   *http.Client
	bucket *http.Client // for presigned URLs: no token ever goes there

	mu       sync.Mutex
	sessions map[pipeline.RoundName]*session
}

var _ storage.Store = (*Store)(nil)

// session is what is known of one round; mu is held while logging in.
type session struct {
	name     pipeline.RoundName
	mu       sync.Mutex
	round    schema.RoundID
	token    string
	presign  bool                       // the gateway offers URLs of its store
	announce map[schema.ReportID][]byte // what to announce again if the gateway forgot it
}

// Format implements fmt.Formatter: a store holds a key and tokens.
func (s *Store) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue implements slog.LogValuer.
func (s *Store) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON implements json.Marshaler.
func (s *Store) MarshalJSON() ([]byte, error) { return []byte(fmt.Sprintf("%q", s.String())), nil }

// Open checks the configuration. It sends nothing.
func Open(c Config) (*Store, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("remote: the URL of a gateway is https://HOST or https://HOST:PORT")
	}
	if c.Key != nil && len(c.Key) != ed25519.PrivateKeySize {
		return nil, errors.New("remote: the vehicle's key is no Ed25519 private key")
	}
	if c.MinRate <= 0 {
		c.MinRate = 100
	}
	if c.Tries <= 0 {
		c.Tries = 6
	}
	if c.Backoff <= 0 {
		c.Backoff = time.Second
	}
	u.Path = ""
	s := &Store{config: c, base: u, sessions: map[pipeline.RoundName]*session{}}
	s.http, s.bucket = s.client(tls.VersionTLS13), s.client(tls.VersionTLS12)
	return s, nil
}

// client never follows a redirection.
func (s *Store) client(tlsVersion uint16) *http.Client {
	return &http.Client{Transport: s.transport(tlsVersion), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *Store) transport(tlsVersion uint16) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         s.config.Dial,
		TLSClientConfig:     &tls.Config{MinVersion: tlsVersion, RootCAs: s.config.RootCAs},
		TLSHandshakeTimeout: s.allow(handshakeBytes),
		IdleConnTimeout:     2 * time.Minute,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // ciphertext, and lengths are checked
		// A piece is not sent before the gateway has agreed to take it, or kept silent for so long.
		ExpectContinueTimeout: expectTimeout,
	}
}

// handshakeBytes is about what a TLS handshake with a chain of certificates moves.
const handshakeBytes = 16 << 10

// Bodies of expectBytes and more wait for the gateway's consent, at most expectTimeout.
const (
	expectBytes   = 32 << 10
	expectTimeout = 15 * time.Second
)

// patience is what a request may take beyond the time for its bytes.
const patience = time.Minute

// allow is the time that n bytes may take.
func (s *Store) allow(n int64) time.Duration {
	return patience + time.Duration(n/int64(s.config.MinRate))*time.Second
}

// String returns the gateway's URL.
func (s *Store) String() string { return s.base.String() }

// Close ends idle connections.
func (s *Store) Close() {
	s.http.CloseIdleConnections()
	s.bucket.CloseIdleConnections()
}

// session returns the round's session, new if there is none.
func (s *Store) session(n pipeline.RoundName) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.sessions[n]
	if x == nil {
		if len(s.sessions) >= maxSessions {
			clear(s.sessions) // costs logins, loses nothing
		}
		x = &session{name: n, announce: map[schema.ReportID][]byte{}}
		s.sessions[n] = x
	}
	return x
}

// maxSessions bounds the rounds that are remembered; a vehicle has one at a time.
const maxSessions = 64

// sessionOf returns a session of the task that has logged in, nil if there is none.
func (s *Store) sessionOf(task schema.TaskID) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, x := range s.sessions {
		if n.Task == task {
			return x
		}
	}
	return nil
}

// Login proves to the gateway that this vehicle may report in a round. Announce does it by itself;
// calling it before sealing tells early that the vehicle is not enrolled ([ErrRefused]), or that
// the round has ended. The round is the one whose descriptor the caller verified.
func (s *Store) Login(ctx context.Context, n pipeline.RoundName, id schema.RoundID) error {
	x := s.session(n)
	x.mu.Lock()
	x.round, x.token = id, ""
	x.mu.Unlock()
	_, err := s.retry(ctx, call{session: x}, func() (*reply, error) {
		_, err := s.token(ctx, x)
		return nil, err
	})
	return err
}

// Announce implements client.Announcer: it logs in and tells the gateway which report will come.
func (s *Store) Announce(ctx context.Context, head []byte, pieces []schema.Digest) ([]int, bool, error) {
	rep, err := schema.DecodeReportHead(head)
	if err != nil {
		return nil, false, fmt.Errorf("remote: %w", err)
	}
	h := rep.Header
	x := s.session(pipeline.RoundName{Task: h.TaskID, Epoch: h.Epoch, Lane: h.Lane})
	body := wire.AppendAnnouncement(head, pieces)
	x.mu.Lock()
	if x.round != h.RoundID {
		x.round, x.token = h.RoundID, ""
	}
	x.announce[rep.ID] = body
	x.mu.Unlock()
	m, err := s.announce(ctx, x, body)
	if err != nil {
		return nil, false, err
	}
	x.mu.Lock()
	x.presign = m.Presign
	x.mu.Unlock()
	missing, err := flatten(m.Pieces, len(pieces))
	if err != nil || m.Report != rep.ID {
		return nil, false, errors.Join(errors.New("remote: the gateway answers for another report"), err)
	}
	return missing, m.Committed, nil
}

func (s *Store) announce(ctx context.Context, x *session, body []byte) (m wire.Missing, err error) {
	err = s.do(ctx, call{method: http.MethodPost, path: wire.PathReports, body: body, session: x, into: &m})
	return m, err
}

// flatten lists runs of pieces; the gateway's numbers are checked, not believed.
func flatten(runs [][2]int, n int) ([]int, error) {
	var list []int
	next := 0
	for _, r := range runs {
		if r[0] < next || r[1] < r[0] || r[1] >= n {
			return nil, fmt.Errorf("pieces %d to %d of %d", r[0], r[1], n)
		}
		for j := r[0]; j <= r[1]; j++ {
			list = append(list, j)
		}
		next = r[1] + 1
	}
	return list, nil
}

// PutOnce implements [storage.Store] for pieces and the header object of a report that was announced.
func (s *Store) PutOnce(ctx context.Context, key string, body []byte) (storage.Outcome, error) {
	if err := storage.CheckKey(key); err != nil {
		return 0, err
	}
	o, ok := pipeline.ParseObject(key)
	if !ok || o.Kind != pipeline.KindPiece && o.Kind != pipeline.KindHeader {
		return 0, unsupported("put " + key)
	}
	return s.put(ctx, o, body)
}

// List implements [storage.Store]: it yields an error that matches errors.ErrUnsupported.
func (s *Store) List(context.Context, string, string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) { yield(storage.Info{}, unsupported("list")) }
}

// Delete implements [storage.Store]: it is an error that matches errors.ErrUnsupported.
func (s *Store) Delete(context.Context, string) error { return unsupported("delete") }

func unsupported(what string) error {
	return fmt.Errorf("remote: %s: a vehicle cannot do that through a gateway: %w", what, errors.ErrUnsupported)
}
