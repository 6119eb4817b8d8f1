package schema_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

func readFormat(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("FORMAT.md")
	must(t, err)
	return string(raw)
}

// TestFormatFields: FORMAT.md describes every field of every object, in the order
// in which they are written.
func TestFormatFields(t *testing.T) {
	text := readFormat(t)
	for section, v := range map[string]any{
		"## 3. Task": schema.Task{}, "### 3.1 `scope`": schema.Scope{}, "### 3.2 `tensors`": schema.Tensor{}, "### 3.3 `privacy`": schema.Privacy{}, "\nWith `adaptive`": schema.Adaptive{}, "### 3.11 `compression`": schema.Compression{},
		"### 3.4 `batch`": schema.Batch{}, "### 3.5 `participation`": schema.Participation{}, "### 3.6 `committee`": schema.Committee{},
		"### 3.7 `ring`": schema.Ring{}, "### 3.8 `derived`": schema.Derived{}, "## 4. Round key": schema.RoundKey{},
		"## 5. Descriptor": schema.Descriptor{}, "## 6. Candidates": schema.Candidates{}, "### 6.1 Step record": schema.StepRecord{}, "## 7. Check": schema.Check{},
		"### 5.1 Region": schema.Region{}, "### 7.1 Regional sum": schema.RegionSum{},
		"## 9. Reservation": schema.Reservation{}, "### 9.1 Event": schema.Event{}, "## 10. Vote": schema.Vote{},
		"### 3.9 `renewal`": schema.Renewal{}, "### 3.10 `statistics`": schema.Statistics{}, "\nA query; what": schema.Query{}, "### 10.1 Handover": schema.Handover{},
		"## 11. Answer": schema.Answer{}, "## 12. Receipt": schema.Receipt{},
		"### 12.1 Release": schema.Release{}, "\nA delta": schema.Delta{}, "\nA round": schema.ReleaseRound{}, "\n`spent`": schema.Spent{},
	} {
		_, rest, ok := strings.Cut(text, section)
		if !ok {
			t.Errorf("FORMAT.md has no section %q", section)
			continue
		}
		rest, _, _ = strings.Cut(rest, "\n#")
		for _, name := range fieldNames(v) {
			_, behind, ok := strings.Cut(rest, "`"+name+"`")
			if !ok {
				t.Errorf("%s: field %s is absent or out of order", section, name)
				continue
			}
			rest = behind
		}
	}
}

func fieldNames(v any) []string {
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" { // of the YAML file only
			continue
		}
		names = append(names, name)
	}
	return names
}

// TestFormatReasons: every reason of a refusal is explained.
func TestFormatReasons(t *testing.T) {
	text := readFormat(t)
	for _, r := range []string{
		schema.ReasonMissing, schema.ReasonHeader, schema.ReasonVehicle, schema.ReasonSignature, schema.ReasonBox, schema.ReasonPiece, schema.ReasonLimit,
	} {
		if !strings.Contains(text, `"`+r+`"`) || !strings.Contains(text, "`"+r+"`:") {
			t.Errorf("reason %s is not explained", r)
		}
	}
}

// TestFormatExample builds an envelope as section 2.1 says.
func TestFormatExample(t *testing.T) {
	body := rawJSON(t, testVote())
	sig := schema.Sign(testKey("d2"), "vote", body)
	want := `{"body":` + string(body) + `,"signature":"` + fmt.Sprintf("%x", sig[:]) + `"}`
	if got := string(signed(t, testVote(), "d2").Bytes()); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
