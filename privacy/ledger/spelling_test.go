package ledger_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/privacy/ledger"
)

// TestOtherSpellings: an entry has one spelling, although JSON allows more.
func TestOtherSpellings(t *testing.T) {
	m := filled(t, 1)
	req := request(taxi, 1, 0)
	l := open(t, m, unvoted)
	if err := void(l, req); err != nil {
		t.Fatal(err)
	}
	reserved, voided := string(m.objects[ledger.EntryKey(1)]), string(m.objects[ledger.EntryKey(2)])
	for _, c := range []struct{ entry, old, new string }{
		{reserved, `"epoch":1`, `"epoch":01`},
		{reserved, `"epoch":1`, `"epoch":1.0`},
		{reserved, `"epoch":1`, `"epoch":-1`},
		{reserved, `"epoch":1`, `"epoch":18446744073709551616`},
		{reserved, `"epoch":1`, `"epoch":`},
		{reserved, `"lane":0`, `"lane":4294967296`},
		{reserved, `"reports":9900`, `"reports":0`},
		{reserved, `"reports":9900`, `"reports":1048577`},
		{reserved, `"index":1`, `"index":1000000000000`},
		{reserved, `"version":1`, `"version":2`},
		{reserved, `"kind":"reserve"`, `"kind":"open"`},
		{reserved, `"kind":"reserve"`, `"kind":"void"`},
		{reserved, `"lane":0,`, `"lane":0, `},
		{reserved, `"lane":0,`, ``},
		{reserved, `"lane":0,`, `"lane":0,"lane":0,`},
		{reserved, req.Task.String(), strings.ToUpper(req.Task.String())},
		{reserved, req.Task.String(), strings.Repeat("0", 64)},
		{reserved, `"noise_multiplier":8`, `"noise_multiplier":8.0`},
		{reserved, `"noise_multiplier":8`, `"NOISE_multiplier":8`},
		{reserved, `"noise_multiplier":8`, `"noise_multiplier":8,"rho":0`},
		{reserved, `"signature"`, `"Signature"`},
		{reserved, `{"body":`, ` {"body":`},
		{voided, "no votes", ""},
		{voided, "no votes", strings.Repeat("x", 201)},
		{voided, "no votes", "no\nvotes"},
		{voided, "no votes", `no \"votes\"`},
		{voided, "no votes", "n\u00f6 votes"},
		{voided, `"reserve":1`, `"reserve":1000000000000`},
	} {
		text := strings.Replace(c.entry, c.old, c.new, 1)
		if text == c.entry {
			t.Fatalf("%q is not in the entry", c.old)
		}
		if _, err := ledger.ParseEntry([]byte(text)); err == nil {
			t.Errorf("%q instead of %q is accepted", c.new, c.old)
		} else {
			wants(t, err, ledger.ErrEntry)
		}
	}
}

// TestSignedBytes verifies signatures by the formulas of LEDGER.md and C2SP, not by our code.
func TestSignedBytes(t *testing.T) {
	m := filled(t, 1)
	data := string(m.objects[ledger.EntryKey(1)])
	e, err := ledger.ParseEntry([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, field := range []string{"veilsum/1/sig/ledger", string(scope.ID[:]), data[len(`{"body":`) : len(data)-len(`,"signature":""}`)-128]} {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(field))))
		h.Write([]byte(field))
	}
	if !ed25519.Verify(publicOf("anna"), h.Sum(nil), e.Signature[:]) {
		t.Error("the entry is signed otherwise")
	}
	signed := m.objects[ledger.CheckpointKey(2)]
	if signed, err = ledger.Cosign(signed, "decryptor-0", keyOf("decryptor-0"), testTime); err != nil {
		t.Fatal(err)
	}
	text, lines, _ := strings.Cut(string(signed), "\n\n")
	text += "\n"
	parts := strings.Split(strings.TrimSpace(lines), "\n")
	if len(parts) != 2 {
		t.Fatalf("%q", lines)
	}
	log := signatureLine(t, parts[0], scope.Origin(), 1, publicOf("anna"))
	if !ed25519.Verify(publicOf("anna"), []byte(text), log) {
		t.Error("the checkpoint is signed otherwise")
	}
	witness := signatureLine(t, parts[1], "decryptor-0", 4, publicOf("decryptor-0"))
	msg := fmt.Sprintf("cosignature/v1\ntime %d\n%s", testTime.Unix(), text)
	if binary.BigEndian.Uint64(witness) != uint64(testTime.Unix()) || !ed25519.Verify(publicOf("decryptor-0"), []byte(msg), witness[8:]) {
		t.Error("the cosignature is made otherwise")
	}
}

// signatureLine returns the signature behind the name and key ID of C2SP signed-note.
func signatureLine(t *testing.T, line, name string, algorithm byte, key ed25519.PublicKey) []byte {
	t.Helper()
	encoded, ok := strings.CutPrefix(line, "— "+name+" ")
	sig, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	keyID := sha256.Sum256(append(append([]byte(name+"\n"), algorithm), key...))
	if string(sig[:4]) != string(keyID[:4]) {
		t.Errorf("key ID of %s is %x, want %x", name, sig[:4], keyID[:4])
	}
	return sig[4:]
}

// TestCosignatureOfAnotherLog: a witness serves many logs.
func TestCosignatureOfAnotherLog(t *testing.T) {
	other := scope
	other.ID = id("another scope")
	signed, err := other.Genesis().Sign(keyOf("anna"))
	if err != nil {
		t.Fatal(err)
	}
	if signed, err = ledger.Cosign(signed, "w", keyOf("w"), testTime); err != nil {
		t.Fatal(err)
	}
	_, err = ledger.OpenCosigned(signed, scope.Origin(), "w", publicOf("w"))
	wants(t, err, ledger.ErrCorrupt)
	if _, err = ledger.OpenCosigned(signed, other.Origin(), "w", publicOf("w")); err != nil {
		t.Error(err)
	}
}

// liar says that every name is taken.
type liar struct{ *memory }

func (liar) PutOnce(_ context.Context, key string, _ []byte) (ledger.Outcome, error) {
	if strings.HasPrefix(key, "entry/") && key != ledger.EntryKey(0) {
		return ledger.Conflict, nil
	}
	return ledger.Created, nil
}

// TestStoreThatTakesNothing: Reserve ends with an error, and not never.
func TestStoreThatTakesNothing(t *testing.T) {
	l := open(t, liar{newMemory()}, unvoted)
	if _, _, err := l.Reserve(t.Context(), keyOf("anna"), request(taxi, 1, 0), nil); err == nil {
		t.Error("reserved in a store that holds nothing")
	}
}

// TestForgedTile: whoever puts another tile or bundle first is found by the writer who
// comes to it. The entry is durable by then, and counts.
func TestForgedTile(t *testing.T) {
	for _, key := range []string{"tile/0/000", "tile/entries/000", "tile/1/000.p/1"} {
		m := filled(t, 254)
		l := open(t, m, unvoted)
		m.objects[key] = []byte("forged")
		_, _, err := l.Reserve(t.Context(), keyOf("anna"), request(taxi, 1, 254), nil)
		wants(t, err, ledger.ErrCorrupt)
		m.remove(key)
		l = open(t, m, unvoted)
		reserve(t, l, request(taxi, 1, 254))
		audit(t, m, head(t, l))
	}
}
