package storagetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// The credentials of the servers that StartVersityGW starts. It also sets them
// in the environment of the test; hand them to child processes that have another.
const (
	AccessKey = "veilsum-test"
	SecretKey = "veilsum-test-secret"
)

// VersityGWEnv names the environment variable that holds the path of the
// versitygw program.
const VersityGWEnv = "VEILSUM_VERSITYGW"

const startTimeout = 30 * time.Second

// StartVersityGW runs the S3 server versitygw on a free port of 127.0.0.1 until
// the test ends, and returns the URL of a store in it, for s3.ParseURL or a
// command line. The bucket is created at first use; append a path to its URL
// with [WithPrefix]. With secure the server speaks TLS, with a certificate the
// URL names as ca. The test is skipped if VEILSUM_VERSITYGW does not name the
// program. Not for parallel tests: it sets the environment.
func StartVersityGW(t testing.TB, secure bool) string {
	t.Helper()
	program := os.Getenv(VersityGWEnv)
	if program == "" {
		t.Skip("no S3 server to test with: " + VersityGWEnv + " is not set; run with " +
			VersityGWEnv + "=\"$(.ci/versitygw/install)\" go test ./storage/...")
	}
	setCredentials(t)
	query := url.Values{"region": {"us-east-1"}, "create": {"true"}, "tls": {"false"}}
	var tlsFlags []string
	if secure {
		cert, key := selfSigned(t)
		tlsFlags = []string{"--cert", cert, "--key", key}
		query.Set("tls", "true")
		query.Set("ca", cert)
	}
	query.Set("endpoint", startGateway(t, program, tlsFlags))
	return "s3://veilsum-test?" + query.Encode()
}

// WithPrefix returns the URL of a store below another folder of the same bucket.
func WithPrefix(t testing.TB, raw, prefix string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + prefix
	return u.String()
}

// startGateway returns the address. A second try stores metadata in files, for
// file systems without extended attributes, on another port, if the first was
// taken in the meantime.
func startGateway(t testing.TB, program string, tlsFlags []string) string {
	t.Helper()
	root := tempDir(t)
	data, sidecar, versions := filepath.Join(root, "data"), filepath.Join(root, "meta"), filepath.Join(root, "versions")
	for _, dir := range []string{data, sidecar, versions} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var failed error
	for _, posix := range [][]string{{"--versioning-dir", versions, data}, {"--sidecar", sidecar, data}} {
		address := freeAddress(t)
		args := append([]string{"--port", address, "--quiet", "--keep-alive"}, tlsFlags...)
		err := startProcess(t, address, program, append(append(args, "posix"), posix...))
		if err == nil {
			return address
		}
		failed = errors.Join(failed, err)
	}
	t.Fatalf("storagetest: versitygw does not start: %v", failed)
	return ""
}

// tempDir is t.TempDir without an error if the server, which we kill, still
// writes during the removal.
func tempDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "storagetest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// startProcess starts the server and returns when it answers or died.
func startProcess(t testing.TB, address, program string, args []string) error {
	var output lockedBuffer
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		stop()
		return err
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait(); close(died) }()
	end := func() { stop(); <-died }
	if err := waitForPort(address, died); err != nil {
		end()
		return fmt.Errorf("%w; it said: %s", err, output.String())
	}
	t.Cleanup(end)
	return nil
}

// waitForPort asks every 10 ms.
func waitForPort(address string, died <-chan error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(startTimeout)
	defer limit.Stop()
	for {
		select {
		case err := <-died:
			return fmt.Errorf("it ended: %w", err)
		case <-limit.C:
			return fmt.Errorf("no answer on %s in %v", address, startTimeout)
		case <-tick.C:
		}
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
	}
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// lockedBuffer keeps what the server prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

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

// selfSigned writes a certificate for 127.0.0.1 and its key and returns their
// absolute paths; versitygw changes its directory before it reads them.
func selfSigned(t testing.TB) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "storagetest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := tempDir(t)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, certFile, "CERTIFICATE", cert)
	writePEM(t, keyFile, "PRIVATE KEY", secret)
	return certFile, keyFile
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
