// Package gatewaytest runs upload gateways over real TLS for tests.
package gatewaytest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/schema"

	"github.com/veilsum/veilsum/pipeline/pipelinetest"
)

// Server is a gateway on a free port of 127.0.0.1.
type Server struct {
	T       testing.TB
	URL     string
	CAs     *x509.CertPool // vouch for it
	Gateway *gateway.Gateway
	Config  gateway.Config // may be changed before Restart

	certificate tls.Certificate
	address     string
	server      *http.Server
	done        chan struct{}
}

// Start runs a gateway in front of the fleet's store until the test ends. change, if not nil, changes the
// configuration, which uses the fleet's clock.
func Start(f *pipelinetest.Fleet, change func(*gateway.Config)) *Server {
	f.T.Helper()
	s := &Server{T: f.T, address: "127.0.0.1:0", Config: gateway.Config{
		Store: f.Store, Owner: schema.NewPublicKey(f.Owner), Names: []string{"127.0.0.1"}, Now: f.Now,
		Limits: gateway.Limits{Burst: 1 << 20}, // the clock stands still
	}}
	if change != nil {
		change(&s.Config)
	}
	var err error
	if s.certificate, err = gateway.SelfSigned([]string{"127.0.0.1", "localhost"}, 24*time.Hour); err != nil {
		f.T.Fatal(err)
	}
	s.CAs = x509.NewCertPool()
	s.CAs.AddCert(s.certificate.Leaf)
	s.start()
	f.T.Cleanup(s.Kill)
	return s
}

func (s *Server) start() {
	s.T.Helper()
	var err error
	if s.Gateway, err = gateway.New(s.Config); err != nil {
		s.T.Fatal(err)
	}
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.T.Fatal(err)
	}
	s.address = l.Addr().String()
	s.URL = "https://" + s.address
	s.server = s.Gateway.NewServer(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &s.certificate, nil })
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		_ = s.server.ServeTLS(s.Gateway.Listen(l), "", "")
	}()
}

// Kill ends the gateway and all connections, as the death of its process does.
func (s *Server) Kill() {
	_ = s.server.Close()
	<-s.done
}

// Restart kills the gateway and starts another one at the same address, which knows nothing of the first.
func (s *Server) Restart() {
	s.T.Helper()
	s.Kill()
	s.start()
}

// Shutdown stops the gateway gently.
func (s *Server) Shutdown(ctx context.Context) error { return s.Gateway.Shutdown(ctx, s.server) }

// Remote is the store as a vehicle sees it. Pauses between tries are short.
func (s *Server) Remote(v client.Identity) *remote.Store { return s.RemoteAt(s.URL, v, 0) }

// RemoteAt is Remote by another way to the gateway, with the given number of tries, 0 for the usual one.
func (s *Server) RemoteAt(url string, v client.Identity, tries int) *remote.Store {
	s.T.Helper()
	r, err := remote.Open(remote.Config{URL: url, Vehicle: v.ID, Key: v.Key, RootCAs: s.CAs, Backoff: time.Millisecond, Tries: tries})
	if err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(r.Close)
	return r
}
