package auditor_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
)

// reserve plants a reservation of an epoch without a round, well signed by the Collector, and
// charges it in the ledger, whatever budget and limits say.
func (f *played) reserve(t *testing.T, epoch uint64, change func(r *schema.Reservation)) string {
	t.Helper()
	key := f.plant(t, epoch, change)
	x, err := schema.Decode[schema.Reservation](f.Get(key))
	if err != nil {
		t.Fatal(err)
	}
	f.charge(t, x)
	return key
}

// charge appends a reservation to the ledger and returns the checkpoint that ends with it.
func (f *played) charge(t *testing.T, x schema.Signed[schema.Reservation]) schema.Digest {
	t.Helper()
	b, head := x.Body, int64(0)
	for _, err := range f.Store.List(ctx, pipeline.LedgerPrefix(b.Scope)+"entry/", "") {
		if err != nil {
			t.Fatal(err)
		}
		head++
	}
	event, err := f.Plan.Privacy.Event()
	if err != nil {
		t.Fatal(err)
	}
	r := &pipeline.Round{Plan: f.Plan, Name: pipeline.RoundName{Task: b.TaskID, Epoch: b.Epoch, Lane: b.Lane}, ID: b.RoundID}
	if head > 0 {
		f.ForgeEntry(f.CollectKey, head, ledger.Request{
			Task: ledger.ID(b.TaskID.Digest), Round: ledger.ID(b.RoundID.Digest), Epoch: b.Epoch, Lane: b.Lane,
			Manifest: ledger.ID(b.Manifest.Digest), Reports: len(b.Vehicles), Reservation: ledger.ID(x.ID()), Event: event,
		})
	}
	l, err := r.OpenLedger(ctx, f.Store, nil)
	if err != nil {
		t.Fatal(err)
	}
	if head == 0 {
		if _, err := l.Reserve(ctx, f.CollectKey, r, x); err != nil {
			t.Fatal(err)
		}
	}
	_, c, err := l.Paid(r, b.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	return schema.Digest(c.ID())
}

// plant stores a reservation that no entry of the ledger names.
func (f *played) plant(t *testing.T, epoch uint64, change func(r *schema.Reservation)) string {
	t.Helper()
	var vehicles []schema.VehicleID
	for _, v := range f.Vehicles {
		vehicles = append(vehicles, v.ID)
	}
	pipeline.SortVehicles(vehicles)
	n := f.Name(epoch)
	r := schema.Reservation{
		Version: schema.Version, Scope: f.Task.Scope.ID(), TaskID: n.Task, RoundID: schema.RoundID{Digest: schema.HashModel(fmt.Appendf(nil, "round %d", epoch))}, Epoch: epoch,
		Manifest: schema.ManifestID{Digest: schema.HashModel(fmt.Appendf(nil, "list %d", epoch))}, Vehicles: vehicles, Event: f.Plan.Event(),
	}
	if change != nil {
		change(&r)
	}
	key := pipeline.ReservationKey(r.Scope, n, r.Manifest)
	f.Put(key, sign(t, f, r))
	return key
}

func decode(t *testing.T, raw []byte) schema.Signed[schema.Reservation] {
	t.Helper()
	x, err := schema.Decode[schema.Reservation](raw)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// What is charged is what the roles count, over every epoch, and as much as the task's own guarantee says.
func TestBudget(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 3, 0, 1, 2)
	f.reserve(t, 9, func(r *schema.Reservation) { r.Vehicles = r.Vehicles[:2] }) // a round that nobody finished
	rep, err := f.audit(auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := f.Plan.Privacy.Guarantee(4, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	charges, err := pipeline.LoadCharges(ctx, f.Store, f.Task.Scope, schema.NewPublicKey(f.Owner))
	if err != nil {
		t.Fatal(err)
	}
	roles, err := charges.Guarantee()
	if err != nil {
		t.Fatal(err)
	}
	sc := rep.Scopes[0]
	if got := sc.Spent[0]; got.Accountant != "rdp" || math.Abs(got.Epsilon/want.Epsilon-1) > 1e-9 || math.Abs(got.Epsilon/roles.Epsilon-1) > 1e-9 {
		t.Errorf("spent %+v, the task says %v, the roles %v", got, want, roles)
	}
	if len(sc.Charges) != 4 || sc.MaxParticipation != 4 || sc.MinSeparation != 1 || !sc.Within {
		t.Errorf("%d charges, at most %d participations %d apart, within %t", len(sc.Charges), sc.MaxParticipation, sc.MinSeparation, sc.Within)
	}
	if len(sc.Vehicles) != 2 || sc.Vehicles[0].Epochs != 3 || sc.Vehicles[0].Vehicles != 2 || sc.Vehicles[1].Epochs != 4 || sc.Vehicles[1].Vehicles != 2 {
		t.Errorf("vehicles %+v, want 2 with 3 epochs and 2 with 4", sc.Vehicles)
	}
	less, err := f.Plan.Privacy.Guarantee(3, 1e-5)
	if got := sc.Vehicles[0].Epsilon[0].Epsilon; err != nil || math.Abs(got/less.Epsilon-1) > 1e-9 {
		t.Errorf("epsilon of 3 epochs %g, want %g (%v)", got, less.Epsilon, err)
	}
	for i, c := range sc.Charges {
		if i > 0 && c.Before[0] != sc.Charges[i-1].After[0] || c.After[0].Epsilon <= c.Before[0].Epsilon {
			t.Errorf("charge %d: from %+v to %+v", i, c.Before, c.After)
		}
	}
}

// The sum over sums of discrete Gaussians lies above the lower bound of the ideal Gaussian, and near it.
func TestAccountantsAgree(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	for epoch := uint64(2); epoch <= 6; epoch++ {
		f.reserve(t, epoch, nil)
	}
	rep, err := f.audit(auditor.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rep.Scopes[0].Charges {
		by := map[string]auditor.Account{}
		for _, a := range c.After {
			by[a.Accountant] = a
		}
		rdp, orders, ideal := by["rdp"], by["rdp_orders"], by["pld_gaussian"]
		if ideal.Lower == nil || !ideal.Ideal || rdp.Ideal {
			t.Fatalf("accounts %+v", c.After)
		}
		if !(*ideal.Lower <= ideal.Epsilon && ideal.Epsilon <= rdp.Epsilon && rdp.Epsilon <= orders.Epsilon*(1+1e-12) && orders.Epsilon <= 1.25*ideal.Epsilon) {
			t.Errorf("epoch %d: rdp %g, at orders %g, ideal %g to %g", c.Epoch, rdp.Epsilon, orders.Epsilon, *ideal.Lower, ideal.Epsilon)
		}
	}
}

// An accountant whose bound another one disproves ends the audit: nobody can tell which is wrong.
func TestAccountantsContradict(t *testing.T) {
	lower := 2.0
	scope := func(rdp float64) *auditor.Scope {
		return &auditor.Scope{Charges: []auditor.Charge{{After: []auditor.Account{
			{Accountant: "rdp", Epsilon: rdp}, {Accountant: "pld", Epsilon: 2.1, Lower: &lower, Ideal: true},
		}}}}
	}
	if err := auditor.Agree(scope(2.2), "object"); err != nil {
		t.Error(err)
	}
	if err := auditor.Agree(scope(1.9), "object"); !errors.Is(err, auditor.ErrFlaw) || !strings.Contains(err.Error(), "object") {
		t.Errorf("error %v, want a flaw", err)
	}
}

// A budget that some charge breaks is a flaw of that charge.
func TestBudgetBroken(t *testing.T) {
	task := pipelinetest.Task(8)
	task.Scope.Epsilon = 8 // two rounds cost 7.08, three 9.0
	f := play(t, task, 2, 0, 1, 2)
	if _, err := f.audit(auditor.Options{}); err != nil {
		t.Fatal(err)
	}
	key := f.reserve(t, 3, nil)
	f.wantFlaw(t, "third charge", f.Store, auditor.Options{}, key)
}

func TestParticipationLimits(t *testing.T) {
	often := pipelinetest.Task(8)
	often.Participation.Max = 2
	f := play(t, often, 2, 0, 1, 2)
	key := f.reserve(t, 3, nil)
	f.wantFlaw(t, "third participation", f.Store, auditor.Options{}, key)

	close := pipelinetest.Task(8)
	close.Participation.MinSeparation = 3
	f = play(t, close, 1, 0, 1, 2)
	f.reserve(t, 4, nil)
	if _, err := f.audit(auditor.Options{}); err != nil {
		t.Fatal(err)
	}
	key = f.reserve(t, 6, nil)
	f.wantFlaw(t, "two epochs apart", f.Store, auditor.Options{}, key)
}

// A reservation that is false in any field is a flaw, though the Collector signed it.
// If no entry of the ledger names it, it charges nothing and can be passed over.
func TestFalseReservation(t *testing.T) {
	for name, change := range map[string]func(r *schema.Reservation){
		"event": func(r *schema.Reservation) { r.Event.HonestMin++ },
		"task":  func(r *schema.Reservation) { r.TaskID.Digest = schema.HashModel([]byte("task")) },
		"epoch": func(r *schema.Reservation) { r.Epoch++ },
		"lane":  func(r *schema.Reservation) { r.Lane++ },
	} {
		f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
		key := f.plant(t, 2, change)
		f.wantFlaw(t, name, f.Store, auditor.Options{}, key)
		if rep, err := f.audit(auditor.Options{PassUnnamed: true}); err != nil || len(rep.Notes) != 1 || rep.Notes[0].Object != key || len(rep.Scopes[0].Charges) != 1 {
			t.Errorf("%s: error %v, notes %v, want one about %s", name, err, rep.Notes, key)
		}
		if name == "event" { // of the others no entry can name this object
			f.charge(t, decode(t, f.Get(key)))
			f.wantFlaw(t, name+" with an entry", f.Store, auditor.Options{PassUnnamed: true}, key)
		}
	}
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r := f.rounds[0]
	key := pipeline.ReservationKey(f.Task.Scope.ID(), r.Name, f.receipt(t, 0).Manifest)
	x, err := schema.Decode[schema.Reservation](f.Get(key))
	if err != nil {
		t.Fatal(err)
	}
	x.Body.Vehicles = x.Body.Vehicles[:3]
	f.wantFlaw(t, "a vehicle less than the votes name", f.with(key, sign(t, f, x.Body)), auditor.Options{}, key)
}

// A round that was aborted before any vote is not charged, but a vote that shows later charges it.
func TestUncharged(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 1, 0, 1, 2)
	r := f.proposed(t, 2, []int{0, 1, 2})
	if _, err := f.Fleet.Collector.Abort(ctx, f.Store, r, "too few"); err != nil {
		t.Fatal(err)
	}
	rep, err := f.audit(auditor.Options{})
	if err != nil || len(rep.Scopes[0].Charges) != 1 || len(rep.Scopes[0].Uncharged) != 1 || rep.Tasks[0].Rounds[1].Status != schema.StatusVoid {
		t.Fatalf("scope %+v, error %v, want one charge", rep.Scopes[0], err)
	}
	ids, err := pipeline.ListManifests(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.OpenLedger(ctx, f.Store, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, paid, err := l.Paid(r, ids[0])
	if err != nil {
		t.Fatal(err)
	}
	vote, err := schema.SignBody(schema.Vote{Version: schema.Version, RoundID: r.ID, Index: 1, Manifest: ids[0], Checkpoint: schema.Digest(paid.ID())}, f.Members[1])
	if err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.VoteKey(r.Name, 1), vote.Bytes())
	rep, err = f.audit(auditor.Options{})
	if err != nil || len(rep.Scopes[0].Charges) != 2 || len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0].Text, "the round is charged") {
		t.Errorf("scope %+v, notes %v, error %v, want two charges and a note", rep.Scopes[0], rep.Notes, err)
	}
}
