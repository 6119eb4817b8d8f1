package schema_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// fuzz holds a decoder to what all of them promise: no panic, what decodes
// encodes to the same bytes, errors wrap ErrFormat, and the memory used
// is bounded by the size of the input.
func fuzz(f *testing.F, decode func([]byte) ([]byte, schema.Digest, error, error), seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s)
		f.Add(s[:len(s)/2])
		f.Add(bytes.Replace(s, []byte("1"), []byte("2"), 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		var err error
		used := allocated(func() { again, _, _, err = decode(data) })
		if err == nil && !bytes.Equal(again, data) {
			t.Errorf("encodes to\n%q, read from\n%q", again, data)
		}
		if err != nil && !errors.Is(err, schema.ErrFormat) {
			t.Errorf("%v does not wrap ErrFormat", err)
		}
		if used > allocationBound(len(data)) {
			t.Errorf("%d bytes allocated for %d", used, len(data))
		}
	})
}

// seed returns the objects of a name, and the decoder.
func seed(f *testing.F, names ...string) (func([]byte) ([]byte, schema.Digest, error, error), [][]byte) {
	var decode func([]byte) ([]byte, schema.Digest, error, error)
	var seeds [][]byte
	for _, o := range allObjects(f) {
		for _, n := range names {
			if o.name == n {
				decode, seeds = o.decode, append(seeds, o.bytes)
			}
		}
	}
	if len(seeds) != len(names) {
		f.Fatalf("%d objects for %v", len(seeds), names)
	}
	return decode, seeds
}

func fuzzObject(f *testing.F, names ...string) {
	decode, seeds := seed(f, names...)
	fuzz(f, decode, seeds...)
}

func FuzzDecodeTask(f *testing.F) {
	fuzzObject(f, "task", "task-renewed", "task-adaptive", "task-statistics", "task-compressed", "task-released")
}
func FuzzDecodeRoundKey(f *testing.F) { fuzzObject(f, "round-key") }
func FuzzDecodeDescriptor(f *testing.F) {
	fuzzObject(f, "descriptor", "descriptor-adaptive", "descriptor-bound", "descriptor-regions")
}
func FuzzDecodeRelease(f *testing.F)     { fuzzObject(f, "release", "release-first") }
func FuzzDecodeCheck(f *testing.F)       { fuzzObject(f, "check") }
func FuzzDecodeRegionSum(f *testing.F)   { fuzzObject(f, "region-sum") }
func FuzzDecodeManifest(f *testing.F)    { fuzzObject(f, "manifest") }
func FuzzDecodeReservation(f *testing.F) { fuzzObject(f, "reservation") }
func FuzzDecodeVote(f *testing.F)        { fuzzObject(f, "vote") }
func FuzzDecodeHandover(f *testing.F)    { fuzzObject(f, "handover") }
func FuzzDecodeAnswer(f *testing.F)      { fuzzObject(f, "answer") }
func FuzzDecodeReceipt(f *testing.F)     { fuzzObject(f, "receipt", "receipt-void", "receipt-adaptive") }
func FuzzDecodeCandidates(f *testing.F)  { fuzzObject(f, "candidates") }
func FuzzDecodeSnapshot(f *testing.F)    { fuzzObject(f, "snapshot") }
func FuzzDecodeHeader(f *testing.F)      { fuzzObject(f, "header") }
func FuzzDecodeReport(f *testing.F)      { fuzzObject(f, "report") }
func FuzzDecodePartial(f *testing.F)     { fuzzObject(f, "partial") }
func FuzzDecodeBatchPlan(f *testing.F)   { fuzzObject(f, "batch") }
func FuzzDecodeStepRecord(f *testing.F)  { fuzzObject(f, "step", "step-merged") }

// FuzzDecodeReportHead also asks the head for everything, in and out of range.
func FuzzDecodeReportHead(f *testing.F) {
	_, seeds := seed(f, "report")
	whole := testReport(f)
	off, _ := whole.BoxRange(0)
	f.Add(seeds[0], 0)
	f.Add(seeds[0][:off], 2)
	f.Add(seeds[0][:off-1], -1)
	f.Fuzz(func(t *testing.T, data []byte, k int) {
		var r *schema.Report
		var err error
		used := allocated(func() { r, err = schema.DecodeReportHead(data) })
		if used > allocationBound(len(data)) {
			t.Errorf("%d bytes allocated for %d", used, len(data))
		}
		if err != nil {
			return
		}
		header, err := r.Header.Encode()
		if err != nil || !bytes.HasPrefix(data, header) || r.ID != schema.NewReportID(header) {
			t.Errorf("the header is another one: %v", err)
		}
		if _, err := r.Box(k); err == nil || r.VerifyBoxes() == nil || r.Corr() != nil || r.Bytes() != nil {
			t.Error("a head gives what it does not hold")
		}
		_ = r.CheckBox(k, data)
		_ = r.Verify(testPublic("vehicle"))
	})
}

// FuzzReal: people may spell a number in many ways, but each reads as one number with one canonical text.
func FuzzReal(f *testing.F) {
	for _, s := range []string{"0", "-0", "1", "0.1", "1e-05", "1E5", "1e999", "-1.5", "1.7976931348623157e+308", "5e-324", "Inf", "0x1p-2", "1_0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r, again schema.Real
		err := r.UnmarshalText([]byte(text))
		if err != nil {
			if !errors.Is(err, schema.ErrFormat) {
				t.Errorf("%v does not wrap ErrFormat", err)
			}
			return
		}
		canonical, err := r.MarshalText()
		if err != nil || again.UnmarshalText(canonical) != nil || again != r {
			t.Errorf("%q reads as %v, writes as %q, reads as %v", text, float64(r), canonical, float64(again))
		}
		if once, _ := again.MarshalText(); !bytes.Equal(once, canonical) {
			t.Errorf("%q and %q are one number", once, canonical)
		}
	})
}

// FuzzDigestText: a digest has one text.
func FuzzDigestText(f *testing.F) {
	for _, s := range []string{"", digest("a").String(), "0X" + digest("a").String()[2:], testHex(), digest("a").String() + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := schema.ParseDigest(text)
		if err == nil && d.String() != text {
			t.Errorf("%q reads as %s", text, d)
		}
		var k schema.PublicKey
		var v schema.VehicleID
		if k.UnmarshalText([]byte(text)) == nil && k.String() != text || v.UnmarshalText([]byte(text)) == nil && v.String() != text {
			t.Errorf("%q has another text", text)
		}
	})
}
