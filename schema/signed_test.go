package schema_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

func TestRoundTrip(t *testing.T) {
	for _, o := range allObjects(t) {
		t.Run(o.name, func(t *testing.T) {
			again, id, verified, err := o.decode(o.bytes)
			must(t, err)
			must(t, verified)
			if !bytes.Equal(again, o.bytes) {
				t.Errorf("encodes to\n%q, want\n%q", again, o.bytes)
			}
			if id.IsZero() {
				t.Error("its identity is zero")
			}
		})
	}
}

// TestFlip changes every byte of every object (every single bit of small ones, except
// in -short): nothing may pass for the original. Objects without a signature are named by
// their hash, so there the identity must change.
func TestFlip(t *testing.T) {
	for _, o := range allObjects(t) {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			_, want, _, err := o.decode(o.bytes)
			must(t, err)
			for i := range o.bytes {
				for bit := range 8 {
					if (testing.Short() || len(o.bytes) > 3000) && bit != i%8 {
						continue
					}
					bad := bytes.Clone(o.bytes)
					bad[i] ^= 1 << bit
					_, id, verified, err := o.decode(bad)
					if err == nil && verified == nil && (o.signer != "" || id == want) {
						t.Fatalf("byte %d, bit %d: passes", i, bit)
					}
					if err != nil && !errors.Is(err, schema.ErrFormat) {
						t.Fatalf("byte %d, bit %d: %v does not wrap ErrFormat", i, bit, err)
					}
					if verified != nil && !errors.Is(verified, schema.ErrSignature) && !errors.Is(verified, schema.ErrFormat) {
						t.Fatalf("byte %d, bit %d: %v is no error of this package", i, bit, verified)
					}
				}
			}
		})
	}
}

// TestLength cuts and lengthens every object.
func TestLength(t *testing.T) {
	for _, o := range allObjects(t) {
		for n := range len(o.bytes) {
			if testing.Short() && n%7 != 0 && n > 300 {
				continue
			}
			if _, _, _, err := o.decode(o.bytes[:n]); !errors.Is(err, schema.ErrFormat) {
				t.Fatalf("%s cut to %d bytes: %v", o.name, n, err)
			}
		}
		for _, tail := range []string{"\x00", "\n", " ", "{}", o.name} {
			if _, _, _, err := o.decode(append(bytes.Clone(o.bytes), tail...)); !errors.Is(err, schema.ErrFormat) {
				t.Fatalf("%s with %q behind it: %v", o.name, tail, err)
			}
		}
		if _, _, _, err := o.decode(nil); !errors.Is(err, schema.ErrFormat) {
			t.Fatalf("%s of no bytes: %v", o.name, err)
		}
	}
}

// TestForeign gives every object to every other decoder.
func TestForeign(t *testing.T) {
	all := allObjects(t)
	for _, o := range all {
		for _, other := range all {
			if kind(o.name) == kind(other.name) {
				continue
			}
			if _, _, verified, err := o.decode(other.bytes); err == nil && verified == nil {
				t.Errorf("a %s passes for a %s", other.name, o.name)
			}
		}
	}
}

// kind is the name without the variant.
func kind(name string) string {
	for _, variant := range []string{"-void", "-renewed", "-adaptive", "-regions", "-merged", "-statistics", "-compressed", "-released", "-bound", "-first"} {
		name = strings.TrimSuffix(name, variant)
	}
	return name
}

// TestCrossLabel: a signature on one kind of object is none on another with the same bytes.
func TestCrossLabel(t *testing.T) {
	body := rawJSON(t, testManifest())
	must(t, decodeManifest(forge("manifest", "collector", body)))
	for _, label := range []string{"candidates", "vote", "sig/manifest", "Manifest", ""} {
		if err := decodeManifest(forge(label, "collector", body)); !errors.Is(err, schema.ErrSignature) {
			t.Errorf("signed as %q: %v", label, err)
		}
	}
	if err := decodeManifest(forge("manifest", "owner", body)); !errors.Is(err, schema.ErrSignature) {
		t.Errorf("signed by another key: %v", err)
	}
}

func decodeManifest(data []byte) error {
	m, err := schema.Decode[schema.Manifest](data)
	if err != nil {
		return err
	}
	return m.Verify(testPublic("collector"))
}

// TestNewerVersion: an object of a later version may look like anything; the
// reader must say that it is too old rather than that the object is broken.
func TestNewerVersion(t *testing.T) {
	for _, o := range allObjects(t) {
		var bad []byte
		if bytes.HasPrefix(o.bytes, []byte("{")) {
			bad = bytes.Replace(o.bytes, []byte(`"version":1`), []byte(`"new":{"a":[1]},"version":2`), 1)
		} else {
			bad = bytes.Clone(o.bytes)
			bad[4] = 2
		}
		if _, _, _, err := o.decode(bad); !errors.Is(err, schema.ErrVersion) || !errors.Is(err, schema.ErrFormat) {
			t.Errorf("%s of version 2: %v", o.name, err)
		}
		plain := bytes.Replace(o.bytes, []byte(`"version":1`), []byte(`"version":2`), 1)
		if _, _, _, err := o.decode(plain); !bytes.Equal(plain, o.bytes) && !errors.Is(err, schema.ErrVersion) {
			t.Errorf("%s of version 2 with the same fields: %v", o.name, err)
		}
	}
	if _, err := schema.SignBody(schema.Vote{}, testKey("d2")); !errors.Is(err, schema.ErrVersion) {
		t.Errorf("a vote without a version: %v", err)
	}
}

// TestTooLarge: the bound holds before anything is parsed.
func TestTooLarge(t *testing.T) {
	sizes := map[string]int{
		"task": 4 << 20, "round-key": 8 << 10, "descriptor": 256 << 10, "vote": 4 << 10, "receipt": 64 << 10,
	}
	for _, o := range allObjects(t) {
		n, ok := sizes[o.name]
		if !ok {
			continue
		}
		_, _, _, err := o.decode(bytes.Repeat([]byte(" "), n+1))
		if !errors.Is(err, schema.ErrFormat) || !strings.Contains(err.Error(), o.name+".size") {
			t.Errorf("%s of %d bytes: %v", o.name, n+1, err)
		}
	}
}

// TestSignTooLarge: nothing is signed that no reader would take.
func TestSignTooLarge(t *testing.T) {
	task := testTask()
	task.Tensors, task.Privacy.Groups = nil, nil
	for i := range schema.MaxTensors {
		name := strings.Repeat(`"`, 123) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		task.Tensors = append(task.Tensors, schema.Tensor{Name: name, DType: "float32", Shape: []int{1}})
	}
	task.Derived.Values = schema.MaxTensors
	if _, err := schema.SignBody(task, testKey("owner")); !errors.Is(err, schema.ErrFormat) || !strings.Contains(err.Error(), "task.size") {
		t.Errorf("a task of more than 4 MiB: %v", err)
	}
}

func TestBadSigningKey(t *testing.T) {
	if _, err := schema.SignBody(testVote(), nil); err == nil {
		t.Error("SignBody takes no key")
	}
	if _, err := schema.NewSnapshot(schema.ScopeID{}, 1, nil, testKey("a")[:5]); err == nil {
		t.Error("NewSnapshot takes a short key")
	}
	if _, err := schema.NewReport(testHeader(), testBoxes(), testCorr(), nil); err == nil {
		t.Error("NewReport takes no key")
	}
}

func TestZeroSigned(t *testing.T) {
	var s schema.Signed[schema.Vote]
	if s.Bytes() != nil {
		t.Errorf("the zero value encodes to %q", s.Bytes())
	}
	if err := s.Verify(testPublic("d2")); !errors.Is(err, schema.ErrSignature) {
		t.Errorf("the zero value verifies: %v", err)
	}
	d := testDescriptor(t)
	d.RoundKeys[1] = schema.Signed[schema.RoundKey]{Body: testRoundKey()}
	if _, err := schema.SignBody(d, testKey("collector")); err == nil {
		t.Error("a descriptor with a key that was never signed is signed")
	}
}

// TestKeptBytes: a decoded object does not change with the buffer it was read from, nor with its Body.
func TestKeptBytes(t *testing.T) {
	data := signed(t, testVote(), "d2").Bytes()
	buf := bytes.Clone(data)
	s, err := schema.Decode[schema.Vote](buf)
	must(t, err)
	clear(buf)
	s.Body.Index = 9
	if !bytes.Equal(s.Bytes(), data) || s.Verify(testPublic("d2")) != nil {
		t.Error("the object changed behind its signature")
	}
}
