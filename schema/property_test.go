package schema_test

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/schema"
)

func drawDigest(t *rapid.T, label string) schema.Digest {
	return schema.Digest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
}

// drawRing draws a row of PROTOCOL.md section 2, found through the gate.
func drawRing(t *rapid.T) (int, uint32) {
	var rows [][2]int
	for _, n := range []int{1024, 2048} {
		for _, q := range []int{
			61441, 120833, 249857, 520193, 1038337, 2056193, 4188161, 8380417, 16760833,
			33550337, 67104769, 134176769, 268369921, 536813569, 1073692673, 2147389441,
		} {
			if schema.AllowedModulus(n, uint32(q)) {
				rows = append(rows, [2]int{n, q})
			}
		}
	}
	r := rapid.SampledFrom(rows).Draw(t, "ring")
	return r[0], uint32(r[1])
}

func drawReports(t *rapid.T) []schema.ReportID {
	ids := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) schema.ReportID {
		return schema.ReportID{Digest: drawDigest(t, "report")}
	}), 1, 20, rapid.ID).Draw(t, "reports")
	slices.SortFunc(ids, schema.CompareReports)
	return ids
}

func drawHeader(t *rapid.T) schema.Header {
	committees := [][3]int{{4, 3, 1}, {5, 4, 2}, {3, 3, 2}, {7, 5, 2}, {10, 7, 3}, {16, 9, 1}}
	c := rapid.SampledFrom(committees).Draw(t, "committee")
	h := schema.Header{
		Suite: rapid.IntRange(1, 2).Draw(t, "suite"), Epoch: rapid.Uint64().Draw(t, "epoch"), Lane: rapid.Uint32().Draw(t, "lane"),
		Vehicle: schema.VehicleID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "vehicle")),
		Values:  rapid.IntRange(1, schema.MaxValues).Draw(t, "values"), PieceBlocks: rapid.IntRange(1, schema.MaxPieceBlocks).Draw(t, "K"),
		Size: c[0], Threshold: c[1], CorrHash: drawDigest(t, "corr"), Root: drawDigest(t, "root"),
	}
	h.N, h.Q = drawRing(t)
	h.TaskID.Digest, h.RoundID.Digest = drawDigest(t, "task"), drawDigest(t, "round")
	h.Commitments = make([]schema.Digest, (h.HeaderBytes()-184)/32)
	h.Commitments[0], h.Commitments[len(h.Commitments)-1] = drawDigest(t, "first"), drawDigest(t, "last")
	return h
}

func TestHeaderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeader(t)
		raw, err := h.Encode()
		if err != nil || len(raw) != h.HeaderBytes() {
			t.Fatalf("%d bytes, want %d: %v", len(raw), h.HeaderBytes(), err)
		}
		back, err := schema.DecodeHeader(append(raw, rapid.SliceOf(rapid.Byte()).Draw(t, "behind")...))
		if err != nil || !reflect.DeepEqual(back, h) {
			t.Fatalf("%+v: %v", back, err)
		}
		// The pieces hold exactly all blocks.
		total, last := int64(0), h.Pieces()-1
		full := int64(h.PieceBytes(0))
		if last > 0 {
			total = full * int64(last)
		}
		total += int64(h.PieceBytes(last))
		if total != int64(h.Blocks())*int64(h.BlockBytes()) || h.PieceBytes(last) <= 0 || h.PieceBytes(h.Pieces()) != 0 {
			t.Fatalf("%d bytes of pieces, %d blocks of %d", total, h.Blocks(), h.BlockBytes())
		}
		if capacity := int64(h.Blocks()) * int64(h.N); capacity < int64(h.Values)+256 || capacity-int64(h.N) >= int64(h.Values)+256 {
			t.Fatalf("%d blocks for %d values", h.Blocks(), h.Values)
		}
	})
}

func TestReportProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeader(t)
		if h.Size > 10 {
			h.Size, h.Threshold = 4, 3 // megabytes of boxes teach nothing more
			h.Commitments = make([]schema.Digest, 6)
		}
		off, n := h.BoxOffset(0)
		boxes := make([][]byte, h.Size)
		for k := range boxes {
			boxes[k] = bytes.Repeat([]byte{rapid.Byte().Draw(t, "box")}, int(n))
		}
		corr := bytes.Repeat([]byte{rapid.Byte().Draw(t, "corr")}, h.BlockBytes())
		h.CorrHash = schema.HashCorr(corr)
		r, err := schema.NewReport(h, boxes, corr, testKey("vehicle"))
		if err != nil || len(r.Bytes()) != h.ObjectBytes() {
			t.Fatalf("%v", err)
		}
		back, err := schema.DecodeReport(r.Bytes())
		if err != nil || back.Verify(testPublic("vehicle")) != nil || back.VerifyBoxes() != nil || !reflect.DeepEqual(back.Header, h) {
			t.Fatalf("%+v: %v", back, err)
		}
		head, err := schema.DecodeReportHead(r.Bytes()[:off])
		if err != nil || head.ID != r.ID {
			t.Fatalf("head: %v", err)
		}
		// A changed byte behind the head is found by exactly who reads it.
		bad := bytes.Clone(r.Bytes())
		at := rapid.IntRange(int(off), len(bad)-1).Draw(t, "at")
		bad[at] ^= rapid.ByteRange(1, 255).Draw(t, "flip")
		changed, err := schema.DecodeReport(bad)
		if inCorr := at >= len(bad)-len(corr); inCorr != (err != nil) || !inCorr && changed.VerifyBoxes() == nil {
			t.Fatalf("byte %d: %v", at, err)
		}
	})
}

func TestSnapshotProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) schema.VehicleID {
			return schema.VehicleID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		}), 0, 30, rapid.ID).Draw(t, "ids")
		list := make([]schema.Enrolled, len(ids))
		for i, id := range ids {
			list[i] = schema.Enrolled{ID: id, Key: schema.PublicKey(schema.Hash("key", id[:]))}
		}
		scope, serial := schema.ScopeID{Digest: drawDigest(t, "scope")}, rapid.Uint64().Draw(t, "serial")
		s, err := schema.NewSnapshot(scope, serial, list, testKey("authority"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(list)
		same, err := schema.NewSnapshot(scope, serial, list, testKey("authority"))
		if err != nil || !bytes.Equal(same.Bytes(), s.Bytes()) {
			t.Fatalf("the order of the list matters: %v", err)
		}
		back, err := schema.DecodeSnapshot(s.Bytes())
		if err != nil || back.Verify(testPublic("authority")) != nil || back.Root() != s.Root() || back.Scope != scope || back.Serial != serial {
			t.Fatalf("%v", err)
		}
		for _, v := range list {
			if key, ok := back.Key(v.ID); !ok || key != v.Key {
				t.Fatalf("vehicle %s: %v", v.ID, ok)
			}
		}
	})
}

func TestPartialProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := schema.Partial{Values: rapid.IntRange(1, 5000).Draw(t, "values"), Reports: drawReports(t)}
		p.RoundID.Digest = drawDigest(t, "round")
		p.N, p.Q = drawRing(t)
		h := schema.Header{N: p.N, Q: p.Q, Values: p.Values}
		p.Sum = bytes.Repeat([]byte{rapid.Byte().Draw(t, "sum")}, int(h.SumBytes()))
		raw, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := schema.DecodePartial(raw)
		if err != nil || !reflect.DeepEqual(back, p) {
			t.Fatalf("%v", err)
		}
		a, errA := p.ID()
		b, errB := back.ID()
		if errA != nil || errB != nil || a != b {
			t.Fatalf("%s and %s", a, b)
		}
	})
}

func TestCandidatesProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := schema.Candidates{Version: schema.Version, Reports: drawReports(t)}
		c.RoundID.Digest = drawDigest(t, "round")
		raw, err := c.Encode()
		if err != nil && !c.RoundID.IsZero() {
			t.Fatal(err)
		}
		if c.RoundID.IsZero() {
			return
		}
		back, err := schema.DecodeCandidates(raw)
		if err != nil || !reflect.DeepEqual(back, c) || back.ID() != schema.Hash("candidates", raw) {
			t.Fatalf("%v", err)
		}
	})
}

// TestRealProperty: every finite number survives, in one spelling, which JSON's own reader takes, too.
func TestRealProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := schema.Real(rapid.Float64().Draw(t, "real"))
		text, err := want.MarshalText()
		if math.IsNaN(float64(want)) || math.IsInf(float64(want), 0) {
			if err == nil {
				t.Fatalf("%s is finite", text)
			}
			return
		}
		var got schema.Real
		if err != nil || got.UnmarshalText(text) != nil || got != want || len(text) > 24 {
			t.Fatalf("%v reads as %v from %s: %v", want, got, text, err)
		}
		var number float64
		if err := json.Unmarshal([]byte(text), &number); err != nil || number != float64(want) {
			t.Fatalf("%s is %v to JSON: %v", text, number, err)
		}
	})
}

// TestTextProperty: any name is either refused or survives signing.
func TestTextProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		task := testTask()
		task.Name = rapid.String().Draw(t, "name")
		if rapid.Bool().Draw(t, "bytes") {
			task.Name = string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		}
		s, err := schema.SignBody(task, testKey("owner"))
		if err != nil {
			return
		}
		back, err := schema.Decode[schema.Task](s.Bytes())
		if err != nil || back.Body.Name != task.Name || strings.ContainsAny(task.Name, "\n\r\t\x00\x1b\x7f") {
			t.Fatalf("%q: %v", task.Name, err)
		}
	})
}

func TestTextForms(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "-0": 0, "00.50": 0.5, "1e-5": 1e-5, "1E+3": 1000, ".5": 0.5, "5.": 5, "1e-999": 0,
		"0.1000000000000000055511151231257827021181583404541015625": 0.1,
	} {
		var r schema.Real
		if err := r.UnmarshalText([]byte(text)); err != nil || float64(r) != want {
			t.Errorf("%s: %v, %v", text, float64(r), err)
		}
	}
	for _, text := range []string{"", " 1", "1 ", "1_0", "0x1p0", "inf", "NaN", "+Inf", "1e999", "--1", "1,5", "e", "1" + strings.Repeat("0", 64)} {
		var r schema.Real
		if err := r.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %v", text, float64(r))
		}
	}
	hex := strings.Repeat("0a", 32)
	for _, text := range []string{"", hex[1:], hex + "0", strings.ToUpper(hex), "0x" + hex[2:], " " + hex[1:], "g" + hex[1:], hex[:62] + "é"} {
		if _, err := schema.ParseDigest(text); err == nil {
			t.Errorf("%q is a digest", text)
		}
		var v schema.VehicleID
		if v.UnmarshalText([]byte(text)) == nil || v.UnmarshalText([]byte(strings.ToUpper(hex[:32]))) == nil {
			t.Errorf("%q is a vehicle", text)
		}
	}
	if d, err := schema.ParseDigest(hex); err != nil || d.String() != hex || d.Short() != hex[:8] {
		t.Errorf("%s: %v", d, err)
	}
}
