package gateway_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/pipeline/gateway"
	"github.com/veilsum/veilsum/pipeline/gateway/gatewaytest"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/s3"
	"github.com/veilsum/veilsum/storage/storagetest"
)

// bucketFleet is a fleet whose store is a real S3 server with TLS, behind a gateway that presigns.
func bucketFleet(t *testing.T, n int) (f *pipelinetest.Fleet, s *gatewaytest.Server, host string, routes func(string) int) {
	t.Helper()
	raw := storagetest.StartVersityGW(t, true)
	config, err := s3.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := s3.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	f = pipelinetest.New(t, n, pieces(3000))
	before := f.Objects()
	old := *f
	f.Store = bucket
	for key := range before {
		f.Put(key, old.Get(key))
	}
	var mu sync.Mutex
	seen := map[string]int{}
	s = gatewaytest.Start(f, func(c *gateway.Config) {
		c.Presign = true
		c.Observe = func(o gateway.Observation) {
			mu.Lock()
			defer mu.Unlock()
			seen[o.Route]++
		}
	})
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(u.Query().Get("ca"))
	if err != nil || !s.CAs.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	return f, s, u.Query().Get("endpoint"), func(route string) int {
		mu.Lock()
		defer mu.Unlock()
		return seen[route]
	}
}

// TestPresigned: a whole round in a bucket, of which no piece goes through the gateway unless the vehicle
// does not know the bucket.
func TestPresigned(t *testing.T) {
	f, s, host, routes := bucketFleet(t, 4)
	r := f.Open(1)
	for i, v := range f.Vehicles {
		buckets := []string{host}
		if i == 3 {
			buckets = []string{"bucket.example"}
		}
		far, err := remote.Open(remote.Config{URL: s.URL, Vehicle: v.ID, Key: v.Key, RootCAs: s.CAs, Buckets: buckets})
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		c, exit := f.Vehicle(i)
		sealed, err := c.SealRound(r, f.Update(i))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Upload(ctx, far, sealed.File(), nil); err != nil {
			t.Fatal(err)
		}
		exit()
		if n := routes("piece"); (n == 0) != (i < 3) {
			t.Errorf("vehicle %d: %d pieces through the gateway", i, n)
		}
	}
	if n := routes("presign"); n != 4*r.Header().Pieces() {
		t.Errorf("%d URLs for %d pieces", n, 4*r.Header().Pieces())
	}
	finish(t, f, r, 4)
}

// TestPresignedOtherBytes: what a vehicle puts past the gateway commits nothing unless it is what was announced.
func TestPresignedOtherBytes(t *testing.T) {
	f, s, _, _ := bucketFleet(t, 1)
	x := newAttack(t, s, f, f.Open(1), 0).enter()
	rep, parts := x.forge(x.v, pipelinetest.Forgery{})
	x.want(x.announce(rep, parts), 200, "")
	ask := func(path string, b []byte) answer {
		return x.do(http.MethodPost, path, nil, "Content-Digest", digestOf(b))
	}
	x.want(ask(piecePath(rep, len(parts)), parts[0]), 404, "not_found")
	x.want(x.do(http.MethodPost, piecePath(rep, 0), nil), 400, "malformed")
	x.want(x.do(http.MethodPost, piecePath(rep, 0), []byte("x"), "Content-Digest", digestOf(nil)), 413, "too_large")
	x.want(x.put(headerPath(rep), rep.Bytes()), 412, "incomplete")
	for j, p := range parts {
		if j == 1 {
			p = bytes.Clone(p)
			p[0] ^= 1
		}
		a := ask(piecePath(rep, j), p)
		x.want(a, 200, "")
		if code := follow(t, s.CAs, a.body, p); code != http.StatusOK {
			t.Fatal(code)
		}
		if code := follow(t, s.CAs, a.body, p); code != http.StatusPreconditionFailed {
			t.Errorf("the same URL again: %d", code)
		}
	}
	x.want(x.put(headerPath(rep), rep.Bytes()), 409, "conflict")
	token := x.token
	x.token = ""
	x.want(ask(piecePath(rep, 0), parts[0]), 401, "login")
	x.token = token
	plain, err := gateway.New(gateway.Config{Store: &tripping{Store: f.Store}, Owner: schema.NewPublicKey(f.Owner), Names: []string{"x"}, Presign: true})
	if err == nil {
		t.Error("a store that cannot presign is taken", plain)
	}
}

// follow sends a body to a presigned URL.
func follow(t *testing.T, roots *x509.CertPool, location, body []byte) int {
	t.Helper()
	var l struct {
		URL    string
		Header map[string]string
	}
	if err := json.Unmarshal(location, &l); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPut, l.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range l.Header {
		req.Header.Set(k, v)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
