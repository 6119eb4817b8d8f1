package committee_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
)

// states returns a record in every state.
func states(t tester) map[string]committee.Record {
	t.Helper()
	r := fresh(t)
	voted, err := r.Vote(m1, c1)
	check(t, err)
	answered, err := voted.Answer(m1, c1, votes(m1, c1, 0, 1, 2), zeroShares(t))
	check(t, err)
	return map[string]committee.Record{
		"fresh": r, "voted": voted, "answered": answered,
		"erased": r.Erase(), "erased after its vote": voted.Erase(),
	}
}

// TestRecordSurvivesStorage: every state comes back as it was, with its key
// only while there is one.
func TestRecordSurvivesStorage(t *testing.T) {
	p := params(t, 10)
	for name, r := range states(t) {
		b, err := r.Encode()
		check(t, err)
		again, err := committee.DecodeRecord(p, b)
		check(t, err)
		twice, err := again.Encode()
		check(t, err)
		if again.State() != r.State() || !bytes.Equal(twice, b) {
			t.Errorf("%s: comes back as %s", name, again.State())
		}
		hasKey := strings.Contains(string(b), `"key"`)
		if want := name == "fresh" || name == "voted"; hasKey != want {
			t.Errorf("%s: key in the file: %v", name, hasKey)
		}
		before, errBefore := r.Key()
		after, errAfter := again.Key()
		if (errBefore == nil) != (errAfter == nil) || !bytes.Equal(before.Public(), after.Public()) {
			t.Errorf("%s: other key", name)
		}
	}
}

// TestDecodeRecordRefuses: parts that do not go together, and other forms.
func TestDecodeRecordRefuses(t *testing.T) {
	p := params(t, 10)
	for name, r := range states(t) {
		b, err := r.Encode()
		check(t, err)
		for _, change := range []func(*committee.Snapshot){
			func(s *committee.Snapshot) { s.Version = 2 },
			func(s *committee.Snapshot) { s.State = "new" },
			func(s *committee.Snapshot) { s.Index = 4 },
			func(s *committee.Snapshot) { s.RoundID = s.RoundID[1:] },
			func(s *committee.Snapshot) { s.RoundID = strings.Repeat("x", 64) },
			func(s *committee.Snapshot) { s.Key = append(s.Key, 1) },
			func(s *committee.Snapshot) { s.Checkpoint += "0" },
			func(s *committee.Snapshot) { s.Shares = append(s.Shares, []byte{1}) },
			func(s *committee.Snapshot) { // a fresh record after all, or a voted one
				s.Key = bytes.Repeat([]byte{1}, 32)
				if s.State == "fresh" || s.State == "voted" {
					s.Key = nil
				}
			},
		} {
			s, err := r.Snapshot()
			check(t, err)
			change(&s)
			if _, err := committee.Restore(p, s); !errors.Is(err, committee.ErrRecord) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for what, bad := range map[string][]byte{
			"no newline": bytes.TrimSpace(b), "space": append([]byte(" "), b...),
			"unknown field": bytes.Replace(b, []byte("{"), []byte(`{"x":1,`), 1),
			"two":           append(bytes.Clone(b), b...), "empty": nil, "null": []byte("null\n"),
			"long": append(bytes.Clone(b), bytes.Repeat([]byte(" "), 1<<20)...),
		} {
			if _, err := committee.DecodeRecord(p, bad); !errors.Is(err, committee.ErrRecord) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	_, err := committee.DecodeRecord(secagg.Params{}, nil)
	wantError(t, err, committee.ErrRecord)
}

// TestRecordsDoNotPrint: neither a record nor its snapshot shows the key.
func TestRecordsDoNotPrint(t *testing.T) {
	r := fresh(t)
	s, err := r.Snapshot()
	check(t, err)
	shares, err := committee.NewShares(params(t, 10), 0)
	check(t, err)
	head := strings.Trim(fmt.Sprint(s.Key[:6]), "[]")
	for _, v := range []any{r, s, &s, shares} {
		var b strings.Builder
		fmt.Fprintf(&b, "%v %+v %#v %s %x", v, v, v, v, v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		if strings.Contains(b.String(), head) || strings.Count(b.String(), "[redacted]") != 6 {
			t.Errorf("%T prints %s", v, b.String())
		}
	}
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb, struct{ r committee.Record }{r})
	}
	if strings.Contains(b.String(), head) {
		t.Errorf("a struct around a record shows its key: %s", b.String())
	}
}

// FuzzDecodeRecord: whatever is accepted is in its one form.
func FuzzDecodeRecord(f *testing.F) {
	p := params(f, 10)
	for _, r := range states(f) {
		b, err := r.Encode()
		check(f, err)
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"state":"erased","index":0,"round_id":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := committee.DecodeRecord(p, b)
		if err != nil {
			return
		}
		again, err := r.Encode()
		check(t, err)
		if !bytes.Equal(again, b) {
			t.Fatal("accepted another form")
		}
		var s map[string]any
		check(t, json.Unmarshal(b, &s))
		if _, hasKey := s["key"]; hasKey && (r.State() == committee.Answered || r.State() == committee.Erased) {
			t.Fatal("a key where none may be")
		}
	})
}
