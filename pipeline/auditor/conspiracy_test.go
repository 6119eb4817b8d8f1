package auditor_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// conspire lets Collector and all decryptors certify and "open" any list: every
// object is well signed by whoever has to sign it.
func (f *played) conspire(t *testing.T, r *pipeline.Round, reports []schema.ReportID, vehicles []schema.VehicleID) {
	t.Helper()
	slices.SortFunc(reports, schema.CompareReports)
	pipeline.SortVehicles(vehicles)
	manifest, err := schema.SignBody(schema.Manifest{Version: schema.Version, RoundID: r.ID, Reports: reports}, f.CollectKey)
	if err != nil {
		t.Fatal(err)
	}
	id := schema.NewManifestID(manifest)
	reservation, err := schema.SignBody(schema.Reservation{
		Version: schema.Version, Scope: f.Task.Scope.ID(), TaskID: f.TaskID, RoundID: r.ID, Epoch: r.Name.Epoch, Manifest: id, Vehicles: vehicles, Event: r.Event(),
	}, f.CollectKey)
	if err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.ManifestKey(r.Name, id), manifest.Bytes())
	f.Put(pipeline.ReservationKey(f.Task.Scope.ID(), r.Name, id), reservation.Bytes())
	paid := f.charge(t, reservation)
	some := schema.HashModel([]byte("some"))
	c := schema.Receipt{
		Version: schema.Version, Status: schema.StatusCommitted, TaskID: f.TaskID, RoundID: r.ID, Epoch: r.Name.Epoch, Manifest: id, Checkpoint: paid,
		Reports: len(reports), Event: r.Event(), Aggregate: some, AggregateSize: 1, Sum: some, Dropped: []int{}, Convicted: []int{}, WitnessVariance: 2, WitnessFloor: 1,
	}
	for k, key := range f.Members {
		vote, err := schema.SignBody(schema.Vote{Version: schema.Version, RoundID: r.ID, Index: k, Manifest: id, Checkpoint: paid}, key)
		if err != nil {
			t.Fatal(err)
		}
		shares := make([][]byte, r.Secagg.HeldSets())
		for i := range shares {
			shares[i] = make([]byte, r.Secagg.BlockBytes())
		}
		answer, err := schema.SignBody(schema.Answer{Version: schema.Version, RoundID: r.ID, Index: k, Manifest: id, Shares: shares}, key)
		if err != nil {
			t.Fatal(err)
		}
		f.Put(pipeline.VoteKey(r.Name, k), vote.Bytes())
		f.Put(pipeline.AnswerKey(r.Name, k), answer.Bytes())
		c.Votes, c.Answers = append(c.Votes, vote.ID()), append(c.Answers, answer.ID())
	}
	f.Put(pipeline.ReceiptKey(r.Name), sign(t, f, c))
}

// Even if the Collector and the whole committee conspire, their list must obey the rules.
func TestConspiracy(t *testing.T) {
	for name, test := range map[string]struct {
		object string
		list   func(f *played, r *pipeline.Round, reports []schema.ReportID, vehicles []schema.VehicleID) ([]schema.ReportID, []schema.VehicleID)
	}{
		"honest list, false answers": {"partials/", func(_ *played, _ *pipeline.Round, ids []schema.ReportID, vs []schema.VehicleID) ([]schema.ReportID, []schema.VehicleID) {
			return ids, vs
		}},
		"too short": {"manifests/", func(_ *played, _ *pipeline.Round, ids []schema.ReportID, vs []schema.VehicleID) ([]schema.ReportID, []schema.VehicleID) {
			return ids[:3], vs[:3]
		}},
		"one vehicle twice": {"manifests/", func(f *played, r *pipeline.Round, ids []schema.ReportID, vs []schema.VehicleID) ([]schema.ReportID, []schema.VehicleID) {
			ids[3] = f.Forge(r, f.Vehicles[0], pipelinetest.Forgery{})
			return ids, vs
		}},
		"a stranger": {"/header", func(f *played, r *pipeline.Round, ids []schema.ReportID, vs []schema.VehicleID) ([]schema.ReportID, []schema.VehicleID) {
			stranger := client.Identity{ID: schema.VehicleID{1}, Key: f.Vehicles[0].Key}
			ids[3], vs[3] = f.Forge(r, stranger, pipelinetest.Forgery{}), stranger.ID
			return ids, vs
		}},
		"another vehicle's key": {"/header", func(f *played, r *pipeline.Round, ids []schema.ReportID, vs []schema.VehicleID) ([]schema.ReportID, []schema.VehicleID) {
			ids[3] = f.Forge(r, f.Vehicles[3], pipelinetest.Forgery{Key: f.Vehicles[0].Key})
			return ids, vs
		}},
		"another charged": {"reservations/", func(_ *played, _ *pipeline.Round, ids []schema.ReportID, vs []schema.VehicleID) ([]schema.ReportID, []schema.VehicleID) {
			vs[2] = schema.VehicleID{9}
			return ids, vs
		}},
		"one charged less": {"reservations/", func(_ *played, _ *pipeline.Round, ids []schema.ReportID, vs []schema.VehicleID) ([]schema.ReportID, []schema.VehicleID) {
			return ids, vs[1:]
		}},
	} {
		f := play(t, pipelinetest.Task(8), 0)
		r := f.Open(1)
		var reports []schema.ReportID
		var vehicles []schema.VehicleID
		for i, v := range f.Vehicles {
			reports, vehicles = append(reports, f.Report(r, i)), append(vehicles, v.ID)
		}
		reports, vehicles = test.list(f, r, reports, vehicles)
		f.conspire(t, r, reports, vehicles)
		f.wantFlaw(t, name, f.Store, auditor.Options{}, test.object)
	}
}

// A receipt may only name votes for its own list and checkpoint.
func TestVotesForAnother(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2, 3)
	r, c := f.rounds[0], f.receipt(t, 0)
	other := schema.HashModel([]byte("other"))
	for name, vote := range map[string]schema.Vote{
		"list":       {Version: schema.Version, RoundID: r.ID, Index: 2, Manifest: schema.ManifestID{Digest: other}, Checkpoint: c.Checkpoint},
		"checkpoint": {Version: schema.Version, RoundID: r.ID, Index: 2, Manifest: c.Manifest, Checkpoint: other},
	} {
		x, err := schema.SignBody(vote, f.Members[2])
		if err != nil {
			t.Fatal(err)
		}
		lie := c
		lie.Votes = slices.Clone(c.Votes)
		lie.Votes[2] = x.ID()
		store := overlay{f.with(pipeline.ReceiptKey(r.Name), sign(t, f, lie)), pipeline.VoteKey(r.Name, 2), x.Bytes()}
		f.wantFlaw(t, name, store, auditor.Options{}, pipeline.VoteKey(r.Name, 2))
	}
	x, err := schema.SignBody(schema.Vote{Version: schema.Version, RoundID: r.ID, Index: 3, Manifest: schema.ManifestID{Digest: other}, Checkpoint: other}, f.Members[3])
	if err != nil {
		t.Fatal(err)
	}
	f.unsettle(t)
	c.Votes = c.Votes[:3] // the fourth voted for a list that was not certified
	f.Replace(pipeline.VoteKey(r.Name, 3), func([]byte) []byte { return x.Bytes() })
	f.Replace(pipeline.ReceiptKey(r.Name), func([]byte) []byte { return sign(t, f, c) })
	f.wantNote(t, "another list", "a vote for another list")
}

// The partial sum that the receipt names must be over the list, with the reports' own corr, at either depth.
func TestOtherSum(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r, c := f.rounds[0], f.receipt(t, 0)
	one := make([]byte, r.Secagg.BlockBytes())
	one[0] = 1
	for name, change := range map[string]func(p *aggregator.PartialSum) error{
		"corr":      func(p *aggregator.PartialSum) error { return p.Sum.AddCorr(one) },
		"block":     func(p *aggregator.PartialSum) error { return p.Sum.AddBlocks(0, one) },
		"list":      func(p *aggregator.PartialSum) error { p.Reports[0].Digest = schema.Digest{}; return nil },
		"less list": func(p *aggregator.PartialSum) error { p.Reports = p.Reports[1:]; return nil },
	} {
		p, err := aggregator.Load(ctx, f.Store, r, c.Sum)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(p); err != nil {
			t.Fatal(err)
		}
		raw, id, err := p.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		lie := c
		lie.Sum = id
		store := overlay{f.with(pipeline.ReceiptKey(r.Name), sign(t, f, lie)), pipeline.PartialKey(r.Name, id), raw}
		f.wantFlaw(t, name, store, auditor.Options{Depth: auditor.DepthPieces}, "/partials/")
		if name != "block" { // which only the pieces show, if the rest is made to fit: TestShiftedSum
			f.wantFlaw(t, name, store, auditor.Options{Depth: auditor.DepthSigned}, "/partials/")
		}
	}
}

// A decryptor that votes for a report that it refused is noted.
func TestChangedMind(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r, c := f.rounds[0], f.receipt(t, 0)
	m, err := pipeline.LoadManifest(ctx, f.Store, r, c.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	list := schema.HashModel([]byte("list"))
	check, err := schema.SignBody(schema.Check{Version: schema.Version, RoundID: r.ID, Index: 1, Candidates: list, Refused: []schema.Refusal{{Report: m.Reports[2], Reason: schema.ReasonBox}}}, f.Members[1])
	if err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.CheckKey(r.Name, list, 1), check.Bytes())
	f.wantNote(t, "refused and voted", "which a check of this decryptor refused")
}

// Without pieces the default depth takes the sum as signed and says why; to require pieces is a flaw.
func TestPiecesGone(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	m, err := pipeline.LoadManifest(ctx, f.Store, f.rounds[0], f.receipt(t, 0).Manifest)
	if err != nil {
		t.Fatal(err)
	}
	key := pipeline.PieceKey(f.rounds[0].Name, m.Reports[1], 0)
	piece := f.Get(key)
	f.Replace(key, func([]byte) []byte { return nil })
	rep, err := f.audit(auditor.Options{})
	if err != nil || rep.Tasks[0].Rounds[0].Depth != auditor.SumSigned || len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0].Text, key) {
		t.Errorf("report %+v, error %v", rep, err)
	}
	if again, signed := rep.Recomputed(); again != 0 || signed != 1 {
		t.Errorf("%d sums recomputed, %d signed", again, signed)
	}
	if all := strings.Join(rep.Statement().Plain, " "); !strings.Contains(all, "taken as the Collector signed it") {
		t.Errorf("the statement does not tell the depth: %s", all)
	}
	f.wantFlaw(t, "pieces required", f.Store, auditor.Options{Depth: auditor.DepthPieces}, key)
	f.wantFlaw(t, "a longer piece", f.with(key, append(piece, 0)), auditor.Options{}, key)
	f.wantFlaw(t, "a shorter piece", f.with(key, piece[1:]), auditor.Options{}, key)
}

// Local mechanisms have privacy-loss distributions, so these bound epsilon too.
func TestLocalMechanisms(t *testing.T) {
	for _, mechanism := range []string{"gaussian", "laplace"} {
		task := pipelinetest.Task(4)
		task.Privacy.TrustModel, task.Privacy.Mechanism, task.Privacy.NoiseMultiplier = "local", mechanism, 2
		task.Scope.Relation = "replace_one"
		f := play(t, task, 2, 0, 1, 2)
		rep, err := f.audit(auditor.Options{})
		if err != nil {
			t.Fatal(err)
		}
		sc := rep.Statement().Scopes[0]
		i := slices.IndexFunc(sc.Accountants, func(a auditor.Account) bool { return a.Accountant == "pld" })
		if i < 0 || sc.Spent != sc.Accountants[i].Epsilon || *sc.Accountants[i].Lower > sc.Spent || len(sc.Silent) != 0 {
			t.Errorf("%s: accountants %+v, silent %v, spent %g: want the one of the distributions", mechanism, sc.Accountants, sc.Silent, sc.Spent)
		}
		if gaussian := mechanism == "gaussian"; gaussian != (sc.Rho != nil) || gaussian && (*sc.Rho < 0.99 || *sc.Rho > 1.01) {
			t.Errorf("%s: rho %v", mechanism, sc.Rho)
		}
		if !strings.Contains(sc.Meaning, "any others") || !strings.Contains(strings.Join(rep.Statement().Tasks[0].Trust, " "), "against everybody together") {
			t.Errorf("%s: relation %q, trust %q", mechanism, sc.Meaning, rep.Statement().Tasks[0].Trust)
		}
	}
}

// Names that are no rounds or tasks are told, and the flaw prints as JSON.
func TestStrangeNames(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	f.Put("tasks/readme", []byte("x"))
	f.wantNote(t, "no task", "not the name of a task")
	f.Put("tasks/"+f.TaskID.String()+"/rounds/1-0/descriptor.json", []byte("x"))
	f.wantFlaw(t, "no round", f.Store, auditor.Options{}, "/rounds/1-0")
	rep, err := f.audit(auditor.Options{PassUnnamed: true})
	if err != nil || len(rep.Tasks[0].Rounds) != 1 {
		t.Errorf("report %+v, error %v", rep, err)
	}
	rep, err = f.audit(auditor.Options{})
	text, jsonErr := json.Marshal(rep)
	if err == nil || jsonErr != nil || !strings.Contains(string(text), `"flaw":{"object":"tasks/`+f.TaskID.String()+`/rounds/1-0","what":"not the name of a round"}`) {
		t.Errorf("JSON %s, errors %v, %v", text, err, jsonErr)
	}
}
