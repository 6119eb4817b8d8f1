package main

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/veilsum/veilsum/pipeline/gateway"
)

// serveCertificate is the gateway's certificate, which can be replaced while it serves.
type serveCertificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

// selfSignedLife is long enough for a fleet in the field; who wants shorter brings a certificate.
const selfSignedLife = 397 * 24 * time.Hour

func (f *serveFlags) certificate() (*serveCertificate, error) {
	switch {
	case f.selfSigned != "" && (f.cert != "" || f.key != ""):
		return nil, usage("--self-signed and --cert exclude each other")
	case f.selfSigned != "":
		return f.makeCertificate()
	case f.cert == "" || f.key == "":
		return nil, &usageError{Err: errors.New("--cert and --key are required"), Hint: "or --self-signed FILE, whose certificate vehicles then get as --ca"}
	}
	c := &serveCertificate{certFile: f.cert, keyFile: f.key}
	if err := c.load(); err != nil {
		return nil, &usageError{Err: err, Hint: "--cert is a PEM chain, the gateway's own certificate first, --key its PEM key"}
	}
	return c, nil
}

func (f *serveFlags) makeCertificate() (*serveCertificate, error) {
	names := f.names
	if len(names) == 0 {
		names = []string{"localhost", "127.0.0.1"}
	}
	made, err := gateway.SelfSigned(names, selfSignedLife)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})
	if err := writeFile(f.selfSigned, text, 0o644, true); err != nil {
		return nil, err
	}
	c := &serveCertificate{}
	c.current.Store(&made)
	return c, nil
}

// load reads the files. What is served stays if they are bad. The error names files, not what is in them.
func (c *serveCertificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s, key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return nil
}

func (c *serveCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// names are the hosts that the certificate is for; a wildcard is none that a login could name.
func (c *serveCertificate) names() (names []string) {
	leaf := c.current.Load().Leaf
	if leaf == nil {
		return nil
	}
	for _, name := range leaf.DNSNames {
		if name != "" && name[0] != '*' {
			names = append(names, name)
		}
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// watch reads the files again at each SIGHUP until stop is called.
func (c *serveCertificate) watch(log *slog.Logger) (stop func()) {
	ch, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(ch, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-ch:
			}
			if c.certFile == "" {
				log.Info("SIGHUP: a self-signed certificate stays")
				continue
			}
			if err := c.load(); err != nil {
				log.Error("SIGHUP: the old certificate stays", "cause", err.Error())
				continue
			}
			log.Info("SIGHUP: certificate read again", "names", c.names())
		}
	}()
	return func() { signal.Stop(ch); close(done) }
}
