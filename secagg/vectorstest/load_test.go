package vectorstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const vectorDir = "../testdata/vectors/v1"

// load reads one vector file; unknown fields are an error, so that no answer
// goes unread because of a misspelling.
func load(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// summary is how the files give long lists of residues.
type summary struct {
	Count  int      `json:"count"`
	SHA256 []byte   `json:"sha256"`
	First  []uint32 `json:"first"`
	Last   []uint32 `json:"last"`
}

func (s summary) check(t *testing.T, what string, got []uint32) {
	t.Helper()
	if len(got) != s.Count || len(s.First) == 0 || len(s.Last) == 0 {
		t.Fatalf("%s: %d values, want %d", what, len(got), s.Count)
	}
	equal(t, what+": first values", got[:len(s.First)], s.First)
	equal(t, what+": last values", got[len(got)-len(s.Last):], s.Last)
	b := make([]byte, 0, 4*len(got))
	for _, v := range got {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	equalHash(t, what, b, s.SHA256)
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: entry %d is %v, want %v", what, i, got[i], want[i])
		}
	}
	t.Fatalf("%s: %d entries, want %d", what, len(got), len(want))
}

func equalHash(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if h := sha256.Sum256(got); !bytes.Equal(h[:], want) {
		t.Fatalf("%s: SHA-256 is %x, want %x", what, h, want)
	}
}

// int32s decodes an integer list.
func int32s(b []byte) []int32 {
	out := make([]int32, len(b)/4)
	for i := range out {
		out[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// meta heads every file; it is for people.
type meta map[string]string
