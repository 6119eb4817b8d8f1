package s3_test

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
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

func TestConformanceHTTP(t *testing.T) { conformance(t, storagetest.StartVersityGW(t, false)) }

func TestConformanceTLS(t *testing.T) { conformance(t, storagetest.StartVersityGW(t, true)) }

// s3proxyKnown is where the file system backend of s3proxy 4.0.0 differs. No role
// depends on any of these.
var s3proxyKnown = []storagetest.Deviation{
	{Test: "MissingBelowObject", Why: "a name below an object is answered by 500, not by 404"},
	{Test: "LongSegment", Why: "it puts 37 characters behind names while it writes, so a segment may have 218"},
	{Test: "FolderClash", Why: "it is refused, but by 500: the outcome is unknown instead of ErrKey"},
	{Test: "ListWhileWriting", Why: "lists show objects under temporary names while they are written; names that are no object's are ignored"},
}

// TestS3Proxy runs all that a server of other origin is needed for on one start of it.
func TestS3Proxy(t *testing.T) {
	if testing.Short() {
		t.Skip("s3proxy takes seconds to start")
	}
	raw := storagetest.StartS3Proxy(t, storagetest.S3ProxyEnv)
	t.Run("Conformance", func(t *testing.T) { conformance(t, raw, s3proxyKnown...) })
	t.Run("Faults", func(t *testing.T) { faults(t, raw) })
	t.Run("Parts", func(t *testing.T) { partsRace(t, raw) })
}

func conformance(t *testing.T, raw string, known ...storagetest.Deviation) {
	raw = storagetest.WithPrefix(t, raw, "fleet/eu")
	if err := open(t, raw).Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	storagetest.Run(t, func(t *testing.T) storage.Store { return open(t, raw) }, known...)
}

func TestFaults(t *testing.T) { faults(t, storagetest.StartVersityGW(t, false)) }

func TestFaultsTLS(t *testing.T) { faults(t, storagetest.StartVersityGW(t, true)) }

// faults: four writers race for a key while 30 % of all requests are
// spoiled. In each round exactly one creates, the others know that they lost and
// to whom, and nobody is left in doubt. It fails by chance if a writer stays
// undecided 24 times: each try does so with probability at most 0.45 (at most 0.15 that
// the PUT does not reach the server and the key is still free, 0.3 that the look
// afterwards is spoiled), so over all 800 writers 800 * 0.45^24 < 4e-6.
func faults(t *testing.T, raw string) {
	direct := open(t, raw)
	if err := direct.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	flaky, proxy := storagetest.StartFaultProxy(t, raw, storagetest.RandomFaults(1, 30))
	store := openWith(t, flaky, func(c *s3.Config) { c.CreateBucket, c.MaxTries = false, 24 })
	rounds := 15
	switch {
	case os.Getenv("VEILSUM_SLOW") == "1":
		rounds = 200
	case testing.Short():
		rounds = 10
	}
	started := time.Now()
	for round := range rounds {
		key := fmt.Sprintf("faults/%d", round)
		winner := raceFour(t, store, key)
		have, err := storage.ReadAll(t.Context(), direct, key, 100)
		if err != nil || string(have) != winner {
			t.Fatalf("round %d: holds %q, %v; the winner wrote %q", round, have, err, winner)
		}
	}
	t.Logf("%d rounds of 4 writers in %v: one winner each, and everybody knew; %d requests went well", rounds, time.Since(started).Round(time.Millisecond), proxy.Count(storagetest.None))
	for _, fault := range storagetest.Faults() {
		if proxy.Count(fault) == 0 && rounds == 200 { // by chance less than 1e-20
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
