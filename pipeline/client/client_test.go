package client_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

var ctx = context.Background()

// TestIdentityPrintsNothing: no verb, logger or encoder shows a key.
func TestIdentityPrintsNothing(t *testing.T) {
	id := pipelinetest.New(t, 1, pipelinetest.Task(10)).Vehicles[0]
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		fmt.Fprintf(&out, verb+"\n", id)
		fmt.Fprintf(&out, verb+"\n", &id)
		fmt.Fprintf(&out, verb+"\n", []client.Identity{id})
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("identity", "id", id, "pointer", &id, "inside", struct{ ID client.Identity }{id})
	}
	if err := json.NewEncoder(&out).Encode(id); err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{"key": id.Key.Seed(), "device secret": id.DeviceSecret[:]} {
		if shown(out.Bytes(), secret) {
			t.Errorf("the %s is printed", name)
		}
	}
}

// shown looks for 8 bytes of a secret in any usual spelling.
func shown(text, secret []byte) bool {
	part := secret[:9]
	decimal := strings.Trim(fmt.Sprint(part), "[]")
	lower := bytes.ToLower(text)
	return bytes.Contains(text, part) || bytes.Contains(lower, []byte(hex.EncodeToString(part))) ||
		bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString(part))) || bytes.Contains(text, []byte(decimal)) ||
		bytes.Contains(text, []byte(strings.ReplaceAll(decimal, " ", ",")))
}

// TestShown: the search of the other tests finds what it should.
func TestShown(t *testing.T) {
	secret := []byte("a secret of many bytes")
	for _, verb := range []string{"%s", "%x", "%X", "%d", "%v"} {
		if !shown(fmt.Appendf(nil, "xx"+verb+"yy", secret), secret) {
			t.Error(verb)
		}
	}
	if shown([]byte("nothing here"), secret) {
		t.Error("found in nothing")
	}
}

// TestDiskHoldsNoSecret: neither keys nor a value of the update are in any file of the vehicle.
func TestDiskHoldsNoSecret(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(300))
	r := f.Open(1)
	c, exit := f.Vehicle(0)
	defer exit()
	u := f.Update(0)
	var raw []byte
	for _, v := range u.Values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	sealed, err := c.SealRound(r, u)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := filepath.WalkDir(filepath.Join(f.Dir, "vehicle-0"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		n += len(b)
		if bytes.Contains(b, raw[:16]) || shown(b, f.Vehicles[0].Key.Seed()) || shown(b, f.Vehicles[0].DeviceSecret[:]) {
			t.Errorf("%s holds a secret", path)
		}
		return err
	}); err != nil || int64(n) < sealed.Bytes {
		t.Fatal(n, "bytes seen", err)
	}
}

// TestHeaderGoesLast cuts the power at each write of an upload: the header
// object is never in the store without all pieces, and the report arrives in the end.
func TestHeaderGoesLast(t *testing.T) {
	task := pipelinetest.Task(3000)
	task.PieceBlocks = 1
	f := pipelinetest.New(t, 4, task)
	r := f.Open(1)
	c, exit := f.Vehicle(0)
	defer exit()
	sealed, err := c.SealRound(r, f.Update(0))
	if err != nil {
		t.Fatal(err)
	}
	pieces := r.Header()
	for cut := 0; ; cut++ {
		power := &pipelinetest.Power{Left: cut % 2, After: cut%3 == 0}
		_, err := c.Upload(ctx, pipelinetest.Powered{Store: f.Store, Power: power}, sealed.File(), nil)
		have := 0
		for j := range pieces.Pieces() {
			if _, err := f.Store.Stat(ctx, pipeline.PieceKey(r.Name, sealed.Report, j)); err == nil {
				have++
			}
		}
		_, missing := f.Store.Stat(ctx, pipeline.HeaderKey(r.Name, sealed.Report))
		if missing == nil && have < pieces.Pieces() {
			t.Fatalf("header with %d of %d pieces", have, pieces.Pieces())
		}
		if err == nil {
			break
		}
		if !errors.Is(err, pipelinetest.ErrPower) || cut > 50 {
			t.Fatal(cut, err)
		}
	}
	if files, err := c.Pending(); err != nil || len(files) != 0 {
		t.Error(files, err)
	}
}

// TestProgress counts bytes up to the whole report.
func TestProgress(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(300))
	c := f.Client(0)
	sealed, err := c.SealRound(f.Open(1), f.Update(0))
	if err != nil {
		t.Fatal(err)
	}
	var last int64
	if _, err := c.Upload(ctx, f.Store, sealed.File(), func(done, total int64) {
		if done <= last || done > total || total != sealed.Bytes {
			t.Errorf("%d after %d of %d, report %d", done, last, total, sealed.Bytes)
		}
		last = done
	}); err != nil {
		t.Fatal(err)
	}
}

// TestDiscard removes expired and damaged reports and keeps the rest.
func TestDiscard(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(300))
	c, exit := f.Vehicle(0)
	defer exit()
	for epoch := uint64(1); epoch <= 2; epoch++ {
		if _, err := c.SealRound(f.Open(epoch), f.Update(0)); err != nil {
			t.Fatal(err)
		}
	}
	junk := filepath.Join(f.Dir, "vehicle-0", "outbox", "junk.report")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Discard(func(n pipeline.RoundName) bool { return n.Epoch == 1 }); err != nil {
		t.Fatal(err)
	}
	if files, err := c.Pending(); err != nil || len(files) != 1 {
		t.Error(files, err)
	}
}

// TestConfig: what a client cannot work without is required.
func TestConfig(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(10))
	d, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	whole := client.Config{State: d, Identity: f.Vehicles[0], Owner: schema.NewPublicKey(f.Owner)}
	if _, err := client.New(whole); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*client.Config){
		"state": func(c *client.Config) { c.State = nil }, "key": func(c *client.Config) { c.Identity.Key = nil }, "owner": func(c *client.Config) { c.Owner = schema.PublicKey{} },
	} {
		c := whole
		change(&c)
		if _, err := client.New(c); err == nil {
			t.Error(name, "is not required")
		}
	}
}

// FuzzReadOutbox: any bytes give an error or a report whose pieces fill the file; no panic, no large allocation.
func FuzzReadOutbox(f *testing.F) {
	fleet := pipelinetest.New(f, 1, pipelinetest.Task(300))
	c := fleet.Client(0)
	sealed, err := c.SealRound(fleet.Open(1), fleet.Update(0))
	if err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(fleet.Dir, "vehicle-0", sealed.File()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)-1])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		rep, pieces, err := client.ReadOutbox(b)
		if err != nil {
			if !errors.Is(err, schema.ErrFormat) {
				t.Fatalf("unexpected: %v", err)
			}
			return
		}
		if pieces+int64(len(rep.Bytes()))+8 != int64(len(b)) {
			t.Fatalf("%d bytes of pieces in %d", pieces, len(b))
		}
	})
}
