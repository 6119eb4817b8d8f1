package s3_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/s3"
	"github.com/veilsum/veilsum/storage/storagetest"
)

// partSize is the smallest that S3 takes.
const partSize = 5 << 20

// inParts makes a store send bodies above 1 MiB in parts.
func inParts(c *s3.Config) { c.PartSize, c.PartsFrom = partSize, 1<<20 }

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// sent counts the parts that reached the server.
func (f *fake) sent() int { return strings.Count(f.methods(), "PUT") }

// TestResume: a write that was cut off sends only what is missing when it is
// started again, by the same process or another.
func TestResume(t *testing.T) {
	server, raw := startFake(t)
	body := noise(3*partSize + 17)
	store := openWith(t, raw, func(c *s3.Config) { inParts(c); c.MaxTries = 1 })
	puts := 0
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || !r.URL.Query().Has("partNumber") {
			return false
		}
		if puts++; puts > 2 { // two parts arrive, then the link is down
			return errorAnswer(w, http.StatusForbidden, "AccessDenied", "")
		}
		return false
	}
	if outcome, err := store.PutOnce(t.Context(), "k", body); outcome != 0 || err == nil {
		t.Fatalf("cut off: %v, %v", outcome, err)
	}
	if len(server.objects) != 1 { // the note
		t.Errorf("%d objects, want only the note", len(server.objects))
	}
	for info, err := range store.List(t.Context(), "", "") {
		t.Errorf("a list shows %v, %v", info, err)
	}
	server.before = nil
	server.methods()
	other := openWith(t, raw, func(c *s3.Config) { inParts(c); c.MaxTries = 2 })
	outcome, err := other.PutOnce(t.Context(), "k", body)
	if outcome != storage.Identical || err != nil { // the upload is that of the first call
		t.Fatalf("again: %v, %v", outcome, err)
	}
	if n := server.sent(); n != 2 {
		t.Errorf("%d parts were sent again, want the 2 that were missing", n)
	}
	have, err := storage.ReadAll(t.Context(), other, "k", 1<<30)
	if err != nil || !bytes.Equal(have, body) {
		t.Errorf("holds %d bytes, %v", len(have), err)
	}
	if len(server.objects) != 1 || len(server.uploads) != 0 {
		t.Errorf("%d objects and %d uploads are left", len(server.objects), len(server.uploads))
	}
	if outcome, err := store.PutOnce(t.Context(), "k", body); outcome != storage.Identical || err != nil {
		t.Errorf("once more: %v, %v", outcome, err)
	}
	body[0]++
	if _, err := store.PutOnce(t.Context(), "k", body); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("other bytes: %v", err)
	}
	if n := server.sent(); n != 0 {
		t.Errorf("%d parts were sent for nothing", n)
	}
}

// TestResumeOtherBytes: parts of another body, under the same name, are not taken.
func TestResumeOtherBytes(t *testing.T) {
	server, raw := startFake(t)
	body := noise(2 * partSize)
	store := openWith(t, raw, func(c *s3.Config) { inParts(c); c.MaxTries = 3 })
	broken := true
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		if !broken || r.URL.Query().Get("partNumber") != "2" {
			return false
		}
		return errorAnswer(w, http.StatusForbidden, "AccessDenied", "")
	}
	if _, err := store.PutOnce(t.Context(), "k", body); err == nil {
		t.Fatal("cut off, and yet done")
	}
	for _, u := range server.uploads { // somebody else sends into it
		u.parts[1] = noise(partSize)
	}
	broken = false
	if outcome, err := store.PutOnce(t.Context(), "k", body); err != nil {
		t.Fatalf("again: %v, %v", outcome, err)
	}
	if have, err := storage.ReadAll(t.Context(), store, "k", 1<<30); err != nil || !bytes.Equal(have, body) {
		t.Errorf("holds %d bytes, %v", len(have), err)
	}
}

// TestReadBack: where ETags prove nothing, the object is read before it is reported.
func TestReadBack(t *testing.T) {
	server, raw := startFake(t)
	store := openWith(t, raw, func(c *s3.Config) { inParts(c); c.MaxTries = 2 })
	server.oddETags = true
	if outcome, err := store.PutOnce(t.Context(), "good", noise(partSize+1)); outcome != storage.Created || err != nil {
		t.Errorf("%v, %v", outcome, err)
	}
	if have := server.methods(); !strings.HasSuffix(have, "GET") {
		t.Errorf("the server saw %q, want a GET at the end", have)
	}
	server.damageParts = true
	if _, err := store.PutOnce(t.Context(), "bad", noise(partSize+1)); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
}

// TestUploadGone: an upload that the janitor removed is begun anew.
func TestUploadGone(t *testing.T) {
	server, raw := startFake(t)
	store := openWith(t, raw, func(c *s3.Config) { inParts(c); c.MaxTries = 3 })
	body := noise(2 * partSize)
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Get("partNumber") == "2" && errorAnswer(w, http.StatusForbidden, "AccessDenied", "")
	}
	if _, err := store.PutOnce(t.Context(), "k", body); err == nil {
		t.Fatal("cut off, and yet done")
	}
	server.before = nil
	left, err := store.Leftovers(t.Context(), time.Now())
	if err != nil || len(left) != 2 {
		t.Fatalf("leftovers %v, %v; want an upload and its note", left, err)
	}
	if none, err := store.Leftovers(t.Context(), time.Unix(1e8, 0)); err != nil || len(none) != 0 {
		t.Errorf("leftovers that are too young: %v, %v", none, err)
	}
	for _, l := range left {
		if strings.HasPrefix(l.Name, "upload ") {
			for range 2 {
				if err := store.RemoveLeftover(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if outcome, err := store.PutOnce(t.Context(), "k", body); outcome != storage.Created || err != nil {
		t.Errorf("again: %v, %v", outcome, err)
	}
	if err := store.RemoveLeftover(t.Context(), storage.Leftover{Name: "note k"}); !errors.Is(err, storage.ErrKey) {
		t.Errorf("an object goes as a leftover: %v", err)
	}
}

// raceInParts: writers of different large bodies, and two of the same, while requests are spoiled.
func raceInParts(t *testing.T, store, direct storage.Store, round int) {
	t.Helper()
	key := fmt.Sprintf("large/%d", round)
	bodies := [][]byte{noise(partSize + 1), noise(2*partSize + 3), nil}
	bodies[2] = bodies[1]
	outcomes, errs := make([]storage.Outcome, 3), make([]error, 3)
	var group sync.WaitGroup
	for i := range bodies {
		group.Go(func() { outcomes[i], errs[i] = store.PutOnce(t.Context(), key, bodies[i]) })
	}
	group.Wait()
	have, err := storage.ReadAll(t.Context(), direct, key, 1<<30)
	if err != nil {
		t.Fatalf("%s: %v; writers %v %v", key, err, outcomes, errs)
	}
	created := 0
	for i := range bodies {
		if outcomes[i] == storage.Created {
			created++
		}
		if won := bytes.Equal(have, bodies[i]); won != (errs[i] == nil) || !won && !errors.Is(errs[i], storage.ErrConflict) {
			t.Fatalf("%s: writer %d: %v, %v; its bytes won: %v", key, i, outcomes[i], errs[i], won)
		}
	}
	if created > 1 {
		t.Fatalf("%s: %d writers created it", key, created)
	}
}

// TestPartsRace runs on a real server, with faults as TestFaults has them.
func TestPartsRace(t *testing.T) { partsRace(t, storagetest.StartVersityGW(t, false)) }

func partsRace(t *testing.T, raw string) {
	direct := open(t, raw)
	flaky, _ := storagetest.StartFaultProxy(t, raw, storagetest.RandomFaults(2, 20))
	store := openWith(t, flaky, func(c *s3.Config) { inParts(c); c.CreateBucket, c.MaxTries = false, 24 })
	rounds := 3
	switch {
	case os.Getenv("VEILSUM_SLOW") == "1":
		rounds = 25
	case testing.Short():
		rounds = 1
	}
	for round := range rounds {
		raceInParts(t, store, direct, round)
	}
	left, err := open(t, raw).Leftovers(t.Context(), time.Now().Add(time.Hour))
	t.Logf("%d rounds left %d uploads and notes for the janitor (%v)", rounds, len(left), err)
	for _, l := range left {
		err = errors.Join(err, open(t, raw).RemoveLeftover(t.Context(), l))
	}
	if left, again := open(t, raw).Leftovers(t.Context(), time.Now().Add(time.Hour)); err != nil || again != nil || len(left) > 0 {
		t.Errorf("after the janitor %v (%v, %v)", left, err, again)
	}
}

// TestCanceledInParts: what a canceled write sent is found by the next.
func TestCanceledInParts(t *testing.T) {
	server, raw := startFake(t)
	store := openWith(t, raw, inParts)
	ctx, cancel := context.WithCancel(t.Context())
	server.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("partNumber") == "2" {
			cancel()
		}
		return false
	}
	body := noise(4 * partSize)
	if _, err := store.PutOnce(ctx, "k", body); !errors.Is(err, context.Canceled) {
		t.Fatalf("canceled: %v", err)
	}
	server.methods()
	if outcome, err := store.PutOnce(t.Context(), "k", body); outcome != storage.Identical || err != nil {
		t.Fatalf("again: %v, %v", outcome, err)
	}
	if n := server.sent(); n < 2 || n > 3 {
		t.Errorf("%d parts of 4 were sent again", n)
	}
}

// TestFalseSuccess: a server that answers 200 to the completion of an upload, and has not
// made the object, is not believed.
func TestFalseSuccess(t *testing.T) {
	server, raw := startFake(t)
	store := openWith(t, raw, func(c *s3.Config) { inParts(c); c.MaxTries = 2 })
	body, winner := noise(partSize+1), fakeObject{[]byte("winner"), http.Header{"Last-Modified": {time.Now().UTC().Format(http.TimeFormat)}}}
	wins := true
	server.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") {
			return false
		}
		if wins {
			server.objects["k"] = winner
		}
		_, _ = io.WriteString(w, "<CompleteMultipartUploadResult><Bucket>bucket</Bucket></CompleteMultipartUploadResult>")
		return true
	}
	if outcome, err := store.PutOnce(t.Context(), "k", body); outcome != 0 || !errors.Is(err, storage.ErrConflict) {
		t.Errorf("another object: %v, %v", outcome, err)
	}
	wins = false
	if outcome, err := store.PutOnce(t.Context(), "none", body); outcome != 0 || err == nil || errors.Is(err, storage.ErrConflict) {
		t.Errorf("no object: %v, %v", outcome, err)
	}
}
