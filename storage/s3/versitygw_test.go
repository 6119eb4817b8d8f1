package s3_test

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/s3"
	"github.com/veilsum/veilsum/storage/storagetest"
)

func open(t *testing.T, raw string) *s3.Store {
	t.Helper()
	return openWith(t, raw, func(*s3.Config) {})
}

func openWith(t *testing.T, raw string, change func(*s3.Config)) *s3.Store {
	t.Helper()
	config, err := s3.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	config.Backoff = time.Millisecond // the server is on this machine
	change(&config)
	store, err := s3.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestConformanceHTTP(t *testing.T) { conformance(t, false) }

func TestConformanceTLS(t *testing.T) { conformance(t, true) }

func conformance(t *testing.T, secure bool) {
	raw := storagetest.WithPrefix(t, storagetest.StartVersityGW(t, secure), "fleet/eu")
	if err := open(t, raw).Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	storagetest.Run(t, func(t *testing.T) storage.Store { return open(t, raw) })
}

// TestFaults: four writers race for a key while 30 % of all requests are
// spoiled. In each round exactly one creates, the others know that they lost and
// to whom, and nobody is left in doubt. It fails by chance if a writer stays
// undecided 24 times: each try does so with probability at most 0.45 (0.15 that
// the PUT does not reach the server and the key is still free, 0.3 that the look
// afterwards is spoiled), so over all 200 writers 200 * 0.45^24 < 1e-6.
func TestFaults(t *testing.T) {
	raw := storagetest.StartVersityGW(t, false)
	direct := open(t, raw)
	if err := direct.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	flaky, proxy := storagetest.StartFaultProxy(t, raw, storagetest.RandomFaults(1, 30))
	store := openWith(t, flaky, func(c *s3.Config) { c.CreateBucket, c.MaxTries = false, 24 })
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	for round := range rounds {
		key := fmt.Sprintf("faults/%d", round)
		winner := raceFour(t, store, key)
		have, err := storage.ReadAll(t.Context(), direct, key, 100)
		if err != nil || string(have) != winner {
			t.Fatalf("round %d: holds %q, %v; the winner wrote %q", round, have, err, winner)
		}
	}
	for fault := storagetest.None; fault <= storagetest.Status500; fault++ {
		if proxy.Count(fault) == 0 {
			t.Errorf("%v never happened", fault)
		}
		t.Logf("%v: %d requests", fault, proxy.Count(fault))
	}
}

// raceFour returns what the one winner wrote.
func raceFour(t *testing.T, store storage.Store, key string) string {
	t.Helper()
	const writers = 4
	var outcomes [writers]storage.Outcome
	var errs [writers]error
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() { outcomes[i], errs[i] = store.PutOnce(t.Context(), key, text(i, key)) })
	}
	group.Wait()
	winner := slices.Index(outcomes[:], storage.Created)
	if winner < 0 {
		t.Fatalf("%s: nobody knows that it won: %v %v", key, outcomes, errs)
	}
	for i, err := range errs {
		if i == winner {
			continue
		}
		var conflict *storage.ConflictError
		if !errors.As(err, &conflict) || conflict.Have != sha256.Sum256(text(winner, key)) {
			t.Fatalf("%s: writer %d: %v, %v; writer %d won", key, i, outcomes[i], err, winner)
		}
	}
	return string(text(winner, key))
}

func text(writer int, key string) []byte { return fmt.Appendf(nil, "writer %d for %s", writer, key) }

// TestWrongServer: a server whose certificate is not trusted, one that speaks no
// TLS and one that knows other keys are refused at once, without retries.
func TestWrongServer(t *testing.T) {
	secure, plain := storagetest.StartVersityGW(t, true), storagetest.StartVersityGW(t, false)
	tests := map[string]struct {
		url    string
		change func(*s3.Config)
	}{
		"certificate": {secure, func(c *s3.Config) { c.RootCAs = x509.NewCertPool() }},
		"no TLS":      {plain, func(c *s3.Config) { c.Secure = true }},
		"credentials": {plain, func(c *s3.Config) { c.Credentials = &s3.Credentials{AccessKeyID: "who", SecretAccessKey: "hush-hush"} }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			store := openWith(t, test.url, func(c *s3.Config) {
				c.CreateBucket, c.Backoff = false, time.Hour
				test.change(c)
			})
			_, err := store.PutOnce(t.Context(), "x", []byte("x"))
			if err == nil || errors.Is(err, storage.ErrConflict) {
				t.Fatalf("PutOnce: %v", err)
			}
			if strings.Contains(err.Error(), "hush-hush") || strings.Contains(err.Error(), "who") {
				t.Fatalf("the error tells secrets: %v", err)
			}
			t.Log(err)
		})
	}
}
