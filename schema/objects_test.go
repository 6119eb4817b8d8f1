package schema_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// The objects below are the ones in testdata/v1: whatever changes here changes the golden files.

func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("veilsum test key " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func testPublic(name string) schema.PublicKey { return schema.NewPublicKey(testKey(name)) }

func digest(s string) schema.Digest { return schema.Digest(sha256.Sum256([]byte(s))) }

func testTask() schema.Task {
	return schema.Task{
		Version: 1, Name: `braking <v1> & "más"`,
		Scope: schema.Scope{
			Name: "fleet 7", Population: "all test vehicles\nsince 2026", Epsilon: 8, Delta: 1e-6, Unit: "vehicle", Relation: "zero_out",
		},
		Tensors: []schema.Tensor{
			{Name: "w", DType: "float32", Shape: []int{3, 2}}, {Name: "bias", DType: "float64", Shape: []int{}},
		},
		Privacy: schema.Privacy{
			TrustModel: "distributed", Mechanism: "discrete_gaussian", ClippingNorm: 1.25,
			Groups:          []schema.Group{{Tensors: []string{"w"}, ClippingNorm: 1}, {Tensors: []string{"bias"}, ClippingNorm: 0.75}},
			NoiseMultiplier: 0.8, Kappa: 1, KappaInf: 0.5, MaxInf: 1000,
		},
		Batch:         schema.Batch{Min: 8, Max: 64, MaxDishonest: 1, Lanes: 2},
		Participation: schema.Participation{Max: 10, MinSeparation: 3},
		Committee: schema.Committee{
			Size: 4, Threshold: 3, Malicious: 1,
			Keys: []schema.PublicKey{testPublic("d0"), testPublic("d1"), testPublic("d2"), testPublic("d3")},
		},
		Suite: 1, PieceBlocks: 85,
		Collector: testPublic("collector"), Authority: testPublic("authority"), Owner: testPublic("owner"),
		Ring:    schema.Ring{N: 1024, Q: 520193},
		Derived: schema.Derived{Values: 7, Sensitivity: 120, LocalStdDev: 36.5, HonestMin: 7, Grid: 96.25},
	}
}

// testHandover is the word of a member of testTask's committee.
func testHandover() schema.Handover {
	return schema.Handover{
		Version: 1, Scope: testTask().Scope.ID(), Committee: testTask().Committee.ID(), Index: 1, Size: 7, Root: digest("root"),
	}
}

// testRenewed replaces member 3 of testTask.
func testRenewed(t testing.TB) schema.Task {
	old := testTask()
	r := schema.Renewal{
		Committee: old.Committee, Root: digest("root"),
		Lineage: []schema.Predecessor{{Committee: digest("first committee"), Size: 4}, {Committee: old.Committee.ID(), Size: 7}},
	}
	for k := range 3 {
		s := signed(t, r.Handover(old.Scope.ID(), k), fmt.Sprint("d", k))
		r.Handovers = append(r.Handovers, schema.HandoverSignature{Index: k, Signature: s.Signature})
	}
	old.Renewal = &r
	old.Committee.Keys = append(slices.Clone(old.Committee.Keys[:3]), testPublic("d4"))
	return old
}

// testAdaptive is a task whose clipping norm follows the updates' norms.
func testAdaptive() schema.Task {
	t := testTask()
	t.Privacy.Adaptive = &schema.Adaptive{TargetQuantile: 0.5, LearningRate: 0.2, CountStdDev: 2.5, MinNorm: 0.01, MaxNorm: 1280}
	return t
}

// testCompressed is a task whose rounds send a sketch of every update.
func testCompressed() schema.Task {
	t := testTask()
	t.Compression = &schema.Compression{Kind: "count_sketch", Keep: 6, Rows: 3}
	return t
}

// testFollowing is a round of such a task that follows from another.
func testFollowing(t testing.TB) schema.Descriptor {
	d := testDescriptor(t)
	d.ClippingNorm, d.ClippingRound = 1.125, schema.RoundID{Digest: digest("earlier round")}
	return d
}

// testUnclipped is the receipt of such a round.
func testUnclipped() schema.Receipt {
	r, fraction := testReceipt(), schema.Real(1.03125)
	r.Unclipped = &fraction
	return r
}

func testRoundKey() schema.RoundKey {
	return schema.RoundKey{
		Version: 1, TaskID: schema.TaskID{Digest: digest("task")}, Epoch: 12, Lane: 1, Index: 0,
		PublicKey: bytes.Repeat([]byte{0xa5, 0x5a, 3, 4}, 8), Expiry: 1_800_000_600, Coin: digest("coin"),
	}
}

func testDescriptor(t testing.TB) schema.Descriptor {
	d := schema.Descriptor{
		Version: 1, TaskID: schema.TaskID{Digest: digest("task")}, Epoch: 12, Lane: 1, ModelHash: digest("model"), OldestModel: 10,
		ClippingNorm: 0, Deadline: 1_800_000_000, KeyExpiry: 1_800_000_600, Snapshot: digest("snapshot"),
	}
	for k := range 3 {
		b := testRoundKey()
		b.Index = k
		d.RoundKeys = append(d.RoundKeys, signed(t, b, fmt.Sprint("d", k)))
	}
	return d
}

// testRegional is a round with two regions.
func testRegional(t testing.TB) schema.Descriptor {
	d := testDescriptor(t)
	d.Regions = []schema.Region{
		{Name: "north", Aggregator: testPublic("north"), Deadline: 1_799_999_000}, {Name: "south-2", Aggregator: testPublic("south")},
	}
	return d
}

func testRegionSum() schema.RegionSum {
	return schema.RegionSum{
		Version: 1, RoundID: schema.RoundID{Digest: digest("round")}, Region: "north", Partial: digest("partial"), Reports: 2,
		Refused: []schema.Refusal{{Report: reports("r0")[0], Reason: schema.ReasonPiece}},
	}
}

// testFirstRelease has no release before it, and testRelease a delta and two rounds.
func testFirstRelease() schema.Release {
	return schema.Release{
		Version: 1, TaskID: schema.TaskID{Digest: digest("task")}, Serial: 1, Model: digest("model 0"), Size: 4096, Rounds: []schema.ReleaseRound{},
		Spent: schema.Spent{Epsilon: 0, Delta: 1e-5, Relation: "zero_out", Unit: "vehicle", Entries: 1, Root: digest("root 0")},
	}
}

func testRelease() schema.Release {
	r := testFirstRelease()
	r.Serial, r.Previous, r.Model, r.Note = 2, digest("release 1"), digest("model"), "mean of two lanes, learning rate 1"
	r.Deltas = []schema.Delta{{Base: digest("model 0"), Hash: digest("delta"), Size: 512}, {Base: digest("model -1"), Hash: digest("delta 2"), Size: 640}}
	slices.SortFunc(r.Deltas, func(a, b schema.Delta) int { return bytes.Compare(a.Base[:], b.Base[:]) })
	for lane := range uint32(2) {
		name := fmt.Sprint("round ", lane)
		r.Rounds = append(r.Rounds, schema.ReleaseRound{Epoch: 12, Lane: lane, RoundID: schema.RoundID{Digest: digest(name)}, Receipt: digest("receipt of " + name)})
	}
	r.Spent.Epsilon, r.Spent.Entries, r.Spent.Root = 2.5, 5, digest("root")
	return r
}

// testReleased is a task with a release key of its own, testBound a descriptor that names a release and
// takes older models for less.
func testReleased() schema.Task {
	t := testTask()
	t.Releaser = testPublic("releaser")
	return t
}

func testBound(t testing.TB) schema.Descriptor {
	d := testDescriptor(t)
	d.Release, d.Staleness = &schema.ReleaseRef{Serial: 2, ID: digest("release 2")}, schema.StalenessInverseSqrt
	return d
}

func reports(names ...string) []schema.ReportID {
	ids := make([]schema.ReportID, len(names))
	for i, n := range names {
		ids[i] = schema.ReportID{Digest: digest(n)}
	}
	slices.SortFunc(ids, schema.CompareReports)
	return ids
}

func testCandidates() schema.Candidates {
	return schema.Candidates{Version: 1, RoundID: schema.RoundID{Digest: digest("round")}, Reports: reports("r0", "r1", "r2")}
}

func testCheck() schema.Check {
	ids := reports("r0", "r1")
	return schema.Check{
		Version: 1, RoundID: schema.RoundID{Digest: digest("round")}, Index: 3, Candidates: digest("candidates"),
		Refused: []schema.Refusal{{Report: ids[0], Reason: schema.ReasonBox}, {Report: ids[1], Reason: schema.ReasonLimit}},
	}
}

func testManifest() schema.Manifest {
	return schema.Manifest{Version: 1, RoundID: schema.RoundID{Digest: digest("round")}, Reports: reports("r1", "r2")}
}

func testEvent() schema.Event {
	return schema.Event{
		Mechanism: "discrete_gaussian", TrustModel: "distributed", Sensitivity: 120, LocalStdDev: 36.5,
		HonestMin: 7, Values: 7, MaxBatch: 64, NoiseMultiplier: 0.8,
	}
}

func testReservation() schema.Reservation {
	return schema.Reservation{
		Version: 1, Scope: schema.ScopeID{Digest: digest("scope")}, TaskID: schema.TaskID{Digest: digest("task")},
		RoundID: schema.RoundID{Digest: digest("round")}, Epoch: 12, Lane: 1, Manifest: schema.ManifestID{Digest: digest("manifest")},
		Vehicles: []schema.VehicleID{{1}, {1, 2}, {0xff}}, Event: testEvent(),
	}
}

func testVote() schema.Vote {
	return schema.Vote{
		Version: 1, RoundID: schema.RoundID{Digest: digest("round")}, Index: 2,
		Manifest: schema.ManifestID{Digest: digest("manifest")}, Checkpoint: digest("checkpoint"),
	}
}

func testAnswer() schema.Answer {
	return schema.Answer{
		Version: 1, RoundID: schema.RoundID{Digest: digest("round")}, Index: 2, Manifest: schema.ManifestID{Digest: digest("manifest")},
		Shares: [][]byte{bytes.Repeat([]byte{1}, 2048), bytes.Repeat([]byte{2}, 2048)},
	}
}

func testReceipt() schema.Receipt {
	return schema.Receipt{
		Version: 1, Status: schema.StatusCommitted, TaskID: schema.TaskID{Digest: digest("task")}, RoundID: schema.RoundID{Digest: digest("round")},
		Epoch: 12, Lane: 1, Manifest: schema.ManifestID{Digest: digest("manifest")}, Checkpoint: digest("checkpoint"), Reports: 9, Event: testEvent(),
		Aggregate: digest("aggregate"), AggregateSize: 4096, Sum: digest("sum"),
		Votes: []schema.Digest{digest("v0"), digest("v1"), digest("v2")}, Answers: []schema.Digest{digest("a0"), digest("a1"), digest("a2")},
		Dropped: []int{3}, Convicted: []int{3}, Confirmed: false, WitnessVariance: 11990.5, WitnessFloor: 5600,
	}
}

func testVoid() schema.Receipt {
	r := testReceipt()
	r.Status, r.Reason = schema.StatusVoid, "the keys expired"
	r.Aggregate, r.AggregateSize, r.Sum, r.Dropped, r.Convicted, r.WitnessVariance, r.WitnessFloor = schema.Digest{}, 0, schema.Digest{}, []int{}, []int{}, 0, 0
	return r
}

// testHeader is the smallest one: committee (3,3,2), suite 2.
func testHeader() schema.Header {
	return schema.Header{
		Suite: 2, TaskID: schema.TaskID{Digest: digest("task")}, RoundID: schema.RoundID{Digest: digest("round")}, Epoch: 12, Lane: 1,
		Vehicle: schema.VehicleID{1, 2, 3}, N: 1024, Q: 61441, Values: 2000, PieceBlocks: 2, Size: 3, Threshold: 3,
		CorrHash: schema.HashCorr(testCorr()), Root: schema.PieceRoot([]schema.Digest{schema.HashPiece(0, []byte("p0")), schema.HashPiece(1, []byte("p1"))}),
		Commitments: []schema.Digest{digest("c0"), digest("c1"), digest("c2")},
	}
}

func testCorr() []byte { return bytes.Repeat([]byte{7, 8, 9, 10}, 512) }

func testBoxes() [][]byte {
	var boxes [][]byte
	for k := range 3 {
		boxes = append(boxes, bytes.Repeat([]byte{byte(k + 1)}, 32+32+16))
	}
	return boxes
}

func testReport(t testing.TB) *schema.Report {
	t.Helper()
	r, err := schema.NewReport(testHeader(), testBoxes(), testCorr(), testKey("vehicle"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testPartial() schema.Partial {
	return schema.Partial{
		RoundID: schema.RoundID{Digest: digest("round")}, N: 1024, Q: 61441, Values: 700, Reports: reports("r1", "r2"),
		Sum: bytes.Repeat([]byte{0x11, 0x22}, 1024*2),
	}
}

func testBatch() schema.BatchPlan {
	return schema.BatchPlan{
		RoundID: schema.RoundID{Digest: digest("round")}, List: digest("candidates"), FanIn: 2,
		Regions: []schema.BatchRegion{
			{Reports: []schema.ReportID{{Digest: schema.Digest{1}}, {Digest: schema.Digest{3}}, {Digest: schema.Digest{4}}}},
			{Name: "eu", Reports: []schema.ReportID{{Digest: schema.Digest{2}}}},
		},
	}
}

// testStep adds reports 1 and 3 of testBatch, of which it refuses one.
func testStep() schema.StepRecord {
	round := schema.RoundID{Digest: digest("round")}
	return schema.StepRecord{
		Version: 1, RoundID: round, Step: schema.NewStepID(round, 1, []schema.Digest{{1}, {3}}), Level: 1, Inputs: 2, Partial: digest("partial"), Bytes: 4,
		Parts: []schema.Digest{}, Vehicles: schema.Vehicles{{7}}, Refused: []schema.Refusal{{Report: schema.ReportID{Digest: schema.Digest{3}}, Reason: schema.ReasonPiece}},
	}
}

// testMerged adds two steps, of which one had no report to add.
func testMerged() schema.StepRecord {
	r := testStep()
	r.Step = schema.NewStepID(r.RoundID, 2, []schema.Digest{digest("a"), digest("b")})
	r.Level, r.Parts = 2, []schema.Digest{digest("part"), {}}
	r.Refused = append(r.Refused, schema.Refusal{Report: schema.ReportID{Digest: schema.Digest{9}}, Reason: schema.ReasonVehicle})
	return r
}

func testSnapshot(t testing.TB) *schema.Snapshot {
	t.Helper()
	s, err := schema.NewSnapshot(schema.ScopeID{Digest: digest("scope")}, 5, []schema.Enrolled{
		{ID: schema.VehicleID{9}, Key: testPublic("v9")}, {ID: schema.VehicleID{1, 2, 3}, Key: testPublic("vehicle")},
	}, testKey("authority"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signed[T schema.Object](t testing.TB, b T, signer string) schema.Signed[T] {
	t.Helper()
	s, err := schema.SignBody(b, testKey(signer))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// object is one kind of object with its decoder, for tests that hold for all.
type object struct {
	name   string
	bytes  []byte
	signer string // "" if it is named by its hash instead
	// decode returns what the decoder makes of data: the bytes that it encodes
	// to, its identity, and the outcome of every check of its signature.
	decode func(data []byte) (again []byte, id schema.Digest, verified, err error)
}

func signedObject[T schema.Object](t testing.TB, name string, b T, signer string) object {
	return object{name, signed(t, b, signer).Bytes(), signer, func(data []byte) ([]byte, schema.Digest, error, error) {
		s, err := schema.Decode[T](data)
		if err != nil {
			return nil, schema.Digest{}, nil, err
		}
		return s.Bytes(), s.ID(), s.Verify(testPublic(signer)), nil
	}}
}

func allObjects(t testing.TB) []object {
	header, err := testHeader().Encode()
	must(t, err)
	candidates, err := testCandidates().Encode()
	must(t, err)
	partial, err := testPartial().Encode()
	must(t, err)
	batch, err := testBatch().Encode()
	must(t, err)
	step, err := testStep().Encode()
	must(t, err)
	merged, err := testMerged().Encode()
	must(t, err)
	rep := testReport(t)
	return []object{
		signedObject(t, "task", testTask(), "owner"),
		signedObject(t, "task-renewed", testRenewed(t), "owner"),
		signedObject(t, "handover", testHandover(), "d1"),
		signedObject(t, "task-adaptive", testAdaptive(), "owner"),
		signedObject(t, "task-statistics", testStatistics(), "owner"),
		signedObject(t, "task-compressed", testCompressed(), "owner"),
		signedObject(t, "round-key", testRoundKey(), "d0"),
		signedObject(t, "descriptor", testDescriptor(t), "collector"),
		signedObject(t, "descriptor-adaptive", testFollowing(t), "collector"),
		signedObject(t, "descriptor-regions", testRegional(t), "collector"),
		signedObject(t, "task-released", testReleased(), "owner"),
		signedObject(t, "descriptor-bound", testBound(t), "collector"),
		signedObject(t, "release", testRelease(), "releaser"),
		signedObject(t, "release-first", testFirstRelease(), "releaser"),
		signedObject(t, "check", testCheck(), "d3"),
		signedObject(t, "region-sum", testRegionSum(), "north"),
		signedObject(t, "manifest", testManifest(), "collector"),
		signedObject(t, "reservation", testReservation(), "collector"),
		signedObject(t, "vote", testVote(), "d2"),
		signedObject(t, "answer", testAnswer(), "d2"),
		signedObject(t, "receipt", testReceipt(), "collector"),
		signedObject(t, "receipt-void", testVoid(), "collector"),
		signedObject(t, "receipt-adaptive", testUnclipped(), "collector"),
		{"candidates", candidates, "", decodeCandidates},
		{"snapshot", testSnapshot(t).Bytes(), "authority", decodeSnapshot},
		{"header", header, "", decodeHeader},
		{"report", rep.Bytes(), "vehicle", decodeReport},
		{"partial", partial, "", decodePartial},
		{"batch", batch, "", decodeBatch},
		{"step", step, "", decodeStep},
		{"step-merged", merged, "", decodeStep},
	}
}

func decodeCandidates(data []byte) ([]byte, schema.Digest, error, error) {
	c, err := schema.DecodeCandidates(data)
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	again, err := c.Encode()
	return again, c.ID(), nil, err
}

func decodeSnapshot(data []byte) ([]byte, schema.Digest, error, error) {
	s, err := schema.DecodeSnapshot(data)
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	return s.Bytes(), s.Root(), s.Verify(testPublic("authority")), nil
}

// decodeHeader refuses what lies behind the header, which DecodeHeader leaves to DecodeReport.
func decodeHeader(data []byte) ([]byte, schema.Digest, error, error) {
	h, err := schema.DecodeHeader(data)
	if err == nil && len(data) != h.HeaderBytes() {
		err = fmt.Errorf("%w: bytes behind the header", schema.ErrFormat)
	}
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	again, err := h.Encode()
	return again, schema.NewReportID(again).Digest, nil, err
}

func decodeReport(data []byte) ([]byte, schema.Digest, error, error) {
	r, err := schema.DecodeReport(data)
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	return r.Bytes(), r.ID.Digest, errors.Join(r.Verify(testPublic("vehicle")), r.VerifyBoxes()), nil
}

func decodeBatch(data []byte) ([]byte, schema.Digest, error, error) {
	p, err := schema.DecodeBatchPlan(data)
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	again, err := p.Encode()
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	id, err := p.ID()
	return again, id, nil, err
}

// decodeStep names a record by its bytes: its name in a store is that of the step, whatever came of it.
func decodeStep(data []byte) ([]byte, schema.Digest, error, error) {
	r, err := schema.DecodeStepRecord(data)
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	again, err := r.Encode()
	return again, sha256.Sum256(again), nil, err
}

func decodePartial(data []byte) ([]byte, schema.Digest, error, error) {
	p, err := schema.DecodePartial(data)
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	again, err := p.Encode()
	if err != nil {
		return nil, schema.Digest{}, nil, err
	}
	id, err := p.ID()
	return again, id, nil, err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rawJSON encodes as the package does, without any check: what a hostile writer does.
func rawJSON(t testing.TB, v any) []byte {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	must(t, enc.Encode(v))
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// forge signs any body bytes as an object of the label.
func forge(label, signer string, body []byte) []byte {
	sig := schema.Sign(testKey(signer), label, body)
	return fmt.Appendf(nil, `{"body":%s,"signature":"%x"}`, body, sig[:])
}
