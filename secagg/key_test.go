package secagg_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/secagg"
)

var suites = []secagg.Suite{secagg.SuiteHybrid, secagg.SuiteX25519}

func TestRoundKeySurvivesStorage(t *testing.T) {
	for _, suite := range suites {
		key, err := secagg.GenerateRoundKey(suite)
		check(t, err)
		b, err := key.Bytes()
		check(t, err)
		again, err := secagg.ParseRoundKey(suite, b)
		check(t, err)
		if !bytes.Equal(again.Public(), key.Public()) || len(key.Public()) != suite.PublicKeyBytes() {
			t.Errorf("%v: other public key", suite)
		}
		check(t, secagg.ValidatePublicKey(suite, key.Public()))
	}
}

func TestBadRoundKeys(t *testing.T) {
	for _, suite := range suites {
		key, err := secagg.GenerateRoundKey(suite)
		check(t, err)
		high := bytes.Repeat([]byte{0xff}, suite.PublicKeyBytes()) // ML-KEM coefficients above 3328
		for name, err := range map[string]error{
			"short private":   second(secagg.ParseRoundKey(suite, make([]byte, 31))),
			"long private":    second(secagg.ParseRoundKey(suite, make([]byte, 33))),
			"no private":      second(secagg.ParseRoundKey(suite, nil)),
			"zero value":      second(secagg.RoundKey{}.Bytes()),
			"short public":    secagg.ValidatePublicKey(suite, key.Public()[1:]),
			"no public":       secagg.ValidatePublicKey(suite, nil),
			"unknown suite":   secagg.ValidatePublicKey(7, key.Public()),
			"generate suite":  second(secagg.GenerateRoundKey(0)),
			"parse suite":     second(secagg.ParseRoundKey(9, make([]byte, 32))),
			"low order":       lowOrder(suite, key.Public()),
			"coefficients":    skipX25519(suite, secagg.ValidatePublicKey(suite, high)),
			"key of no suite": secagg.ValidatePublicKey(0, nil),
		} {
			if !errors.Is(err, secagg.ErrKey) {
				t.Errorf("%v, %s: %v", suite, name, err)
			}
		}
	}
}

// lowOrder validates a key whose X25519 point is zero: everybody would know
// the secret shared with it.
func lowOrder(suite secagg.Suite, public []byte) error {
	zero := bytes.Clone(public)
	clear(zero[len(zero)-32:])
	return secagg.ValidatePublicKey(suite, zero)
}

// skipX25519: every 32 bytes are an X25519 point.
func skipX25519(suite secagg.Suite, err error) error {
	if suite == secagg.SuiteX25519 {
		return secagg.ErrKey
	}
	return err
}

// TestBoxToABadKey: a client refuses to seal to it.
func TestBoxToABadKey(t *testing.T) {
	f := newFleet(t, literal(1))
	sealed, err := f.seal(0, func(int, []byte) error { return nil })
	check(t, err)
	for name, public := range map[string][]byte{"nil": nil, "short": make([]byte, 31), "zero": make([]byte, 32)} {
		if _, err := sealed.Box(0, public, [32]byte{}); !errors.Is(err, secagg.ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, k := range []int{-1, 4} {
		if _, err := sealed.Box(k, f.keys[0].Public(), [32]byte{}); !errors.Is(err, secagg.ErrBox) {
			t.Errorf("decryptor %d: %v", k, err)
		}
	}
	sealed.Erase()
	if _, err := sealed.Box(0, f.keys[0].Public(), [32]byte{}); !errors.Is(err, secagg.ErrBox) {
		t.Errorf("after Erase: %v", err)
	}
}

// TestWrongSuiteKey: a key of another suite opens nothing.
func TestWrongSuiteKey(t *testing.T) {
	f := newFleet(t, literal(1))
	r := f.report(t, 0)
	other, err := secagg.GenerateRoundKey(secagg.SuiteHybrid)
	check(t, err)
	for _, key := range []secagg.RoundKey{other, {}} {
		_, err := secagg.OpenBox(f.p, 0, key, f.roundID, r.id, r.boxes[0], r.coms)
		wantError(t, err, secagg.ErrKey)
	}
}

// TestSecretsDoNotPrint prints every secret type, bare and inside another
// struct, in each verb, in JSON and in a log.
func TestSecretsDoNotPrint(t *testing.T) {
	for _, suite := range suites {
		l := literal(1)
		l.Suite = suite
		secretsDoNotPrint(t, newFleet(t, l))
	}
}

func secretsDoNotPrint(t *testing.T, f *fleet) {
	t.Helper()
	r := f.report(t, 0)
	sealed, err := f.seal(0, func(int, []byte) error { return nil })
	check(t, err)
	seeds, err := secagg.OpenBox(f.p, 0, f.keys[0], f.roundID, r.id, r.boxes[0], r.coms)
	check(t, err)
	raw, err := f.keys[0].Bytes()
	check(t, err)
	seed, clientSeed := seeds.Bytes()[:32], hash("client", 0)
	for _, v := range []any{
		f.keys[0], &f.keys[0], r.seed, sealed, seeds,
		struct{ hidden secagg.ClientSeed }{r.seed},
		struct{ hidden secagg.Seeds }{seeds},
		struct{ hidden secagg.RoundKey }{f.keys[0]},
		struct{ hidden *secagg.Sealed }{sealed},
		[]secagg.Seeds{seeds},
	} {
		out := printed(v)
		for name, secret := range map[string][]byte{"seed": seed, "key": raw, "client seed": clientSeed[:]} {
			for _, form := range forms(secret) {
				if strings.Contains(out, form) {
					t.Errorf("%T shows the %s: %.300s", v, name, out)
				}
			}
		}
	}
	for _, v := range []any{f.keys[0], r.seed, sealed, seeds} {
		if got := fmt.Sprintf("%v %+v %#v %x %d", v, v, v, v, v); strings.Count(got, "[redacted]") != 5 {
			t.Errorf("%T prints %s", v, got)
		}
	}
}

// printed shows a value in every way that could end in a log.
func printed(v any) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	if j, err := json.Marshal(v); err == nil {
		b.Write(j)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	return b.String()
}

// forms are the beginnings of a secret as the verbs show bytes.
func forms(secret []byte) []string {
	head := secret[:6]
	decimal := strings.Trim(fmt.Sprint(head), "[]")
	hexList := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", head), "[]byte{"), "}")
	j, _ := json.Marshal(secret)
	return []string{
		decimal, strings.ReplaceAll(decimal, " ", ","), hexList,
		hex.EncodeToString(head), strings.ToUpper(hex.EncodeToString(head)), string(j[1:8]),
	}
}

// TestSuitesSayWhatTheyAre: an audit prints the name.
func TestSuitesSayWhatTheyAre(t *testing.T) {
	got := fmt.Sprint(secagg.SuiteHybrid, ", ", secagg.SuiteX25519, ", ", secagg.Suite(9))
	if want := "ML-KEM-768+X25519, X25519 (not post-quantum), Suite(9)"; got != want {
		t.Errorf("%s", got)
	}
	if !secagg.SuiteHybrid.PostQuantum() || secagg.SuiteX25519.PostQuantum() || secagg.Suite(9).PostQuantum() {
		t.Error("wrong suite is post-quantum")
	}
}
