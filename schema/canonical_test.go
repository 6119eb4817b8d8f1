package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// spelling is another way to write the same task.
type spelling struct{ name, old, new string }

var spellings = []spelling{
	{"leading space", `{"version"`, ` {"version"`},
	{"space in an object", `"version":1`, `"version": 1`},
	{"line feed", `,"scope"`, ",\n\"scope\""},
	{"tab in a list", `[3,2]`, "[3,\t2]"},
	{"repeated key, same value", `{"version":1`, `{"version":1,"version":1`},
	{"repeated key, last wins", `{"version":1`, `{"version":2,"version":1`},
	{"case-folded key", `"suite"`, `"Suite"`},
	{"Kelvin sign for k", `"kappa":`, "\"\u212aappa\":"},
	{"escaped key", `"suite"`, `"\u0073uite"`},
	{"unknown field", `{"version":1`, `{"version":1,"colour":"red"`},
	{"absent field", `"suite":1,`, ``},
	{"two fields exchanged", `"suite":1,"piece_blocks":85`, `"piece_blocks":85,"suite":1`},
	{"null for a number", `"max_inf":1000`, `"max_inf":null`},
	{"null for a list", `"shape":[]`, `"shape":null`},
	{"empty list that is left out", `"groups":[{"tensors":["w"],"clipping_norm":"1"},{"tensors":["bias"],"clipping_norm":"0.75"}]`, `"groups":[]`},
	{"null list that is left out", `"groups":[{"tensors":["w"],"clipping_norm":"1"},{"tensors":["bias"],"clipping_norm":"0.75"}]`, `"groups":null`},
	{"fraction", `"suite":1`, `"suite":1.0`},
	{"exponent", `"suite":1`, `"suite":1e0`},
	{"leading zero", `"suite":1`, `"suite":01`},
	{"minus zero", `"participation":{"max":10`, `"participation":{"max":-0`},
	{"number as text", `"suite":1`, `"suite":"1"`},
	{"text as number", `"epsilon":"8"`, `"epsilon":8`},
	{"real: fraction", `"epsilon":"8"`, `"epsilon":"8.0"`},
	{"real: exponent", `"epsilon":"8"`, `"epsilon":"8e0"`},
	{"real: plus", `"epsilon":"8"`, `"epsilon":"+8"`},
	{"real: space", `"epsilon":"8"`, `"epsilon":" 8"`},
	{"real: other digits of the same number", `"epsilon":"8"`, `"epsilon":"8.0000000000000001"`},
	{"real: hexadecimal", `"epsilon":"8"`, `"epsilon":"0x8p0"`},
	{"real: infinite", `"epsilon":"8"`, `"epsilon":"Inf"`},
	{"real: no number", `"epsilon":"8"`, `"epsilon":"NaN"`},
	{"real: out of range", `"epsilon":"8"`, `"epsilon":"1e999"`},
	{"real: empty", `"epsilon":"8"`, `"epsilon":""`},
	{"real: null", `"epsilon":"8"`, `"epsilon":null`},
	{"escaped letter", `"fleet 7"`, `"\u0066leet 7"`},
	{"escaped solidus", `"fleet 7"`, `"fleet\/7"`},
	{"HTML escape", `<v1>`, `\u003cv1\u003e`},
	{"escape of a letter beyond ASCII", `más`, `m\u00e1s`},
	{"surrogate that stands alone", `más`, `m\ud800s`},
	{"invalid UTF-8", `más`, "m\xffs"},
	{"overlong UTF-8", `más`, "m\xc1\xa1s"},
	{"raw line feed in a text", `\nsince`, "\nsince"},
	{"upper-case hexadecimal", testHex(), strings.ToUpper(testHex())},
	{"array for a digest", `"checkpoint":"` + strings.Repeat("0", 64) + `"`, `"checkpoint":[0]`},
	{"trailing comma", `[3,2]`, `[3,2,]`},
	{"comment", `[3,2]`, `[3,2/**/]`},
	{"second value", `"grid":"96.25"}}`, `"grid":"96.25"}}{}`},
}

// testHex is a text in the test task that has letters.
func testHex() string { return testPublic("owner").String() }

// TestOtherSpelling signs every other spelling correctly: the decoder alone must refuse it.
func TestOtherSpelling(t *testing.T) {
	body := string(rawJSON(t, testTask()))
	if _, err := schema.Decode[schema.Task](forge("task", "owner", []byte(body))); err != nil {
		t.Fatal(err)
	}
	for _, s := range spellings {
		bad := strings.Replace(body, s.old, s.new, 1)
		if bad == body {
			t.Errorf("%s: the task does not hold %q", s.name, s.old)
			continue
		}
		if _, err := schema.Decode[schema.Task](forge("task", "owner", []byte(bad))); !errors.Is(err, schema.ErrFormat) {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

// TestMinusZero: -0 and 0 are one number, so they must not be two tasks.
func TestMinusZero(t *testing.T) {
	d := testDescriptor(t)
	d.ClippingNorm = schema.Real(math.Copysign(0, -1))
	s := signed(t, d, "collector")
	if !bytes.Contains(s.Bytes(), []byte(`"clipping_norm":"0"`)) {
		t.Error("-0 is not written as 0")
	}
	body := bytes.Replace(rawJSON(t, d), []byte(`"clipping_norm":"0"`), []byte(`"clipping_norm":"-0"`), 1)
	if _, err := schema.Decode[schema.Descriptor](forge("descriptor", "collector", body)); !errors.Is(err, schema.ErrFormat) {
		t.Errorf(`"-0" passes: %v`, err)
	}
}

// TestOtherEnvelope spells the frame around a good body differently.
func TestOtherEnvelope(t *testing.T) {
	good := string(signed(t, testVote(), "d2").Bytes())
	body, sig := good[len(`{"body":`):strings.Index(good, `,"signature"`)], good[len(good)-130:len(good)-2]
	for name, bad := range map[string]string{
		"space":           `{"body": ` + body + `,"signature":"` + sig + `"}`,
		"exchanged":       `{"signature":"` + sig + `","body":` + body + `}`,
		"third field":     `{"body":` + body + `,"signature":"` + sig + `","x":0}`,
		"repeated body":   `{"body":` + body + `,"body":` + body + `,"signature":"` + sig + `"}`,
		"case":            `{"Body":` + body + `,"signature":"` + sig + `"}`,
		"upper-case hex":  `{"body":` + body + `,"signature":"` + strings.ToUpper(sig) + `"}`,
		"short signature": `{"body":` + body + `,"signature":"` + sig[2:] + `"}`,
		"null signature":  `{"body":` + body + `,"signature":null}`,
		"no signature":    `{"body":` + body + `}`,
		"null body":       `{"body":null,"signature":"` + sig + `"}`,
		"list body":       `{"body":[],"signature":"` + sig + `"}`,
		"no body":         `{"body":,"signature":"` + sig + `"}`,
		"text body":       `{"body":"","signature":"` + sig + `"}`,
		"byte order mark": "\ufeff" + good,
		"null":            "null",
	} {
		if _, err := schema.Decode[schema.Vote]([]byte(bad)); !errors.Is(err, schema.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOtherBase64 spells a round key differently.
func TestOtherBase64(t *testing.T) {
	body := string(rawJSON(t, testRoundKey()))
	const at = `"public_key":"pVoDBKVaAwSlWgMEpVoDBKVaAwSlWgMEpVoDBKVaAwQ="`
	if !strings.Contains(body, at) {
		t.Fatalf("%s does not hold %s", body, at)
	}
	for name, text := range map[string]string{
		"no padding": `"pVoDBKVaAwSlWgMEpVoDBKVaAwSlWgMEpVoDBKVaAwQ"`, "padding bits": `"pVoDBKVaAwSlWgMEpVoDBKVaAwSlWgMEpVoDBKVaAwR="`,
		"line feed": `"pVoDBKVa\nAwSlWgMEpVoDBKVaAwSlWgMEpVoDBKVaAwQ="`, "carriage return": `"pVoDBKVaAwSlWgMEpVoDBKVaAwSlWgMEpVoDBKVaAwQ=\r"`,
		"numbers": "[165,90]", "null": "null", "behind the padding": `"pVoDBKVaAwSlWgMEpVoDBKVaAwSlWgMEpVoDBKVaAwQ=AAAA"`,
	} {
		bad := strings.Replace(body, at, `"public_key":`+text, 1)
		if _, err := schema.Decode[schema.RoundKey](forge("round-key", "d0", []byte(bad))); !errors.Is(err, schema.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNestedKey: what is wrong inside a descriptor's round key is wrong with the descriptor.
func TestNestedKey(t *testing.T) {
	body := string(rawJSON(t, testDescriptor(t)))
	for _, s := range []spelling{
		{"space", `{"body":{`, `{"body": {`},
		{"unknown field", `{"body":{`, `{"body":{"x":0,`},
		{"range", `"index":0`, `"index":99`},
		{"null key", `"round_keys":[`, `"round_keys":[null,`},
		{"empty key", `"round_keys":[`, `"round_keys":[{},`},
		{"third field", `"round_keys":[{`, `"round_keys":[{"x":0,`},
	} {
		bad := strings.Replace(body, s.old, s.new, 1)
		if _, err := schema.Decode[schema.Descriptor](forge("descriptor", "collector", []byte(bad))); bad == body || !errors.Is(err, schema.ErrFormat) {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

// TestDeep: nesting costs an error, not the stack.
func TestDeep(t *testing.T) {
	for _, n := range []int{9_000, 100_000} {
		deep := strings.Repeat("[", n) + strings.Repeat("]", n)
		for _, body := range []string{deep, `{"version":1,"name":` + deep + `}`, `{"version":` + deep + `}`} {
			if _, err := schema.Decode[schema.Task](forge("task", "owner", []byte(body))); !errors.Is(err, schema.ErrFormat) {
				t.Errorf("depth %d: %v", n, err)
			}
		}
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// allocationBound is what a decoder may allocate in all, over the bytes it is
// given: copies, the decoded object, and the same again to compare.
func allocationBound(n int) uint64 { return 64*uint64(n) + 1<<16 }

// TestAllocation gives a megabyte of the cheapest elements to every decoder of lists.
func TestAllocation(t *testing.T) {
	const size = 1 << 20
	elements := []string{`{},`, `null,`, `"",`, `[],`, `0,`, `{"a":0},`, `"\u0000",`}
	decoders := map[string]func([]byte) error{
		"check": tryDecode[schema.Check], "manifest": tryDecode[schema.Manifest], "reservation": tryDecode[schema.Reservation],
		"answer": tryDecode[schema.Answer], "task": tryDecode[schema.Task], "region-sum": tryDecode[schema.RegionSum],
	}
	fields := map[string]string{"check": "refused", "region-sum": "refused", "manifest": "reports", "reservation": "vehicles", "answer": "shares", "task": "tensors"}
	for label, decode := range decoders {
		for _, e := range elements {
			list := strings.TrimSuffix(strings.Repeat(e, size/len(e)), ",")
			data := forge(label, "any", fmt.Appendf(nil, `{"version":1,%q:[%s]}`, fields[label], list))
			var err error
			used := allocated(func() { err = decode(data) })
			if !errors.Is(err, schema.ErrFormat) || len(err.Error()) > 400 {
				t.Errorf("%s of %s: %.400v", label, e, err)
			}
			most := uint64(4 * size)
			if label == "task" { // its own bound is 4 MiB
				most = allocationBound(len(data))
			}
			if used > most {
				t.Errorf("%s of %s: %d bytes allocated for %d", label, e, used, len(data))
			}
		}
	}
}

func tryDecode[T schema.Object](data []byte) error {
	_, err := schema.Decode[T](data)
	return err
}

// TestErrorText: a stranger's input does not fill the log.
func TestErrorText(t *testing.T) {
	long := strings.Repeat("1", 1<<20)
	for _, body := range []string{
		`{"version":` + long + `}`, `{"` + long + `":1}`, `{"version":1,"name":` + long + `}`, `{"version":1,"owner":"` + long + `"}`,
		`{"version":1,"tensors":[{"name":"` + long + `","dtype":"x","shape":[]}]}`, `{"version":1,"scope":{"epsilon":"` + long + `"}}`,
	} {
		_, err := schema.Decode[schema.Task](forge("task", "owner", []byte(body)))
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("%.40s…: an error of %d bytes", body, len(fmt.Sprint(err)))
		}
	}
}

// TestBigManifest decodes the longest list that is allowed.
func TestBigManifest(t *testing.T) {
	if testing.Short() {
		t.Skip("70 MB of JSON")
	}
	m := testManifest()
	m.Reports = make([]schema.ReportID, schema.MaxReports)
	for i := range m.Reports {
		m.Reports[i].Digest = schema.Digest{byte(i >> 16), byte(i >> 8), byte(i)}
	}
	s := signed(t, m, "collector")
	if len(s.Bytes()) > schema.MaxObject {
		t.Fatalf("%d bytes", len(s.Bytes()))
	}
	back, err := schema.Decode[schema.Manifest](s.Bytes())
	must(t, err)
	if back.ID() != s.ID() || len(back.Body.Reports) != schema.MaxReports {
		t.Error("the list changed")
	}
	m.Reports = append(m.Reports, schema.ReportID{Digest: schema.Digest{0xff, 0xff, 0xff, 0xff}})
	_, err = schema.SignBody(m, testKey("collector"))
	named(t, "2^20+1 reports", err, "manifest.reports")
}
