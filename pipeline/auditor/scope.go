package auditor

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
)

// scopes audits the budget of every scope that an audited task belongs to.
func (a *auditor) scopes() error {
	seen := map[schema.ScopeID]schema.Scope{}
	for _, t := range a.report.Tasks {
		seen[t.Scope] = t.plan.Task.Scope
	}
	var ids []schema.ScopeID
	for id := range seen {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y schema.ScopeID) int { return bytes.Compare(x.Digest[:], y.Digest[:]) })
	for _, id := range ids {
		if err := a.scope(id, seen[id]); err != nil {
			return err
		}
	}
	return nil
}

func (a *auditor) scope(id schema.ScopeID, scope schema.Scope) error {
	sa := &scopeAudit{auditor: a, seen: map[string]bool{}, out: &Scope{
		ID: id, Scope: scope, Charges: []Charge{}, Vehicles: []Group{}, Spent: []Account{}, Uncharged: []string{}, Orphans: []string{}, Silent: []string{},
	}}
	a.report.Scopes = append(a.report.Scopes, sa.out)
	var err error
	if sa.ledger, err = a.ledger(scope); err != nil {
		return err
	}
	sa.out.Ledger = sa.ledger.out
	for info, err := range a.store.List(a.ctx, pipeline.ScopePrefix(id), "") {
		if err != nil {
			return err
		}
		if err := sa.reservation(info.Key); err != nil {
			return err
		}
	}
	for _, step := range []func() error{sa.entries, sa.agreesWithLedger, sa.budget, sa.participations} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// scopeAudit counts the reservations of a scope. It is written apart from
// pipeline.LoadCharges, by which the roles count, so that one checks the other.
type scopeAudit struct {
	*auditor
	ledger *scopeLedger
	seen   map[string]bool // reservations in the store that an entry names
	out    *Scope
	epochs []*epoch // by task and epoch
}

// entries checks that every entry has its object, and ended as its receipt says.
func (s *scopeAudit) entries() error {
	tasks := map[schema.TaskID]bool{}
	for _, x := range s.ledger.log.Reservations() {
		n := roundOf(x)
		key := pipeline.ReservationKey(s.out.ID, n, schema.ManifestID{Digest: schema.Digest(x.Manifest)})
		if !s.seen[key] {
			return flawf(key, "missing: entry %d of the ledger names it", x.Index)
		}
		if err := s.ended(x); err != nil {
			return err
		}
		if err := s.stillSeated(x); err != nil {
			return err
		}
		if !tasks[n.Task] {
			tasks[n.Task] = true
			s.oneCommittee(n.Task)
			if err := s.renewal(n.Task); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneCommittee notes two committees that spend from one scope, neither of which replaced the other: if they
// share too few honest members they can be shown two ledgers.
func (s *scopeAudit) oneCommittee(id schema.TaskID) {
	b := s.plans[id]
	for _, t := range s.report.Tasks {
		a := t.plan
		_, before := a.Replaced(b.Task.Committee)
		_, after := b.Replaced(a.Task.Committee)
		if t.Scope != s.out.ID || before || after || a.Task.Committee.ID() == b.Task.Committee.ID() {
			continue
		}
		s.note(pipeline.TaskKey(id), "it spends from the same budget as task %s with another committee: the ledger binds both only as far as they share honest members", t.ID.Short())
		return
	}
}

// stillSeated finds a list that was certified by a committee that had been replaced: more of its members than it
// allows for broke their word.
func (s *scopeAudit) stillSeated(x ledger.Reservation) error {
	n := roundOf(x)
	for _, p := range s.plans {
		r, ok := p.Replaced(s.plans[n.Task].Task.Committee)
		if ok && p.Task.Scope.ID() == s.out.ID && x.Index >= r.Size && x.Status == ledger.StatusCommitted {
			return flawf(pipeline.ReceiptKey(n), "its list, entry %d of the ledger, was certified by a committee that had handed over at %d entries", x.Index, r.Size)
		}
	}
	return nil
}

// renewal checks that the ledger continues the checkpoint at which the committee before a task's own handed over.
func (s *scopeAudit) renewal(id schema.TaskID) error {
	if err := s.plans[id].Continues(s.ledger.log); err != nil {
		return &Flaw{Object: s.ledger.prefix, What: "it is not the ledger that the committee before task " + id.Short() + " handed over", Err: err}
	}
	return nil
}

// silence says in a reader's words why an accountant gives no bound.
func silence(err error) string {
	return strings.Replace(err.Error(), accountant.ErrUnsupported.Error()+": ", "no bound for ", 1)
}

// agreesWithLedger compares the charges with those of the ledger's own rules.
func (s *scopeAudit) agreesWithLedger() error {
	c, err := s.ledger.log.Charges(s.ctx)
	if err != nil {
		return s.ledger.blame(err)
	}
	if c.Epochs() != int64(len(s.epochs)) {
		return flawf(s.ledger.prefix, "it charges %d epochs, votes and reservations give %d", c.Epochs(), len(s.epochs))
	}
	return nil
}

// epoch is one (task, epoch) that is charged: one event, and one participation of each vehicle.
type epoch struct {
	task     schema.TaskID
	plan     *pipeline.Plan
	number   uint64
	lanes    map[uint32]bool
	vehicles map[schema.VehicleID]bool
	key      string
}

// reservation verifies one reservation and counts it. One that the ledger names and that does not
// verify is a flaw: leaving it out could hide a charge.
func (s *scopeAudit) reservation(key string) error {
	x, named := s.ledger.named[key]
	p, res, err := s.verify(key)
	if !named {
		return s.orphan(key, err)
	}
	if err != nil {
		return err
	}
	if ledger.ID(res.ID()) != x.Reservation || ledger.ID(res.Body.RoundID.Digest) != x.Round || len(res.Body.Vehicles) != x.Reports {
		return flawf(key, "entry %d of the ledger names another one", x.Index)
	}
	s.seen[key] = true
	s.count("reservation")
	if x.Voided > 0 { // it counts only if somebody voted for it, unseen, or may have
		voted, err := s.voted(s.ctx, x)
		if err != nil {
			return err
		}
		if !voted && !pipeline.VoidedLate(maps.Values(s.plans), p, x) {
			s.out.Uncharged = append(s.out.Uncharged, key)
			return nil
		}
	}
	s.charge(p, roundOf(x), res.Body.Vehicles, key)
	return nil
}

// orphan is a reservation that no entry names: a Collector died before it was charged, or it was planted.
func (s *scopeAudit) orphan(key string, err error) error {
	if err != nil {
		return s.unnamed(err)
	}
	s.count("reservation")
	s.out.Orphans = append(s.out.Orphans, key)
	s.note(key, "no entry of the ledger names this reservation: it charges nothing, and no vote may name its list")
	return nil
}

func (s *scopeAudit) verify(key string) (p *pipeline.Plan, x schema.Signed[schema.Reservation], err error) {
	raw, err := s.read(key)
	if err != nil {
		return nil, x, blame(key, "the reservation", err)
	}
	if x, err = schema.Decode[schema.Reservation](raw); err != nil {
		return nil, x, blame(key, "the reservation", err)
	}
	b, n := x.Body, pipeline.RoundName{Task: x.Body.TaskID, Epoch: x.Body.Epoch, Lane: x.Body.Lane}
	if b.Scope != s.out.ID || key != pipeline.ReservationKey(s.out.ID, n, b.Manifest) {
		return nil, x, flawf(key, "it is not this scope's reservation of this name")
	}
	if p, err = s.loadTask(b.TaskID); err != nil {
		return nil, x, err
	}
	if p == nil || p.Task.Scope.ID() != s.out.ID {
		return nil, x, flawf(key, "it charges a task that is not of this scope and owner")
	}
	if err := x.Verify(p.Task.Collector); err != nil {
		return nil, x, blame(key, "the reservation", err)
	}
	if b.Event != p.Event() {
		return nil, x, flawf(key, "it charges another event than its task costs")
	}
	return p, x, nil
}

func (s *scopeAudit) charge(p *pipeline.Plan, n pipeline.RoundName, vehicles []schema.VehicleID, key string) {
	// Keys are sorted by task and round, so an epoch's reservations follow each other.
	if i := len(s.epochs) - 1; i < 0 || s.epochs[i].task != n.Task || s.epochs[i].number != n.Epoch {
		s.epochs = append(s.epochs, &epoch{task: n.Task, plan: p, number: n.Epoch, lanes: map[uint32]bool{}, vehicles: map[schema.VehicleID]bool{}})
	}
	e := s.epochs[len(s.epochs)-1]
	e.lanes[n.Lane], e.key = true, key
	for _, v := range vehicles {
		e.vehicles[v] = true
	}
}

// budget computes epsilon after every charge, by every accountant, and finds the first beyond the budget.
func (s *scopeAudit) budget() error {
	sc := s.out.Scope
	ac := newAccounts(sc)
	s.out.Spent, s.out.Within = ac.none(), true
	for i, e := range s.epochs {
		ac.add(e.plan)
		c := Charge{Task: e.task, Epoch: e.number, Lanes: len(e.lanes), Vehicles: len(e.vehicles), Event: e.plan.Event(), Before: s.out.Spent, key: e.key}
		after, err := ac.spent(i == len(s.epochs)-1 || i%ac.every(len(s.epochs)) == 0)
		if err == nil && least(after) > float64(sc.Epsilon) {
			after, err = ac.spent(true) // one bound that holds is enough
		}
		if err != nil {
			return &Flaw{Object: e.key, What: "the charges up to it give no guarantee", Err: err}
		}
		c.After, s.out.Spent = after, after
		s.out.Charges = append(s.out.Charges, c)
		if best := least(after); !(best <= float64(sc.Epsilon)) {
			s.out.Within = false
			return &Flaw{Object: e.key, What: "with this charge the scope spends more than its budget", Err: errBeyond(best, sc)}
		}
	}
	if len(s.epochs) > 0 {
		_, why := ac.ask(true)
		for _, err := range why {
			s.out.Silent = append(s.out.Silent, silence(err))
		}
	}
	return agree(s.out)
}

// participations counts what each vehicle gave and checks the limits of the tasks.
func (s *scopeAudit) participations() error {
	given := map[schema.VehicleID][]*epoch{}
	for _, e := range s.epochs {
		for v := range e.vehicles {
			given[v] = append(given[v], e)
		}
	}
	vehicles := make([]schema.VehicleID, 0, len(given))
	for v := range given {
		vehicles = append(vehicles, v)
	}
	pipeline.SortVehicles(vehicles) // so that the same flaw is found in every run
	groups := map[int]map[string][]*epoch{}
	for _, v := range vehicles {
		if err := s.limits(v, given[v]); err != nil {
			return err
		}
		n := len(given[v])
		if groups[n] == nil {
			groups[n] = map[string][]*epoch{}
			s.out.Vehicles = append(s.out.Vehicles, Group{Epochs: n})
		}
		groups[n][taskCounts(given[v])] = given[v]
		i := slices.IndexFunc(s.out.Vehicles, func(g Group) bool { return g.Epochs == n })
		s.out.Vehicles[i].Vehicles++
		s.out.MaxParticipation = max(s.out.MaxParticipation, n)
	}
	slices.SortFunc(s.out.Vehicles, func(a, b Group) int { return a.Epochs - b.Epochs })
	for i := range s.out.Vehicles {
		if err := s.worst(&s.out.Vehicles[i], groups[s.out.Vehicles[i].Epochs], len(groups) <= 32); err != nil {
			return err
		}
	}
	return nil
}

// taskCounts tells vehicles apart that took part equally often but in other tasks.
func taskCounts(given []*epoch) string {
	var b strings.Builder
	for from := 0; from < len(given); {
		to := from
		for to < len(given) && given[to].task == given[from].task {
			to++
		}
		fmt.Fprintf(&b, "%s %d ", given[from].task, to-from)
		from = to
	}
	return b.String()
}

// worst finds the largest epsilon among vehicles that took part equally often, by all accountants or the fast ones.
func (s *scopeAudit) worst(g *Group, kinds map[string][]*epoch, all bool) error {
	for _, given := range kinds {
		ac := newAccounts(s.out.Scope)
		for _, e := range given {
			ac.add(e.plan)
		}
		x, err := ac.spent(all)
		if err != nil {
			return err
		}
		if g.Epsilon == nil || least(x) > least(g.Epsilon) {
			g.Epsilon = x
		}
	}
	return nil
}

// limits checks one vehicle's epochs, which are in the order of task and epoch.
func (s *scopeAudit) limits(v schema.VehicleID, given []*epoch) error {
	for i := 1; i < len(given); i++ {
		a, b := given[i-1], given[i]
		if a.task != b.task {
			continue
		}
		apart := b.number - a.number
		if s.out.MinSeparation == 0 || apart < s.out.MinSeparation {
			s.out.MinSeparation = apart
		}
		if least := b.plan.Task.Participation.MinSeparation; apart < uint64(least) {
			return flawf(b.key, "vehicle %s took part in epochs %d and %d, at least %d apart are required", v, a.number, b.number, least)
		}
	}
	// Tasks of one scope may limit differently, and their order in time is unknown: the
	// counts are allowed if taking the strictest tasks first would have been.
	byLimit := slices.DeleteFunc(slices.Clone(given), func(e *epoch) bool { return e.plan.Task.Participation.Max == 0 })
	slices.SortStableFunc(byLimit, func(a, b *epoch) int { return a.plan.Task.Participation.Max - b.plan.Task.Participation.Max })
	for i, e := range byLimit {
		if most := e.plan.Task.Participation.Max; i+1 > most {
			return flawf(e.key, "vehicle %s took part %d times, at most %d are allowed", v, len(given), most)
		}
	}
	return nil
}
