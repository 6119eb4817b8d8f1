package schema_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

var update = flag.Bool("update", false, "write testdata/v1 anew; allowed only with a new format version or a new object")

// golden is one known answer.
type golden struct {
	Object string `json:"object"` // as in FORMAT.md
	Label  string `json:"label"`  // of the identity and the signature
	// Signer is the Ed25519 seed of the key that signed, and Public the key, in hexadecimal; empty if unsigned.
	Signer string `json:"signer_seed,omitempty"`
	Public string `json:"signer_public,omitempty"`
	// Identity is H(label; …), or SHA-256 of a partial sum.
	Identity string `json:"identity"`
	// Text is the object if it is JSON, Hex if it is binary.
	Text string `json:"text,omitempty"`
	Hex  string `json:"hex,omitempty"`
}

func (g golden) bytes(t *testing.T) []byte {
	t.Helper()
	if g.Text != "" {
		return []byte(g.Text)
	}
	raw, err := hex.DecodeString(g.Hex)
	must(t, err)
	return raw
}

func goldenFile(name string) string { return filepath.Join("testdata", "v1", name+".json") }

func labelOf(name string) string {
	switch name {
	case "receipt-void", "receipt-adaptive":
		return "receipt"
	case "release-first":
		return "release"
	case "task-adaptive", "task-statistics", "task-compressed", "task-released":
		return "task"
	case "descriptor-adaptive", "descriptor-bound", "descriptor-regions":
		return "descriptor"
	case "report":
		return "header" // its identity is the header's
	case "partial", "batch", "step", "step-merged":
		return "" // plain SHA-256
	}
	return name
}

func newGolden(t *testing.T, o object) golden {
	t.Helper()
	_, id, verified, err := o.decode(o.bytes)
	must(t, err)
	must(t, verified)
	g := golden{Object: o.name, Label: labelOf(o.name), Identity: id.String()}
	if o.signer != "" {
		g.Signer, g.Public = hex.EncodeToString(testKey(o.signer).Seed()), testPublic(o.signer).String()
	}
	if bytes.HasPrefix(o.bytes, []byte("{")) {
		g.Text = string(o.bytes)
	} else {
		g.Hex = hex.EncodeToString(o.bytes)
	}
	return g
}

// TestGolden: the bytes of version 1 never change.
func TestGolden(t *testing.T) {
	names := map[string]bool{"lane.json": true, "real.json": true}
	for _, o := range allObjects(t) {
		names[o.name+".json"] = true
		now := newGolden(t, o)
		if *update {
			must(t, os.MkdirAll(filepath.Dir(goldenFile(o.name)), 0o755))
			must(t, os.WriteFile(goldenFile(o.name), append(indented(t, now), '\n'), 0o644))
		}
		var known golden
		readGolden(t, o.name, &known)
		if now != known {
			t.Errorf("%s: version 1 was\n%+v, is now\n%+v", o.name, known, now)
		}
		// And on its own: what was written then is read now.
		again, id, verified, err := o.decode(known.bytes(t))
		if err != nil || verified != nil || id.String() != known.Identity || !bytes.Equal(again, known.bytes(t)) {
			t.Errorf("%s: the known object is refused: %v, %v", o.name, err, verified)
		}
	}
	files, err := os.ReadDir(filepath.Join("testdata", "v1"))
	must(t, err)
	for _, f := range files {
		if !names[f.Name()] {
			t.Errorf("testdata/v1/%s is read by no test", f.Name())
		}
	}
}

// TestGoldenLabels works out identities from the bytes alone, as another implementation would.
func TestGoldenLabels(t *testing.T) {
	for _, name := range []string{"task", "round-key", "descriptor", "check", "manifest", "reservation", "vote", "answer", "receipt", "receipt-void", "task-adaptive", "task-statistics", "task-compressed", "descriptor-adaptive", "receipt-adaptive", "descriptor-regions", "region-sum"} {
		var g golden
		readGolden(t, name, &g)
		body, ok := strings.CutPrefix(g.Text, `{"body":`)
		at := strings.LastIndex(body, `,"signature":"`) // a descriptor holds more of them
		body, sig := body[:at], body[at+len(`,"signature":"`):]
		if !ok || schema.Hash(g.Label, []byte(body)).String() != g.Identity {
			t.Errorf("%s: H(%q; body) is not its identity", name, g.Label)
		}
		var s schema.Signature
		must(t, s.UnmarshalText([]byte(strings.TrimSuffix(sig, `"}`))))
		key, err := schema.ParseDigest(g.Public)
		must(t, err)
		must(t, schema.Verify(schema.PublicKey(key), s, g.Label, []byte(body)))
	}
	var g golden
	readGolden(t, "candidates", &g)
	if schema.Hash("candidates", []byte(g.Text)).String() != g.Identity {
		t.Error("candidates: H(candidates; bytes) is not its identity")
	}
	var snapshot golden
	readGolden(t, "snapshot", &snapshot)
	raw := snapshot.bytes(t)
	if schema.Hash("snapshot", raw[:len(raw)-64]).String() != snapshot.Identity {
		t.Error("snapshot: H(snapshot; bytes without the signature) is not its root")
	}
	if got := testTask().Scope.ID().String(); got != "5ca03e5f7ad563a1f1544567df68fb228204d1f871723727384f626bfc0dff3e" {
		t.Errorf("scope %s", got)
	}
}

// lane is one known lane.
type lane struct {
	Task    schema.Digest    `json:"task_id"`
	Epoch   uint64           `json:"epoch"`
	Vehicle schema.VehicleID `json:"vehicle"`
	Lanes   int              `json:"lanes"`
	Lane    uint32           `json:"lane"`
}

func TestGoldenLanes(t *testing.T) {
	var now, known []lane
	for i, lanes := range []int{1, 2, 3, 4, 16, 100, 4095, 4096} {
		x := lane{Task: digest("task"), Epoch: 1 << (8 * i), Vehicle: schema.VehicleID{byte(i), 15: 0xff}, Lanes: lanes}
		x.Lane = schema.LaneOf(schema.TaskID{Digest: x.Task}, x.Epoch, x.Vehicle, x.Lanes)
		now = append(now, x)
	}
	if *update {
		must(t, os.WriteFile(goldenFile("lane"), append(indented(t, now), '\n'), 0o644))
	}
	readGolden(t, "lane", &known)
	if len(known) != len(now) {
		t.Fatalf("%d known lanes", len(known))
	}
	for i := range now {
		if now[i] != known[i] {
			t.Errorf("%+v, was %+v", now[i], known[i])
		}
	}
}

// TestGoldenReals: the text of a number is part of what is signed.
func TestGoldenReals(t *testing.T) {
	var known []struct {
		Bits string `json:"float64_bits"` // big-endian hexadecimal
		Text string `json:"text"`
	}
	readGolden(t, "real", &known)
	if len(known) < 12 {
		t.Fatalf("%d known numbers", len(known))
	}
	for _, k := range known {
		var r schema.Real
		must(t, r.UnmarshalText([]byte(k.Text)))
		text, err := r.MarshalText()
		must(t, err)
		if bits := bitsOf(r); bits != k.Bits || string(text) != k.Text {
			t.Errorf("%s: bits %s, text %s, want %s", k.Text, bits, text, k.Bits)
		}
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, json.Indent(&out, rawJSON(t, v), "", "  "))
	return out.Bytes()
}

func readGolden(t *testing.T, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(goldenFile(name))
	must(t, err)
	must(t, json.Unmarshal(raw, v))
}

func bitsOf(r schema.Real) string {
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(r))))
}
