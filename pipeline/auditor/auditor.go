// Package auditor recomputes, offline and from the store alone, everything that
// the rounds of a store claim: signatures, lists, votes, every sum, the opened
// values, the bytes of the aggregates, and what the privacy budget was spent on.
//
// Start with [Audit]. It trusts one thing, the privacy owner's public key that
// the caller pins: tasks are verified with it, and every other object with the keys that
// the tasks name. It needs no key that is secret and writes nothing. [Report.Statement] is the
// short machine-readable form of what was found, [Report.Table] one row for each round.
//
// Every object of a scope's ledger is verified: what was reserved cannot be changed, reordered
// or dropped from its middle, and each opened list was paid for before anybody voted for it.
// What an audit cannot see: that Collectors and store replaced the whole ledger or rolled it
// back together with its rounds, unless it is given a checkpoint that an earlier audit saw
// ([Options].Remembered); and how the devices behaved that made what was signed. [Report] says so too.
package auditor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// Depth says how the sums of the ciphertexts c are verified.
type Depth int

const (
	// DepthAuto adds the pieces where all of a round's are in the store, else it is [DepthSigned].
	DepthAuto Depth = iota
	// DepthPieces adds the pieces of every report; a missing one is a flaw.
	DepthPieces
	// DepthSigned reads no pieces: the sum of c is taken from the partial sum that the
	// Collector's signed receipt names, and only the sum of corr is added again.
	DepthSigned
)

// Options say what is audited. The zero value audits every task of the owner.
type Options struct {
	// Task audits only this task; nil is all. The budget is that of its whole scope in any case.
	Task *schema.TaskID
	// Depth is how deep sums are verified.
	Depth Depth
	// PassUnnamed turns flaws of objects that no receipt names (candidate lists,
	// checks, late votes and answers, manifests nobody voted for) into notes: whoever
	// can write to the store can plant one, and every role takes it for silence.
	PassUnnamed bool
	// Remembered are checkpoints that earlier audits saw ([Report.Checkpoints]), at most one a
	// ledger. A ledger that does not continue its own is a flaw, and so is one that is gone.
	Remembered []ledger.Checkpoint
	// Regions are the stores of regions that the audit can read, by name: the pieces of their reports lie there. A
	// region's store is believed no more than the audited one.
	Regions map[string]storage.Store
	// Progress is told how many rounds of a task are done; may be nil.
	Progress func(done, total int)
}

// ErrFlaw is matched by every [Flaw].
var ErrFlaw = errors.New("audit: flaw found")

// ErrNothing: the store holds no task of the pinned owner, so nothing was verified.
var ErrNothing = errors.New("audit: the store holds no task of this privacy owner")

// Flaw is the first thing that does not verify. It matches [ErrFlaw].
type Flaw struct {
	Object string // the object's name in the store
	What   string // which claim does not hold
	Err    error  // why; may be nil
}

// Error implements error.
func (f *Flaw) Error() string {
	if f.Err == nil {
		return fmt.Sprintf("audit: %s: %s", f.Object, f.What)
	}
	return fmt.Sprintf("audit: %s: %s: %s", f.Object, f.What, f.why())
}

// why is the cause without the object's name, which errors of other packages repeat.
func (f *Flaw) why() string {
	return strings.NewReplacer(f.Object+": ", "", fmt.Sprintf(": %q", f.Object), "").Replace(f.Err.Error())
}

// Is makes errors.Is(err, ErrFlaw) true.
func (f *Flaw) Is(target error) bool { return target == ErrFlaw }

// Unwrap returns the cause.
func (f *Flaw) Unwrap() error { return f.Err }

// MarshalJSON implements json.Marshaler: object, what and why, all texts.
func (f *Flaw) MarshalJSON() ([]byte, error) {
	t := struct {
		Object string `json:"object"`
		What   string `json:"what"`
		Why    string `json:"why,omitempty"`
	}{Object: f.Object, What: f.What}
	if f.Err != nil {
		t.Why = f.why()
	}
	return json.Marshal(t)
}

// flawf states a claim that does not hold.
func flawf(object, format string, args ...any) error {
	return &Flaw{Object: object, What: fmt.Sprintf(format, args...)}
}

// blame turns what the evidence is to blame for into a flaw of the object; an
// error of the store itself stays one, because it says nothing about the evidence.
func blame(object, what string, err error) error {
	if err == nil {
		return nil
	}
	for _, e := range []error{
		pipeline.ErrUntrusted, pipeline.ErrFork, pipeline.ErrTask, schema.ErrFormat, schema.ErrSignature,
		ledger.ErrCorrupt, ledger.ErrFork, ledger.ErrEntry, storage.ErrNotExist, storage.ErrTooLarge, storage.ErrRange, storage.ErrKey,
	} {
		if errors.Is(err, e) {
			return &Flaw{Object: object, What: what, Err: err}
		}
	}
	return err
}

type auditor struct {
	ctx    context.Context
	store  storage.Store
	owner  schema.PublicKey
	opt    Options
	report *Report
	// sources are the stores that may hold the pieces of a report.
	sources []storage.Store
	plans   map[schema.TaskID]*pipeline.Plan
	// ledgers are those opened so far, by scope.
	ledgers map[schema.ScopeID]*scopeLedger
	// last is the snapshot read last: rounds in a row mostly share it.
	last *schema.Snapshot
}

// Audit verifies every round of every task that the owner signed, in the order
// of their names, then the budget of every scope. At the first flaw it stops and returns a
// [*Flaw] together with what was verified before. Other errors are the store's or the context's.
func Audit(ctx context.Context, s storage.Store, owner schema.PublicKey, opt Options) (*Report, error) {
	a := newAuditor(ctx, s, owner, opt)
	err := a.run()
	var f *Flaw
	if errors.As(err, &f) {
		a.report.Flaw = f
	}
	a.report.Complete = err == nil
	return a.report, err
}

// CheckLedger verifies every object of one scope's ledger as Audit does, and nothing
// else. At the first flaw it returns a [*Flaw].
func CheckLedger(ctx context.Context, s storage.Store, owner schema.PublicKey, scope schema.Scope, opt Options) (*Ledger, error) {
	l, err := newAuditor(ctx, s, owner, opt).ledger(scope)
	if err != nil {
		return nil, err
	}
	return l.out, nil
}

func newAuditor(ctx context.Context, s storage.Store, owner schema.PublicKey, opt Options) *auditor {
	return &auditor{ctx: ctx, store: s, owner: owner, opt: opt, report: newReport(s.String(), owner), sources: sources(s, opt.Regions), plans: map[schema.TaskID]*pipeline.Plan{}, ledgers: map[schema.ScopeID]*scopeLedger{}}
}

func (a *auditor) run() error {
	ids, err := a.tasks()
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := a.task(id); err != nil {
			return err
		}
	}
	if len(a.report.Tasks) == 0 {
		return ErrNothing
	}
	if err := a.scopes(); err != nil {
		return err
	}
	return a.strangers()
}

// count notes that an object was verified.
func (a *auditor) count(kind string) { a.report.Objects[kind]++ }

// note records something a reader should know that is no flaw.
func (a *auditor) note(object, format string, args ...any) {
	a.report.Notes = append(a.report.Notes, Note{Object: object, Text: fmt.Sprintf(format, args...)})
}

// unnamed is for objects that no receipt names: see [Options.PassUnnamed].
func (a *auditor) unnamed(err error) error {
	var f *Flaw
	if a.opt.PassUnnamed && errors.As(err, &f) {
		a.note(f.Object, "passed over: %s: %v", f.What, f.Err)
		return nil
	}
	return err
}

// folders returns the names directly below a prefix, which ends in a slash, sorted.
func (a *auditor) folders(prefix string) ([]string, error) {
	var names []string
	for after := ""; ; {
		found := ""
		for info, err := range a.store.List(a.ctx, prefix, after) {
			if err != nil {
				return nil, err
			}
			found = info.Key
			break
		}
		if found == "" {
			return names, nil
		}
		name, _, _ := strings.Cut(found[len(prefix):], "/")
		names = append(names, name)
		// '~' sorts behind every letter that a name may have.
		after = prefix + name + "/~"
		if !strings.HasPrefix(found, prefix+name+"/") {
			after = found
		}
	}
}

func (a *auditor) tasks() ([]schema.TaskID, error) {
	if a.opt.Task != nil {
		return []schema.TaskID{*a.opt.Task}, nil
	}
	names, err := a.folders("tasks/")
	if err != nil {
		return nil, err
	}
	var ids []schema.TaskID
	for _, name := range names {
		d, err := schema.ParseDigest(name)
		if err != nil {
			a.note("tasks/"+name, "not the name of a task")
			continue
		}
		ids = append(ids, schema.TaskID{Digest: d})
	}
	return ids, nil
}

func (a *auditor) task(id schema.TaskID) error {
	p, err := a.loadTask(id)
	if p == nil || err != nil {
		return err
	}
	a.count("task")
	t := newTask(id, p)
	a.report.Tasks = append(a.report.Tasks, t)
	names, err := a.rounds(id)
	if err != nil {
		return err
	}
	lanes := map[uint32]*lane{}
	for i, n := range names {
		if err := a.round(p, n, t, lanes); err != nil {
			return err
		}
		if a.opt.Progress != nil {
			a.opt.Progress(i+1, len(names))
		}
	}
	return a.releases(p, t)
}

// loadTask verifies a task; nil without an error is another privacy owner's, which this audit is not about.
func (a *auditor) loadTask(id schema.TaskID) (*pipeline.Plan, error) {
	if p, ok := a.plans[id]; ok {
		return p, nil
	}
	key := pipeline.TaskKey(id)
	raw, err := a.read(key)
	if err != nil {
		return nil, blame(key, "the task", err)
	}
	x, err := schema.Decode[schema.Task](raw)
	if err != nil {
		return nil, blame(key, "the task", err)
	}
	if schema.NewTaskID(x) != id {
		return nil, flawf(key, "it is another task than its name says")
	}
	if x.Body.Owner != a.owner && a.opt.Task == nil {
		if err := x.Verify(x.Body.Owner); err != nil {
			return nil, blame(key, "signature of the privacy owner that it names", err)
		}
		a.note(key, "a task of another privacy owner, %s: not audited", x.Body.Owner)
		return nil, nil
	}
	// The same checks as every role makes, the derived numbers computed again.
	p, err := pipeline.LoadTask(a.ctx, a.store, id, a.owner)
	if err != nil {
		return nil, blame(key, "the task", err)
	}
	a.plans[id] = p
	return p, nil
}

// rounds returns the rounds of a task in the order of epoch and lane.
func (a *auditor) rounds(id schema.TaskID) ([]pipeline.RoundName, error) {
	prefix := pipeline.RoundsPrefix(id)
	names, err := a.folders(prefix)
	if err != nil {
		return nil, err
	}
	var all []pipeline.RoundName
	for _, name := range names {
		n := pipeline.RoundName{Task: id}
		if _, err := fmt.Sscanf(name, "%d-%d", &n.Epoch, &n.Lane); err != nil || n.String() != name {
			if err := a.unnamed(flawf(prefix+name, "not the name of a round")); err != nil {
				return nil, err
			}
			continue
		}
		all = append(all, n)
	}
	slices.SortStableFunc(all, func(x, y pipeline.RoundName) int {
		return cmp.Or(cmp.Compare(x.Epoch, y.Epoch), cmp.Compare(x.Lane, y.Lane))
	})
	return all, nil
}

// read returns an object of at most the largest size of a signed one.
func (a *auditor) read(key string) ([]byte, error) {
	return storage.ReadAll(a.ctx, a.store, key, schema.MaxObject)
}

// load reads a signed object and verifies it with a key that the task names.
func load[T schema.Object](a *auditor, key string, signer schema.PublicKey) (schema.Signed[T], error) {
	raw, err := a.read(key)
	if err != nil {
		return schema.Signed[T]{}, err
	}
	x, err := schema.Decode[T](raw)
	if err != nil {
		return x, err
	}
	return x, x.Verify(signer)
}
