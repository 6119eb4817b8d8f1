package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// NewServer returns a server for the gateway: TLS 1.3 only, HTTP/2 (and 1.1) with small buffers and few
// streams, short headers, and timeouts that a slow link keeps and an idle one does not. certificate is
// asked for each handshake. Serve on a listener that [Gateway.Listen] wraps.
func (g *Gateway) NewServer(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *http.Server {
	l := g.config.Limits
	return &http.Server{
		Handler: g,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: certificate,
			// Tickets make a resumed handshake cheap for both; 0-RTT, which could be replayed, is never taken.
			NextProtos: []string{"h2", "http/1.1"},
		},
		ReadHeaderTimeout: l.HeaderTimeout,
		IdleTimeout:       l.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: 16 << 10,
			MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10,
			MaxDecoderHeaderTableSize: 4 << 10, MaxEncoderHeaderTableSize: 4 << 10,
		},
		// The lines of net/http quote what clients send.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
}

const (
	maxHeaderBytes = 8 << 10
	maxStreams     = 8 // requests of one vehicle at the same time
)

// Listen bounds the connections of a listener in all and for each address. One too many is closed at once.
func (g *Gateway) Listen(l net.Listener) net.Listener {
	return &bounded{Listener: l, limits: g.config.Limits, byAddress: map[string]int{}}
}

type bounded struct {
	net.Listener
	limits Limits

	mu        sync.Mutex
	all       int
	byAddress map[string]int
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := addressOf(c.RemoteAddr())
		if b.enter(host) {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { b.leave(host) })}, nil
		}
		_ = c.Close()
	}
}

func (b *bounded) enter(host string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= b.limits.Connections || b.limits.PerAddress > 0 && b.byAddress[host] >= b.limits.PerAddress {
		return false
	}
	b.all++
	b.byAddress[host]++
	return true
}

func (b *bounded) leave(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.byAddress[host]--; b.byAddress[host] <= 0 {
		delete(b.byAddress, host)
	}
}

// addressOf is the host, of an IPv6 address its /64, which one customer has.
func addressOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return host
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}

// Shutdown stops a server gently: new uploads are sent away, those under way may end until ctx does.
func (g *Gateway) Shutdown(ctx context.Context, s *http.Server) error {
	g.Drain()
	if err := s.Shutdown(ctx); err != nil {
		_ = s.Close()
		return err
	}
	return nil
}
