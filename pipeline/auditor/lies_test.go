package auditor_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/secagg/committee"
	"github.com/veilsum/veilsum/storage"
)

// with returns the fleet's store with another object at one key; nil removes it.
func (f *played) with(key string, body []byte) storage.Store { return overlay{f.Store, key, body} }

// sign is the Collector's signature under a lie.
func sign[T schema.Object](t testing.TB, f *played, body T) []byte {
	t.Helper()
	x, err := schema.SignBody(body, f.CollectKey)
	if err != nil {
		t.Fatal(err)
	}
	return x.Bytes()
}

// wantFlaw audits a store and wants a flaw of an object whose name holds object.
func (f *played) wantFlaw(t *testing.T, name string, s storage.Store, opt auditor.Options, object string) {
	t.Helper()
	rep, err := auditor.Audit(ctx, s, schema.NewPublicKey(f.Owner), opt)
	var flaw *auditor.Flaw
	if !errors.As(err, &flaw) || !errors.Is(err, auditor.ErrFlaw) || !strings.Contains(flaw.Object, object) {
		t.Errorf("%s: error %v, want a flaw of %s", name, err, object)
		return
	}
	if rep.Complete || rep.Flaw != flaw || rep.Statement().Complete {
		t.Errorf("%s: the report does not tell of the flaw", name)
	}
	t.Logf("%s: %v", name, err)
}

// A receipt is believed in nothing: each false claim over the Collector's good signature is found.
func TestLyingReceipt(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2, 3)
	n := f.rounds[0].Name
	other := schema.Digest(sha256.Sum256([]byte("other")))
	for name, lie := range map[string]func(c *schema.Receipt){
		"more reports":    func(c *schema.Receipt) { c.Reports++ },
		"variance":        func(c *schema.Receipt) { c.WitnessVariance *= 1.0001 },
		"floor":           func(c *schema.Receipt) { c.WitnessFloor *= 0.999 },
		"unconfirmed":     func(c *schema.Receipt) { c.Confirmed = false },
		"dropped":         func(c *schema.Receipt) { c.Dropped = []int{3} },
		"convicted":       func(c *schema.Receipt) { c.Dropped, c.Convicted = []int{3}, []int{3} },
		"few votes":       func(c *schema.Receipt) { c.Votes = c.Votes[:2] },
		"vote twice":      func(c *schema.Receipt) { c.Votes[3] = c.Votes[2] },
		"unknown vote":    func(c *schema.Receipt) { c.Votes[1] = other },
		"unknown answer":  func(c *schema.Receipt) { c.Answers[0] = other },
		"few answers":     func(c *schema.Receipt) { c.Answers = c.Answers[:2] },
		"answer left out": func(c *schema.Receipt) { c.Answers = c.Answers[:3] }, // then nobody could be confirmed
		"event":           func(c *schema.Receipt) { c.Event.HonestMin++ },
		"checkpoint":      func(c *schema.Receipt) { c.Checkpoint = other },
		"epoch":           func(c *schema.Receipt) { c.Epoch++ },
		"size":            func(c *schema.Receipt) { c.AggregateSize-- },
		"larger size":     func(c *schema.Receipt) { c.AggregateSize++ },
	} {
		c := f.receipt(t, 0)
		c.Votes, c.Answers = slices.Clone(c.Votes), slices.Clone(c.Answers)
		lie(&c)
		object := "000000000001-0/receipt.json"
		if strings.Contains(name, "size") {
			object = "000000000001-0/aggregate/"
		}
		f.wantFlaw(t, name, f.with(pipeline.ReceiptKey(n), sign(t, f, c)), auditor.Options{}, object)
	}
	for name, lie := range map[string]struct {
		object string
		lie    func(c *schema.Receipt)
	}{
		"other list":      {"manifests/" + other.String(), func(c *schema.Receipt) { c.Manifest.Digest = other }},
		"other sum":       {"partials/" + other.String(), func(c *schema.Receipt) { c.Sum = other }},
		"other aggregate": {"aggregate/" + other.String(), func(c *schema.Receipt) { c.Aggregate = other }},
	} {
		c := f.receipt(t, 0)
		lie.lie(&c)
		f.wantFlaw(t, name, f.with(pipeline.ReceiptKey(n), sign(t, f, c)), auditor.Options{}, lie.object)
	}
}

// Every object is needed, but for candidate lists and checks, which are there
// to make the round go on, and what the entries of the ledger give. The model here is needed as the descriptor names it.
func TestEveryObjectMissing(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2, 3)
	for _, key := range slices.Sorted(maps.Keys(f.Objects())) {
		s := without{f.Store, key}
		switch {
		case strings.HasSuffix(key, "/receipt.json"): // the ledger names it
			f.wantFlaw(t, "without "+key, s, auditor.Options{}, f.ledgerKey(ledger.EntryKey(2)))
		case strings.Contains(key, "/candidates/"), strings.Contains(key, "/checks/"):
			if _, err := auditor.Audit(ctx, s, schema.NewPublicKey(f.Owner), auditor.Options{}); err != nil {
				t.Errorf("without %s: %v", key, err)
			}
		case strings.Contains(key, "/ledger/checkpoint/"), strings.HasSuffix(key, "/ledger/"+ledger.EntryKey(0)):
			// They follow from the entries and the scope, but somebody took them away.
			rep, err := auditor.Audit(ctx, s, schema.NewPublicKey(f.Owner), auditor.Options{})
			if err != nil || len(rep.Notes) != 1 || rep.Notes[0].Object != key || !strings.HasPrefix(rep.Notes[0].Text, "missing") {
				t.Errorf("without %s: error %v, notes %v, want one about it", key, err, rep.Notes)
			}
		default:
			f.wantFlaw(t, "without "+key, s, auditor.Options{Depth: auditor.DepthPieces}, "")
		}
	}
	// Before its receipt a round goes on, and its aggregate is nobody's.
	f.unsettle(t)
	rep, err := auditor.Audit(ctx, without{f.Store, pipeline.ReceiptKey(f.rounds[0].Name)}, schema.NewPublicKey(f.Owner), auditor.Options{})
	if r := rep.Tasks[0].Rounds[0]; err != nil || r.Status != auditor.StatusOpen || !slices.ContainsFunc(r.Orphans, func(o string) bool { return strings.Contains(o, "/aggregate/") }) {
		t.Errorf("without receipt: round %+v, error %v", r, err)
	}
}

// An object under the name of another of its kind is found, though it verifies.
func TestEveryObjectExchanged(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 2, 0, 1, 2, 3)
	for _, key := range slices.Sorted(maps.Keys(f.Objects())) {
		twin := strings.Replace(key, "000000000001-0", "000000000002-0", 1)
		if _, err := f.Store.Stat(ctx, twin); err != nil || twin == key {
			continue // its name holds a hash
		}
		f.wantFlaw(t, "round 2's "+key, f.with(key, f.Get(twin)), auditor.Options{Depth: auditor.DepthPieces}, key)
	}
	r := f.rounds[0]
	for _, of := range []func(k int) string{
		func(k int) string { return pipeline.VoteKey(r.Name, k) },
		func(k int) string { return pipeline.AnswerKey(r.Name, k) },
		func(k int) string { return pipeline.RoundKeyKey(r.Name, k) },
	} {
		f.wantFlaw(t, "decryptor 1's as 0's", f.with(of(0), f.Get(of(1))), auditor.Options{}, of(0))
	}
}

// The Collector shifts the sum of c and publishes what follows from it, all well
// signed. Adding the pieces again finds it; without them it is believed, and the report says so.
func TestShiftedSum(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2, 3)
	r := f.rounds[0]
	store := f.shifted(t, r)
	f.wantFlaw(t, "shifted sum", store, auditor.Options{Depth: auditor.DepthPieces}, "partials/")
	f.wantFlaw(t, "shifted sum", store, auditor.Options{}, "partials/")
	f.unsettle(t)
	rep, err := auditor.Audit(ctx, store, schema.NewPublicKey(f.Owner), auditor.Options{Depth: auditor.DepthSigned})
	if err != nil {
		t.Fatal(err)
	}
	if got := rep.Tasks[0].Rounds[0].Depth; got != auditor.SumSigned || len(rep.Notes) != 1 {
		t.Errorf("depth %q with notes %v, want %q and one note", got, rep.Notes, auditor.SumSigned)
	}
}

// shifted returns the store with another sum, aggregate and receipt of round r.
func (f *played) shifted(t *testing.T, r *pipeline.Round) storage.Store {
	t.Helper()
	c := f.receipt(t, 0)
	p, err := aggregator.Load(ctx, f.Store, r, c.Sum)
	if err != nil {
		t.Fatal(err)
	}
	shift := make([]byte, r.Secagg.BlockBytes())
	shift[0] = 100 // the first value of the first block
	if err := p.Sum.AddBlocks(0, shift); err != nil {
		t.Fatal(err)
	}
	answers, err := pipeline.LoadAnswers(ctx, f.Store, r, c.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	var list []committee.Answer
	for k := range f.Members {
		list = append(list, committee.Answer{Index: k, Shares: answers[k].Body.Shares})
	}
	var x []int32
	if _, err := committee.Open(r.Secagg, r.ID.Digest, c.Reports, f.Task.Batch.MaxDishonest, p.Sum, list, func(_ int, b []int32) error {
		x = append(x, b...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	_, file, err := collector.Aggregate(r, x[:r.Secagg.Values()], c.Reports, ledgerIndex(t, f, r, c.Manifest))
	if err != nil {
		t.Fatal(err)
	}
	raw, id, err := p.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	c.Sum, c.Aggregate, c.AggregateSize = id, sha256.Sum256(file), int64(len(file))
	f.Put(pipeline.PartialKey(r.Name, id), raw)
	f.Put(pipeline.AggregateKey(r.Name, c.Aggregate), file)
	return f.with(pipeline.ReceiptKey(r.Name), sign(t, f, c))
}

// The Collector publishes other bytes than it opened.
func TestOtherAggregate(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r, c := f.rounds[0], f.receipt(t, 0)
	told, err := arrowipc.OpenAggregate(f.Get(pipeline.AggregateKey(r.Name, c.Aggregate)), c.Aggregate)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(change func(a *arrowipc.Aggregate)) storage.Store {
		a := &arrowipc.Aggregate{Tensors: told.Tensors, Meta: maps.Clone(told.Meta), Values: slices.Clone(told.Values)}
		change(a)
		file, err := arrowipc.EncodeAggregate(a.Tensors, a.Values, a.Meta)
		if err != nil {
			t.Fatal(err)
		}
		lie := c
		lie.Aggregate, lie.AggregateSize = sha256.Sum256(file), int64(len(file))
		f.Put(pipeline.AggregateKey(r.Name, lie.Aggregate), file)
		return f.with(pipeline.ReceiptKey(r.Name), sign(t, f, lie))
	}
	f.wantFlaw(t, "other value", publish(func(a *arrowipc.Aggregate) { a.Values[3] += 0.25 }), auditor.Options{}, "aggregate/")
	f.wantFlaw(t, "other metadata", publish(func(a *arrowipc.Aggregate) { a.Meta[arrowipc.MetaReportCount] = "5" }), auditor.Options{}, "aggregate/")
	f.wantFlaw(t, "too small an epsilon", publish(func(a *arrowipc.Aggregate) { a.Meta[arrowipc.MetaEpsilon] = "0.5" }), auditor.Options{}, "aggregate/")
	f.wantFlaw(t, "no epsilon", publish(func(a *arrowipc.Aggregate) { a.Meta[arrowipc.MetaEpsilon] = "NaN" }), auditor.Options{}, "aggregate/")
	garbage := []byte("not Arrow")
	lie := c
	lie.Aggregate, lie.AggregateSize = sha256.Sum256(garbage), int64(len(garbage))
	f.Put(pipeline.AggregateKey(r.Name, lie.Aggregate), garbage)
	f.wantFlaw(t, "garbage", f.with(pipeline.ReceiptKey(r.Name), sign(t, f, lie)), auditor.Options{}, "aggregate/")

	// A looser accountant's epsilon is no lie: it is noted.
	f.unsettle(t)
	rep, err := auditor.Audit(ctx, publish(func(a *arrowipc.Aggregate) { a.Meta[arrowipc.MetaEpsilon] = "77" }), schema.NewPublicKey(f.Owner), auditor.Options{})
	if err != nil || len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0].Text, "77") {
		t.Errorf("error %v, notes %v, want one about epsilon", err, rep.Notes)
	}
}

// A check under another name than it states, though well signed, is a flaw.
func TestMisplacedCheck(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r := f.rounds[0]
	list, err := pipeline.ListCandidates(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *schema.Check){
		"index": func(c *schema.Check) { c.Index = 2 },
		"list":  func(c *schema.Check) { c.Candidates = schema.HashModel(nil) },
		"round": func(c *schema.Check) { c.RoundID.Digest = schema.HashModel(nil) },
	} {
		c := schema.Check{Version: schema.Version, RoundID: r.ID, Index: 1, Candidates: list[0], Refused: []schema.Refusal{}}
		change(&c)
		x, err := schema.SignBody(c, f.Members[1])
		if err != nil {
			t.Fatal(err)
		}
		key := pipeline.CheckKey(r.Name, list[0], 1)
		f.wantFlaw(t, name, f.with(key, x.Bytes()), auditor.Options{}, key)
	}
}

// Objects that no receipt names can be passed over, others cannot.
func TestPassUnnamed(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r := f.rounds[0]
	garbage := []byte(`{"body":{},"signature":""}`)
	for _, key := range []string{
		pipeline.VoteKey(r.Name, 3), pipeline.AnswerKey(r.Name, 3), pipeline.ManifestKey(r.Name, schema.ManifestID{Digest: schema.HashModel(nil)}),
		pipeline.CandidatesKey(r.Name, schema.HashModel(nil)), pipeline.CheckKey(r.Name, schema.HashModel(nil), 0), pipeline.RoundPrefix(r.Name) + "checks/what",
	} {
		f.Put(key, garbage)
		f.wantFlaw(t, "planted", f.Store, auditor.Options{}, key)
		rep, err := f.audit(auditor.Options{PassUnnamed: true})
		if err != nil || !slices.ContainsFunc(rep.Notes, func(n auditor.Note) bool { return n.Object == key }) {
			t.Errorf("%s: error %v, notes %v", key, err, rep.Notes)
		}
		if err := f.Store.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{pipeline.VoteKey(r.Name, 1), pipeline.AnswerKey(r.Name, 1)} {
		f.wantFlaw(t, "named", f.with(key, bytes.Replace(f.Get(key), []byte("signature"), []byte("signatur3"), 1)), auditor.Options{PassUnnamed: true}, "receipt.json")
	}
}
