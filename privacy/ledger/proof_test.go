package ledger_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/privacy/ledger"
	"pgregory.net/rapid"
)

var testTime = time.Unix(1_700_000_000, 0)

// naiveRoot is RFC 6962 section 2.1, word for word.
func naiveRoot(entries [][]byte) ledger.ID {
	if len(entries) == 1 {
		return sha256.Sum256(append([]byte{0}, entries[0]...))
	}
	k := 1
	for 2*k < len(entries) {
		k *= 2
	}
	left, right := naiveRoot(entries[:k]), naiveRoot(entries[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// logOf returns a log of n entries with tiles and bundles, and the entries.
func logOf(t testing.TB, n int) (*memory, *ledger.Ledger, [][]byte) {
	m := filled(t, n-1)
	var entries [][]byte
	for i := range n {
		entries = append(entries, m.objects[ledger.EntryKey(int64(i))])
	}
	return m, open(t, m, unvoted), entries
}

// TestProofs makes and checks proofs of all kinds at any sizes, from whole and damaged
// stores, and refuses them for anything else.
func TestProofs(t *testing.T) {
	m, l, entries := logOf(t, 530)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 530).Draw(t, "size")
		old := rapid.Int64Range(1, size).Draw(t, "old")
		index := rapid.Int64Range(0, size-1).Draw(t, "index")
		store := m.clone()
		// Tiles may be missing after a crash, single entries in a mirror.
		store.remove(rapid.SliceOf(rapid.SampledFrom([]string{"tile/0/000", "tile/0/001", "tile/1/000.p/1", "tile/1/000.p/2", "tile/entries/001"})).Draw(t, "lost")...)
		c, err := l.At(size)
		before, err2 := l.At(old)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if c.Root != naiveRoot(entries[:size]) {
			t.Fatalf("root at size %d", size)
		}
		p := ledger.NewProver(store, c)
		line, err := p.Line(context.Background(), old)
		if err != nil {
			t.Fatal(err)
		}
		entry, inclusion, err := p.Inclusion(context.Background(), index)
		if err != nil || string(entry) != string(entries[index]) {
			t.Fatalf("entry %d: %v", index, err)
		}
		if at, err := p.At(context.Background(), old); err != nil || at != before {
			t.Fatalf("checkpoint at %d: %v, %v", old, at, err)
		}
		checkProofs(t, before, c, line, index, entry, inclusion)
	})
}

func checkProofs(t *rapid.T, before, c ledger.Checkpoint, line ledger.Proof, index int64, entry []byte, inclusion ledger.Proof) {
	for _, signed := range []ledger.Checkpoint{before, {}} {
		if got, err := ledger.Witness(signed, c, line, index, entry, inclusion); err != nil || got != c {
			t.Fatalf("signed %d, proposed %d: %v", signed.Size, c.Size, err)
		}
	}
	if err := ledger.CheckLine(c, before, line); err != nil { // the other direction
		t.Fatal(err)
	}
	lie := before
	lie.Root[3] ^= 1
	if ledger.CheckLine(lie, c, line) == nil || ledger.CheckLine(before, lie, nil) == nil {
		t.Fatal("a changed root is on the line")
	}
	if before.Size < c.Size && len(line) > 0 {
		if ledger.CheckLine(before, c, line[1:]) == nil {
			t.Fatal("a cut proof passes")
		}
	}
	changed := append([]byte(nil), entry...)
	changed[5] ^= 1
	if ledger.CheckInclusion(c, index, changed, inclusion) == nil || ledger.CheckInclusion(c, c.Size, entry, inclusion) == nil {
		t.Fatal("a changed or later entry is included")
	}
	if _, err := ledger.Witness(lie, c, line, index, entry, inclusion); err == nil {
		t.Fatal("a witness leaves its line")
	}
}

// TestProverBounds: what is outside the checkpoint is refused.
func TestProverBounds(t *testing.T) {
	m, l, _ := logOf(t, 3)
	p := ledger.NewProver(m, head(t, l))
	for _, n := range []int64{-1, 0, 4} {
		_, err := p.Line(t.Context(), n)
		wants(t, err, ledger.ErrFork)
		_, err = p.At(t.Context(), n)
		wants(t, err, ledger.ErrFork)
		_, err = l.At(n)
		wants(t, err, ledger.ErrFork)
	}
	_, _, err := p.Inclusion(t.Context(), 3)
	wants(t, err, ledger.ErrNotReserved)
	wants(t, ledger.CheckLine(ledger.Checkpoint{}, head(t, l), nil), ledger.ErrFork)
}

// TestCheckpointForm pins the bytes that other programs read.
func TestCheckpointForm(t *testing.T) {
	c := scope.Genesis()
	want := "veilsum/ledger/" + scope.ID.String() + "\n1\n"
	if !strings.HasPrefix(c.Text(), want) || strings.Count(c.Text(), "\n") != 3 || c.ID() != sha256.Sum256([]byte(c.Text())) {
		t.Fatalf("%q", c.Text())
	}
	back, err := ledger.ParseCheckpoint(c.Text())
	if err != nil || back != c {
		t.Fatal(back, err)
	}
	if got := head(t, open(t, newMemory(), unvoted)); got != c {
		t.Fatalf("an empty log has head %v, want %v", got, c)
	}
	for _, text := range []string{"", "a\n1\n", c.Text() + "x\n", strings.Replace(c.Text(), "\n1\n", "\n01\n", 1), strings.Replace(c.Text(), "\n1\n", "\n0\n", 1), c.Text()[1 : len(c.Text())-1]} {
		_, err := ledger.ParseCheckpoint(text)
		wants(t, err, ledger.ErrEntry)
	}
	signed, err := c.Sign(keyOf("anna"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ledger.OpenCheckpoint(signed, c.Origin, publicOf("bert"), publicOf("anna")); err != nil || got != c {
		t.Fatal(got, err)
	}
	_, err = ledger.OpenCheckpoint(signed, c.Origin, publicOf("bert"))
	wants(t, err, ledger.ErrCorrupt)
	_, err = ledger.OpenCheckpoint(signed, "veilsum/ledger/other", publicOf("anna"))
	wants(t, err, ledger.ErrCorrupt)
	_, err = ledger.OpenCheckpoint(make([]byte, 1<<17), c.Origin, publicOf("anna"))
	wants(t, err, ledger.ErrEntry)
	_, err = ledger.OpenCheckpoint(signed, c.Origin, ed25519.PublicKey{1})
	wants(t, err, ledger.ErrEntry)
	_, err = c.Sign(nil)
	wants(t, err, ledger.ErrEntry)
}

// TestCosignatures: witnesses add theirs to one note, which stays readable to all.
func TestCosignatures(t *testing.T) {
	_, l, _ := logOf(t, 5)
	c := head(t, l)
	signed, err := c.Sign(keyOf("anna"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"decryptor-0", "decryptor-1"} {
		if signed, err = ledger.Cosign(signed, name, keyOf(name), testTime); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"decryptor-0", "decryptor-1"} {
		if got, err := ledger.OpenCosigned(signed, c.Origin, name, publicOf(name)); err != nil || got != c {
			t.Fatal(got, err)
		}
	}
	if got, err := ledger.OpenCheckpoint(signed, c.Origin, publicOf("anna")); err != nil || got != c {
		t.Fatal(got, err)
	}
	_, err = ledger.OpenCosigned(signed, c.Origin, "decryptor-2", publicOf("decryptor-2"))
	wants(t, err, ledger.ErrCorrupt)
	_, err = ledger.OpenCosigned(signed, c.Origin, "decryptor-1", publicOf("decryptor-0"))
	wants(t, err, ledger.ErrCorrupt)
	changed := []byte(strings.Replace(string(signed), "\n5\n", "\n6\n", 1))
	_, err = ledger.OpenCosigned(changed, c.Origin, "decryptor-1", publicOf("decryptor-1"))
	wants(t, err, ledger.ErrCorrupt)
	_, err = ledger.Cosign([]byte("no note"), "x", keyOf("x"), testTime)
	wants(t, err, ledger.ErrEntry)
	_, err = ledger.Cosign(signed, "two words", keyOf("x"), testTime)
	wants(t, err, ledger.ErrEntry)
}
