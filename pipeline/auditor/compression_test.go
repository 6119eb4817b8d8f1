package auditor_test

import (
	"crypto/sha256"
	"math"
	"strconv"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy/compress"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// compressedTask has a matrix and a vector, 130 values, and little noise.
func compressedTask(c schema.Compression) schema.Task {
	t := pipelinetest.Task(8)
	t.Tensors = []schema.Tensor{{Name: "kernel", DType: "float32", Shape: []int{12, 10}}, {Name: "bias", DType: "float32", Shape: []int{10}}}
	t.Privacy.NoiseMultiplier, t.Batch.MaxDishonest = 0.3, 0
	t.Compression = &c
	return t
}

// plainUpdate is the update of every vehicle, of norm 0.9.
func plainUpdate() []float32 {
	v := make([]float32, 130)
	for j := range v {
		v[j] = float32(j*17%13-6) / 47.5
	}
	return v
}

// TestCompressedRounds plays a round of every kind through all roles: reports hold k numbers, the mean is A^T A of the
// updates' mean up to the noise, its metadata says how it was compressed, and the auditor writes the same bytes again.
// The noise's mean square is a chi-square of about 40 degrees; above 1.75^2 times its mean has a chance below 10^-9. The map
// of another round would give at least 2.2 (TestOtherCompression looks at that too).
func TestCompressedRounds(t *testing.T) {
	for _, c := range []schema.Compression{
		{Kind: "random_k", Keep: 40}, {Kind: "srht", Keep: 40}, {Kind: "count_sketch", Keep: 40, Rows: 2}, {Kind: "low_rank", Rank: 3}, {Kind: "srht", Ratio: 3},
	} {
		f := &played{Fleet: pipelinetest.New(t, 4, compressedTask(c))}
		spec := f.Plan.Privacy.Compression()
		k := spec.Sent()
		if k != 40 && k != 43 || f.Plan.Header().Values != k || f.Plan.Event().Values != k || f.Task.Derived.Values != 130 || f.Task.Compression.Keep != k {
			t.Fatalf("%s: %d numbers, header %d, event %d, derived %d, stated %d", c.Kind, k, f.Plan.Header().Values, f.Plan.Event().Values, f.Task.Derived.Values, f.Task.Compression.Keep)
		}
		r := f.Open(1)
		f.rounds = append(f.rounds, r)
		for i := range f.Vehicles {
			v, done := f.Vehicle(i)
			sealed, err := v.SealRound(r, client.Update{Values: plainUpdate(), ModelHash: schema.HashModel([]byte("model"))})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Upload(ctx, f.Store, sealed.File(), nil); err != nil {
				t.Fatal(err)
			}
			done()
		}
		f.finish(t, r)
		rep, err := f.audit(auditor.Options{Depth: auditor.DepthPieces})
		if err != nil {
			t.Fatal(c.Kind, err)
		}
		if x := rep.Tasks[0].Rounds[0]; !(x.SNR > 0) || !(x.CompressionRMSE > 0) {
			t.Errorf("%s: signal to noise %g, compression %g", c.Kind, x.SNR, x.CompressionRMSE)
		}
		checkCompressed(t, f, r, spec)
	}
}

// finish plays a round on from its reports.
func (f *played) finish(t *testing.T, r *pipeline.Round) {
	t.Helper()
	list, _, err := f.Fleet.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	f.Committee([]int{0, 1, 2}, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, list, nil); return err })
	if _, err := f.Fleet.Collector.Propose(ctx, f.Store, r, list); err != nil {
		t.Fatal(err)
	}
	f.step(r, []int{0, 1, 2}, true)
	if _, err := f.Fleet.Collector.Collect(ctx, f.Store, r, nil); err != nil {
		t.Fatal(err)
	}
}

func checkCompressed(t *testing.T, f *played, r *pipeline.Round, spec *compress.Spec) {
	t.Helper()
	receipt := f.receipt(t, 0)
	a, err := arrowipc.OpenAggregate(f.Get(pipeline.AggregateKey(r.Name, receipt.Aggregate)), receipt.Aggregate)
	if err != nil {
		t.Fatal(err)
	}
	if a.Meta[arrowipc.MetaCompression] != string(spec.Kind) || a.Meta[arrowipc.MetaCompressionKeep] != strconv.Itoa(spec.Sent()) ||
		a.Meta[arrowipc.MetaCompressionErrorFactor] == "" || a.Meta[arrowipc.MetaCompressionRMSE] == "" {
		t.Errorf("metadata %v", a.Meta)
	}
	m, err := compress.New(*spec, r.ID.Digest)
	if err != nil {
		t.Fatal(err)
	}
	y := make([]float64, m.Sent())
	for j, v := range m.Apply(plainUpdate()) {
		y[j] = float64(v)
	}
	square := 0.0
	for i, want := range m.Expand(y) {
		square += (a.Values[i] - want) * (a.Values[i] - want) / float64(len(a.Values))
	}
	if over := math.Sqrt(square) / f.Plan.Privacy.NoiseStdDev(len(f.Vehicles)); over > 1.75 || over < 0.4 {
		t.Errorf("%s: %.3g times the noise away from A^T A of the mean", spec.Kind, over)
	}
}

// TestOtherCompression: a mean that was expanded by the map of another round, or stated with another map, is a flaw.
func TestOtherCompression(t *testing.T) {
	f := play(t, compressedTask(schema.Compression{Kind: "srht", Keep: 40}), 2, 0, 1, 2)
	r, c := f.rounds[0], f.receipt(t, 0)
	key := pipeline.AggregateKey(r.Name, c.Aggregate)
	a, err := arrowipc.OpenAggregate(f.Get(key), c.Aggregate)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(){
		"other map":   func() { a.Values = f.expandedBy(t, f.rounds[1], a.Values) },
		"other kind":  func() { a.Meta[arrowipc.MetaCompression] = "random_k" },
		"other error": func() { a.Meta[arrowipc.MetaCompressionRMSE] = "12345" },
	} {
		change()
		forged, err := arrowipc.EncodeAggregate(f.Task.Tensors, a.Values, a.Meta)
		if err != nil {
			t.Fatal(err)
		}
		f.wantForged(t, name, r, c, forged)
	}
}

// expandedBy is a mean expanded by the map of another round.
func (f *played) expandedBy(t *testing.T, other *pipeline.Round, mean []float64) []float64 {
	t.Helper()
	m, err := compress.New(*f.Plan.Privacy.Compression(), other.ID.Digest)
	if err != nil {
		t.Fatal(err)
	}
	return m.Expand(mean[:m.Sent()])
}

// wantForged puts an aggregate and a well signed receipt of it in the place of a round's, and wants the audit to name the aggregate.
func (f *played) wantForged(t *testing.T, name string, r *pipeline.Round, c schema.Receipt, forged []byte) {
	t.Helper()
	c.Aggregate, c.AggregateSize = sha256.Sum256(forged), int64(len(forged))
	key := pipeline.AggregateKey(r.Name, c.Aggregate)
	f.wantFlaw(t, name, overlay{f.with(key, forged), pipeline.ReceiptKey(r.Name), sign(t, f, c)}, auditor.Options{}, key)
}
