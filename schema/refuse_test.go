package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// refusal breaks one field; the error must name it.
type refusal[T any] struct {
	field  string // as the error names it
	mutate func(*T)
}

// refuse tries every refusal twice: on the way out (SignBody) and on the way in,
// from a writer that checks nothing.
func refuse[T schema.Object](t *testing.T, label string, good func() T, cases []refusal[T]) {
	t.Helper()
	if _, err := schema.SignBody(good(), testKey("any")); err != nil {
		t.Fatalf("the %s that the cases break: %v", label, err)
	}
	for i, c := range cases {
		b := good()
		c.mutate(&b)
		name := fmt.Sprintf("%s, case %d, %s", label, i, c.field)
		_, err := schema.SignBody(b, testKey("any"))
		named(t, name+", signed", err, c.field)
		if !finite(b) {
			continue
		}
		raw := rawJSON(t, b)
		_, err = schema.Decode[T](forge(label, "any", raw))
		if bytes.Contains(raw, []byte("null")) {
			named(t, name+", decoded", err, "null") // refused before there are fields
		} else {
			named(t, name+", decoded", err, c.field)
		}
	}
}

// finite tells whether a careless encoder can write b at all.
func finite(b any) bool {
	s := fmt.Sprintf("%v", b)
	return !strings.Contains(s, "NaN") && !strings.Contains(s, "Inf")
}

// named requires an error that names the field and the cure.
func named(t *testing.T, name string, err error, field string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("%s: no error", name)
	case !errors.Is(err, schema.ErrFormat):
		t.Errorf("%s: %v does not wrap ErrFormat", name, err)
	case !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "want ") && !errors.Is(err, schema.ErrVersion):
		t.Errorf("%s: %q names no field or no cure", name, err)
	case len(err.Error()) > 500:
		t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
	}
}

func TestTaskRanges(t *testing.T) {
	long, nan := strings.Repeat("x", 2000), schema.Real(math.NaN())
	refuse(t, "task", testTask, []refusal[schema.Task]{
		{"task.version", func(x *schema.Task) { x.Version = 0 }},
		{"task.name", func(x *schema.Task) { x.Name = "" }},
		{"task.max_examples", func(x *schema.Task) { x.MaxExamples = -1 }},
		{"task.max_examples", func(x *schema.Task) { x.MaxExamples = schema.MaxExamples + 1 }},
		{"task.name", func(x *schema.Task) { x.Name = long[:129] }},
		{"task.name", func(x *schema.Task) { x.Name = "a\nb" }},
		{"task.name", func(x *schema.Task) { x.Name = "a\x1b[2Jb" }},
		{"task.name", func(x *schema.Task) { x.Name = "a\u202eb" }},
		{"task.name", func(x *schema.Task) { x.Name = "a\u2028b" }},
		{"scope.name", func(x *schema.Task) { x.Scope.Name = "" }},
		{"scope.population", func(x *schema.Task) { x.Scope.Population = long }},
		{"scope.population", func(x *schema.Task) { x.Scope.Population = "a\rb" }},
		{"scope.epsilon", func(x *schema.Task) { x.Scope.Epsilon = 0 }},
		{"scope.epsilon", func(x *schema.Task) { x.Scope.Epsilon = nan }},
		{"scope.delta", func(x *schema.Task) { x.Scope.Delta = 0 }},
		{"scope.delta", func(x *schema.Task) { x.Scope.Delta = 1 }},
		{"scope.unit", func(x *schema.Task) { x.Scope.Unit = long }},
		{"scope.relation", func(x *schema.Task) { x.Scope.Relation = "add_remove" }},
		{"task.tensors", func(x *schema.Task) { x.Tensors = nil }},
		{"task.tensors", func(x *schema.Task) { x.Tensors[1].Name = "w" }},
		{"task.tensors", func(x *schema.Task) { x.Tensors[0].Shape = []int{1 << 30, 1 << 30, 1 << 30} }},
		{"task.tensors", func(x *schema.Task) { x.Tensors[0].Shape = []int{math.MaxInt32} }}, // with bias one too many
		{"task.tensors", func(x *schema.Task) { x.Tensors[0].Shape = []int{2, 0} }},
		{"task.tensors", func(x *schema.Task) { x.Tensors[0].Shape = []int{-1, -1} }},
		{"tensor.name", func(x *schema.Task) { x.Tensors[0].Name = "" }},
		{"tensor.dtype", func(x *schema.Task) { x.Tensors[0].DType = "float16" }},
		{"tensor.shape", func(x *schema.Task) { x.Tensors[1].Shape = nil }},
		{"tensor.shape", func(x *schema.Task) { x.Tensors[0].Shape = make([]int, 20) }},
		{"privacy.trust_model", func(x *schema.Task) { x.Privacy.TrustModel = "central" }},
		{"privacy.mechanism", func(x *schema.Task) { x.Privacy.Mechanism = "none" }},
		{"privacy.mechanism", func(x *schema.Task) { x.Privacy.Mechanism = "laplace" }}, // only local
		{"privacy.clipping_norm", func(x *schema.Task) { x.Privacy.ClippingNorm = 0 }},
		{"privacy.groups", func(x *schema.Task) { x.Privacy.Groups[0].Tensors = nil }},
		{"privacy.groups", func(x *schema.Task) { x.Privacy.Groups[0].ClippingNorm = 0 }},
		{"privacy.groups", func(x *schema.Task) { x.Privacy.Groups = x.Privacy.Groups[:1] }},
		{"privacy.groups", func(x *schema.Task) { x.Privacy.Groups = append(x.Privacy.Groups, x.Privacy.Groups[0]) }},
		{"privacy.groups", func(x *schema.Task) { x.Privacy.Groups[0].Tensors[0] = long }},
		{"privacy.noise_multiplier", func(x *schema.Task) { x.Privacy.NoiseMultiplier = -1 }},
		{"privacy.kappa:", func(x *schema.Task) { x.Privacy.Kappa = 1.5 }},
		{"privacy.kappa_inf", func(x *schema.Task) { x.Privacy.KappaInf = 0 }},
		{"privacy.max_inf", func(x *schema.Task) { x.Privacy.MaxInf = -1 }},
		{"batch.max_batch_size", func(x *schema.Task) { x.Batch.Max = 1<<20 + 1 }},
		{"batch.min_batch_size", func(x *schema.Task) { x.Batch.Min = 1 }},
		{"batch.min_batch_size", func(x *schema.Task) { x.Batch.Min = 65 }},
		{"batch.max_dishonest", func(x *schema.Task) { x.Batch.MaxDishonest = 7 }},
		{"batch.max_dishonest", func(x *schema.Task) { x.Batch.MaxDishonest = -1 }},
		{"batch.lanes", func(x *schema.Task) { x.Batch.Lanes = 0 }},
		{"batch.lanes", func(x *schema.Task) { x.Batch.Lanes = 4097 }},
		{"participation.max", func(x *schema.Task) { x.Participation.Max = -1 }},
		{"participation.min_separation", func(x *schema.Task) { x.Participation.MinSeparation = 0 }},
		{"committee.size", func(x *schema.Task) { x.Committee.Malicious = 2 }},
		{"committee.size", func(x *schema.Task) { x.Committee.Threshold = 2 }},
		{"committee.size", func(x *schema.Task) { x.Committee.Size = 17 }},
		{"committee.keys", func(x *schema.Task) { x.Committee.Keys = x.Committee.Keys[:3] }},
		{"committee.keys", func(x *schema.Task) { x.Committee.Keys[1] = x.Committee.Keys[0] }},
		{"committee.keys", func(x *schema.Task) { x.Committee.Keys[1] = schema.PublicKey{} }},
		{"task.suite", func(x *schema.Task) { x.Suite = 3 }},
		{"task.piece_blocks", func(x *schema.Task) { x.PieceBlocks = 65537 }},
		{"collector, authority, owner", func(x *schema.Task) { x.Owner = schema.PublicKey{} }},
		{"ring.n, q", func(x *schema.Task) { x.Ring = schema.Ring{} }},
		{"ring.n, q", func(x *schema.Task) { x.Ring.N = 2048 }},
		{"derived.values", func(x *schema.Task) { x.Derived.Values = 8 }},
		{"derived.sensitivity", func(x *schema.Task) { x.Derived.Sensitivity = 0 }},
		{"derived.local_std_dev", func(x *schema.Task) { x.Derived.LocalStdDev = 6.3 }},
		{"derived.honest_min", func(x *schema.Task) { x.Derived.HonestMin = 0 }},
		{"derived.grid", func(x *schema.Task) { x.Derived.Grid = 0 }},
	})
}

// TestAdaptiveRanges: the rule, the round that a norm follows from, and the fraction in a receipt.
func TestAdaptiveRanges(t *testing.T) {
	nan, inf := schema.Real(math.NaN()), schema.Real(math.Inf(1))
	refuse(t, "task", testAdaptive, []refusal[schema.Task]{
		{"privacy.adaptive: ", func(x *schema.Task) { x.Privacy.TrustModel, x.Privacy.Mechanism = "local", "laplace" }},
		{"privacy.adaptive.target_quantile", func(x *schema.Task) { x.Privacy.Adaptive.TargetQuantile = 0 }},
		{"privacy.adaptive.target_quantile", func(x *schema.Task) { x.Privacy.Adaptive.TargetQuantile = 1 }},
		{"privacy.adaptive.learning_rate", func(x *schema.Task) { x.Privacy.Adaptive.LearningRate = 0 }},
		{"privacy.adaptive.learning_rate", func(x *schema.Task) { x.Privacy.Adaptive.LearningRate = 4.1 }},
		{"privacy.adaptive.count_std_dev", func(x *schema.Task) { x.Privacy.Adaptive.CountStdDev = -1 }},
		{"privacy.adaptive.count_std_dev", func(x *schema.Task) { x.Privacy.Adaptive.CountStdDev = 0 }},
		{"privacy.adaptive.min_norm", func(x *schema.Task) { x.Privacy.Adaptive.MinNorm = 0 }},
		{"privacy.adaptive.min_norm", func(x *schema.Task) { x.Privacy.Adaptive.MinNorm = 1.3 }},
		{"privacy.adaptive.max_norm", func(x *schema.Task) { x.Privacy.Adaptive.MaxNorm = 1.2 }},
	})
	for name, change := range map[string]func(*schema.Adaptive){
		"rate": func(a *schema.Adaptive) { a.LearningRate = inf }, "count": func(a *schema.Adaptive) { a.CountStdDev = inf }, "norm": func(a *schema.Adaptive) { a.MaxNorm = inf },
		"quantile that is NaN": func(a *schema.Adaptive) { a.TargetQuantile = nan }, "norm that is NaN": func(a *schema.Adaptive) { a.MaxNorm = nan },
	} {
		x := testAdaptive()
		change(x.Privacy.Adaptive)
		if _, err := schema.SignBody(x, testKey("owner")); err == nil {
			t.Errorf("%s: infinite or NaN, and signed", name)
		}
	}
	refuse(t, "descriptor", func() schema.Descriptor { return testFollowing(t) }, []refusal[schema.Descriptor]{
		{"descriptor.clipping_norm", func(x *schema.Descriptor) { x.ClippingNorm = -1 }},
		{"descriptor.clipping_round", func(x *schema.Descriptor) { x.ClippingNorm = 0 }},
	})
	refuse(t, "receipt", testVoid, []refusal[schema.Receipt]{
		{"receipt.aggregate", func(x *schema.Receipt) { x.Unclipped = new(schema.Real) }},
	})
}

func TestCompressionRanges(t *testing.T) {
	set := func(kind string, keep, rows, rank int) func(*schema.Task) {
		return func(x *schema.Task) {
			*x.Compression = schema.Compression{Kind: kind, Keep: keep, Rows: rows, Rank: rank}
		}
	}
	d, err := testCompressed().Values()
	must(t, err)
	refuse(t, "task", testCompressed, []refusal[schema.Task]{
		{"compression.kind", set("", 6, 0, 0)},
		{"compression.kind", set("top_k", 6, 0, 0)},
		{"compression.keep", set("srht", 0, 0, 0)},
		{"compression.keep", set("random_k", d+1, 0, 0)},
		{"compression.keep", set("low_rank", 0, 0, 1)},
		{"compression.rows", set("srht", 6, 1, 0)},
		{"compression.rows", set("count_sketch", 6, 0, 0)},
		{"compression.rows", set("count_sketch", 6, 4, 0)},
		{"compression.rows", set("count_sketch", 6, -1, 0)},
		{"compression.rank", set("low_rank", 6, 0, 0)},
		{"compression.rank", set("random_k", 6, 0, 1)},
		{"compression.rank", set("count_sketch", 6, 3, 1)},
	})
	for _, ok := range []func(*schema.Task){set("srht", d, 0, 0), set("random_k", 1, 0, 0), set("low_rank", 6, 0, 2), set("count_sketch", 7, 7, 0)} {
		x := testCompressed()
		ok(&x)
		must(t, x.Validate())
	}
}

// TestAbsentIsAbsent: what version 1 had before adaptive clipping has the bytes that it had, and the new fields have no second
// spelling for "none".
func TestAbsentIsAbsent(t *testing.T) {
	zero := schema.Digest{}.String()
	for _, x := range []struct {
		label, signer string
		body          []byte
		decode        func([]byte) error
		last, added   string
	}{
		{"task", "owner", rawJSON(t, testTask()), decodes[schema.Task], `"max_inf":1000`, `,"adaptive":null`},
		{"task", "owner", rawJSON(t, testTask()), decodes[schema.Task], `"max_inf":1000`, `,"adaptive":{}`},
		{"task", "owner", rawJSON(t, testTask()), decodes[schema.Task], `"checkpoint":"` + zero + `"`, `,"statistics":null`},
		{"task", "owner", rawJSON(t, testTask()), decodes[schema.Task], `"checkpoint":"` + zero + `"`, `,"statistics":{}`},
		{"task", "owner", rawJSON(t, testTask()), decodes[schema.Task], `"max_inf":1000}`, `,"compression":null`},
		{"task", "owner", rawJSON(t, testTask()), decodes[schema.Task], `"max_inf":1000}`, `,"compression":{}`},
		{"descriptor", "collector", rawJSON(t, testDescriptor(t)), decodes[schema.Descriptor], `"clipping_norm":"0"`, `,"clipping_round":"` + zero + `"`},
		{"descriptor", "collector", rawJSON(t, testDescriptor(t)), decodes[schema.Descriptor], `"clipping_norm":"0"`, `,"clipping_round":""`},
		{"descriptor", "collector", rawJSON(t, testDescriptor(t)), decodes[schema.Descriptor], `"round_keys":[`, `],"regions":[`},
		{"receipt", "collector", rawJSON(t, testReceipt()), decodes[schema.Receipt], `"witness_floor":"5600"`, `,"unclipped":null`},
		{"receipt", "collector", rawJSON(t, testReceipt()), decodes[schema.Receipt], `"witness_floor":"5600"`, `,"unclipped":""`},
	} {
		if bytes.Contains(x.body, []byte("adaptive")) || bytes.Contains(x.body, []byte("compression")) || bytes.Contains(x.body, []byte("clipping_round")) || bytes.Contains(x.body, []byte("unclipped")) || bytes.Contains(x.body, []byte("regions")) {
			t.Errorf("%s: %s", x.label, x.body)
		}
		must(t, x.decode(forge(x.label, x.signer, x.body)))
		other := bytes.Replace(x.body, []byte(x.last), []byte(x.last+x.added), 1)
		if err := x.decode(forge(x.label, x.signer, other)); bytes.Equal(other, x.body) || !errors.Is(err, schema.ErrFormat) {
			t.Errorf("%s with %s: %v", x.label, x.added, err)
		}
	}
}

func decodes[T schema.Object](data []byte) error {
	_, err := schema.Decode[T](data)
	return err
}

func TestTooManyTensors(t *testing.T) {
	task := testTask()
	task.Tensors = make([]schema.Tensor, schema.MaxTensors+1)
	_, err := task.Values()
	named(t, "16385 tensors", err, "task.tensors")
}

func TestRoundKeyRanges(t *testing.T) {
	refuse(t, "round-key", testRoundKey, []refusal[schema.RoundKey]{
		{"round-key.version", func(x *schema.RoundKey) { x.Version = 2 }},
		{"round-key.task_id", func(x *schema.RoundKey) { x.TaskID = schema.TaskID{} }},
		{"round-key.index", func(x *schema.RoundKey) { x.Index = -1 }},
		{"round-key.index", func(x *schema.RoundKey) { x.Index = 16 }},
		{"round-key.public_key", func(x *schema.RoundKey) { x.PublicKey = nil }},
		{"round-key.public_key", func(x *schema.RoundKey) { x.PublicKey = make([]byte, 33) }},
		{"round-key.expiry", func(x *schema.RoundKey) { x.Expiry = -1 }},
		{"round-key.expiry", func(x *schema.RoundKey) { x.Expiry = math.MaxInt64 }},
	})
}

func TestDescriptorRanges(t *testing.T) {
	good := func() schema.Descriptor { return testDescriptor(t) }
	refuse(t, "descriptor", good, []refusal[schema.Descriptor]{
		{"descriptor.version", func(x *schema.Descriptor) { x.Version = -1 }},
		{"descriptor.task_id", func(x *schema.Descriptor) { x.TaskID = schema.TaskID{} }},
		{"descriptor.oldest_model", func(x *schema.Descriptor) { x.OldestModel = 13 }},
		{"descriptor.clipping_norm", func(x *schema.Descriptor) { x.ClippingNorm = -1 }},
		{"descriptor.deadline, key_expiry", func(x *schema.Descriptor) { x.Deadline = -1 }},
		{"descriptor.deadline, key_expiry", func(x *schema.Descriptor) { x.KeyExpiry = x.Deadline - 1 }},
		{"descriptor.deadline, key_expiry", func(x *schema.Descriptor) { x.KeyExpiry = math.MaxInt64 }},
		{"descriptor.snapshot", func(x *schema.Descriptor) { x.Snapshot = schema.Digest{} }},
		{"descriptor.round_keys", func(x *schema.Descriptor) { x.RoundKeys = x.RoundKeys[:1] }},
		{"descriptor.round_keys", func(x *schema.Descriptor) {
			for len(x.RoundKeys) < 17 {
				x.RoundKeys = append(x.RoundKeys, x.RoundKeys[0])
			}
		}},
	})
}

func TestRegionRanges(t *testing.T) {
	good := func() schema.Descriptor { return testRegional(t) }
	refuse(t, "descriptor", good, []refusal[schema.Descriptor]{
		{"descriptor.regions.name", func(x *schema.Descriptor) { x.Regions[0].Name = "" }},
		{"descriptor.regions.name", func(x *schema.Descriptor) { x.Regions[0].Name = "-a" }},
		{"descriptor.regions.name", func(x *schema.Descriptor) { x.Regions[0].Name = "a/b" }},
		{"descriptor.regions.name", func(x *schema.Descriptor) { x.Regions[0].Name = "North" }},
		{"descriptor.regions.name", func(x *schema.Descriptor) { x.Regions[0].Name = strings.Repeat("a", 33) }},
		{"descriptor.regions.name", func(x *schema.Descriptor) { x.Regions[1].Name = "north" }},
		{"descriptor.regions.name", func(x *schema.Descriptor) { x.Regions[0].Name = "west" }},
		{"descriptor.regions.aggregator", func(x *schema.Descriptor) { x.Regions[0].Aggregator = schema.PublicKey{} }},
		{"descriptor.regions.aggregator", func(x *schema.Descriptor) { x.Regions[0].Aggregator = x.Regions[1].Aggregator }},
		{"descriptor.regions.deadline", func(x *schema.Descriptor) { x.Regions[0].Deadline = -1 }},
		{"descriptor.regions.deadline", func(x *schema.Descriptor) { x.Regions[0].Deadline = x.KeyExpiry + 1 }},
		{"descriptor.regions", func(x *schema.Descriptor) {
			for len(x.Regions) < 65 {
				x.Regions = append(x.Regions, x.Regions[0])
			}
		}},
	})
	refuse(t, "region-sum", testRegionSum, []refusal[schema.RegionSum]{
		{"region-sum.version", func(x *schema.RegionSum) { x.Version = 2 }},
		{"region-sum.round_id", func(x *schema.RegionSum) { x.RoundID = schema.RoundID{} }},
		{"region-sum.region", func(x *schema.RegionSum) { x.Region = "a b" }},
		{"region-sum.partial", func(x *schema.RegionSum) { x.Partial = schema.Digest{} }},
		{"region-sum.reports", func(x *schema.RegionSum) { x.Reports = 0 }},
		{"region-sum.reports", func(x *schema.RegionSum) { x.Reports = 1<<20 + 1 }},
		{"region-sum.refused", func(x *schema.RegionSum) { x.Refused = nil }},
		{"region-sum.refused", func(x *schema.RegionSum) { x.Refused[0].Reason = "late" }},
		{"region-sum.refused", func(x *schema.RegionSum) { x.Refused = append(x.Refused, x.Refused[0]) }},
	})
}

func TestListRanges(t *testing.T) {
	refuse(t, "manifest", testManifest, []refusal[schema.Manifest]{
		{"manifest.version", func(x *schema.Manifest) { x.Version = 3 }},
		{"manifest.round_id", func(x *schema.Manifest) { x.RoundID = schema.RoundID{} }},
		{"manifest.reports", func(x *schema.Manifest) { x.Reports = nil }},
		{"manifest.reports", func(x *schema.Manifest) { x.Reports = []schema.ReportID{} }},
		{"manifest.reports", func(x *schema.Manifest) { x.Reports[0], x.Reports[1] = x.Reports[1], x.Reports[0] }},
		{"manifest.reports", func(x *schema.Manifest) { x.Reports[1] = x.Reports[0] }},
	})
	refuse(t, "check", testCheck, []refusal[schema.Check]{
		{"check.version", func(x *schema.Check) { x.Version = 0 }},
		{"check.round_id", func(x *schema.Check) { x.RoundID = schema.RoundID{} }},
		{"check.candidates", func(x *schema.Check) { x.Candidates = schema.Digest{} }},
		{"check.index", func(x *schema.Check) { x.Index = 16 }},
		{"check.refused", func(x *schema.Check) { x.Refused = nil }},
		{"check.refused", func(x *schema.Check) { x.Refused[0].Reason = "" }},
		{"check.refused", func(x *schema.Check) { x.Refused[1] = x.Refused[0] }},
		{"check.refused", func(x *schema.Check) { x.Refused[0], x.Refused[1] = x.Refused[1], x.Refused[0] }},
	})
}

func TestReservationRanges(t *testing.T) {
	refuse(t, "reservation", testReservation, []refusal[schema.Reservation]{
		{"reservation.version", func(x *schema.Reservation) { x.Version = 0 }},
		{"reservation.scope", func(x *schema.Reservation) { x.Scope = schema.ScopeID{} }},
		{"reservation.task_id", func(x *schema.Reservation) { x.TaskID = schema.TaskID{} }},
		{"reservation.round_id", func(x *schema.Reservation) { x.RoundID = schema.RoundID{} }},
		{"reservation.manifest", func(x *schema.Reservation) { x.Manifest = schema.ManifestID{} }},
		{"reservation.vehicles", func(x *schema.Reservation) { x.Vehicles = nil }},
		{"reservation.vehicles", func(x *schema.Reservation) { x.Vehicles[1] = x.Vehicles[0] }},
		{"reservation.vehicles", func(x *schema.Reservation) { x.Vehicles[2] = schema.VehicleID{} }},
		{"reservation.event.mechanism", func(x *schema.Reservation) { x.Event.Mechanism = "" }},
		{"reservation.event.mechanism", func(x *schema.Reservation) { x.Event.Mechanism = "gaussian" }},
		{"reservation.event.trust_model", func(x *schema.Reservation) { x.Event.TrustModel = "" }},
		{"reservation.event.sensitivity", func(x *schema.Reservation) { x.Event.Sensitivity = 0 }},
		{"reservation.event.local_std_dev", func(x *schema.Reservation) { x.Event.LocalStdDev = 1<<20 + 1 }},
		{"reservation.event.local_std_dev", func(x *schema.Reservation) { x.Event.LocalStdDev = schema.Real(math.NaN()) }},
		{"reservation.event.honest_min", func(x *schema.Reservation) { x.Event.HonestMin = 0 }},
		{"reservation.event.values", func(x *schema.Reservation) { x.Event.Values = 0 }},
		{"reservation.event.max_batch_size", func(x *schema.Reservation) { x.Event.MaxBatch = 6 }},
		{"reservation.event.noise_multiplier", func(x *schema.Reservation) { x.Event.NoiseMultiplier = 0 }},
	})
}

func TestVoteAndAnswerRanges(t *testing.T) {
	refuse(t, "vote", testVote, []refusal[schema.Vote]{
		{"vote.version", func(x *schema.Vote) { x.Version = 2 }},
		{"vote.round_id", func(x *schema.Vote) { x.RoundID = schema.RoundID{} }},
		{"vote.index", func(x *schema.Vote) { x.Index = 16 }},
		{"vote.manifest", func(x *schema.Vote) { x.Manifest = schema.ManifestID{} }},
		{"vote.checkpoint", func(x *schema.Vote) { x.Checkpoint = schema.Digest{} }},
	})
	refuse(t, "answer", testAnswer, []refusal[schema.Answer]{
		{"answer.version", func(x *schema.Answer) { x.Version = 2 }},
		{"answer.round_id", func(x *schema.Answer) { x.RoundID = schema.RoundID{} }},
		{"answer.index", func(x *schema.Answer) { x.Index = -1 }},
		{"answer.manifest", func(x *schema.Answer) { x.Manifest = schema.ManifestID{} }},
		{"answer.shares", func(x *schema.Answer) { x.Shares = nil }},
		{"answer.shares", func(x *schema.Answer) { x.Shares[0] = nil }},
		{"answer.shares", func(x *schema.Answer) { x.Shares[0] = make([]byte, 2049) }},
		{"answer.shares", func(x *schema.Answer) { x.Shares[1] = make([]byte, 2176) }}, // 17 bits beside 16
		{"answer.shares", func(x *schema.Answer) { x.Shares = [][]byte{make([]byte, 2056)} }},
	})
	many := testAnswer()
	many.Shares = make([][]byte, 6436)
	_, err := schema.SignBody(many, testKey("d2"))
	named(t, "6436 shares", err, "answer.shares")
}

func TestReceiptRanges(t *testing.T) {
	refuse(t, "receipt", testReceipt, []refusal[schema.Receipt]{
		{"receipt.version", func(x *schema.Receipt) { x.Version = 2 }},
		{"receipt.status", func(x *schema.Receipt) { x.Status = "done" }},
		{"receipt.reason", func(x *schema.Receipt) { x.Reason = "fine" }},
		{"receipt.task_id", func(x *schema.Receipt) { x.TaskID = schema.TaskID{} }},
		{"receipt.round_id", func(x *schema.Receipt) { x.RoundID = schema.RoundID{} }},
		{"receipt.manifest", func(x *schema.Receipt) { x.Manifest = schema.ManifestID{} }},
		{"receipt.checkpoint", func(x *schema.Receipt) { x.Checkpoint = schema.Digest{} }},
		{"receipt.sum", func(x *schema.Receipt) { x.Sum = schema.Digest{} }},
		{"receipt.reports", func(x *schema.Receipt) { x.Reports = 1 }},
		{"receipt.reports", func(x *schema.Receipt) { x.Reports = 1<<20 + 1 }},
		{"receipt.event.values", func(x *schema.Receipt) { x.Event.Values = math.MaxInt32; x.Event.Values++ }},
		{"receipt.aggregate", func(x *schema.Receipt) { x.Aggregate = schema.Digest{} }},
		{"receipt.aggregate", func(x *schema.Receipt) { x.AggregateSize = 0 }},
		{"receipt.votes", func(x *schema.Receipt) { x.Votes = nil }},
		{"receipt.votes", func(x *schema.Receipt) { x.Votes = make([]schema.Digest, 17) }},
		{"receipt.votes", func(x *schema.Receipt) { x.Votes = x.Votes[:1] }},
		{"receipt.answers", func(x *schema.Receipt) { x.Answers = nil }},
		{"receipt.dropped", func(x *schema.Receipt) { x.Dropped = nil }},
		{"receipt.dropped", func(x *schema.Receipt) { x.Dropped = []int{16} }},
		{"receipt.dropped", func(x *schema.Receipt) { x.Dropped = []int{1, 1} }},
		{"receipt.convicted", func(x *schema.Receipt) { x.Convicted = nil }},
		{"receipt.convicted", func(x *schema.Receipt) { x.Convicted = []int{2} }},
		{"receipt.witness_variance", func(x *schema.Receipt) { x.WitnessVariance = 1 }},
		{"receipt.witness_variance", func(x *schema.Receipt) { x.WitnessFloor = -1 }},
	})
	refuse(t, "receipt", testVoid, []refusal[schema.Receipt]{
		{"receipt.reason", func(x *schema.Receipt) { x.Reason = "" }},
		{"receipt.reason", func(x *schema.Receipt) { x.Reason = strings.Repeat("x", 1025) }},
		{"receipt.aggregate", func(x *schema.Receipt) { x.Aggregate = digest("a") }},
		{"receipt.aggregate", func(x *schema.Receipt) { x.Sum = digest("a") }},
		{"receipt.aggregate", func(x *schema.Receipt) { x.Confirmed = true }},
		// A round that was voted for must not be voided as if nothing was spent.
		{"receipt.checkpoint", func(x *schema.Receipt) { x.Checkpoint = schema.Digest{} }},
		{"receipt.checkpoint", func(x *schema.Receipt) { x.Votes = []schema.Digest{} }},
		{"receipt.checkpoint", func(x *schema.Receipt) { x.Manifest = schema.ManifestID{} }},
	})
	unused := testVoid()
	unused.Checkpoint, unused.Manifest, unused.Reports, unused.Votes, unused.Answers = schema.Digest{}, schema.ManifestID{}, 0, []schema.Digest{}, []schema.Digest{}
	signed(t, unused, "collector")
}
