package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// The kinds of findings.
const (
	// KindFlaw: something is damaged, missing, or where it does not belong.
	KindFlaw = "flaw"
	// KindOrphan: nothing needs it; Sweep removes it from ended rounds.
	KindOrphan = "orphan"
	// KindNote: worth knowing.
	KindNote = "note"
)

// Finding is one thing that Check found.
type Finding struct {
	Kind   string `json:"kind"`
	Object string `json:"object"` // name of an object, or of a folder with a slash at its end
	Text   string `json:"text"`
	Amount Amount `json:"amount"` // of an orphan
}

// CheckOptions say how deep to look. The zero value reads everything.
type CheckOptions struct {
	// Quick reads no pieces, no models, and of partial sums and aggregates nothing: it compares
	// names and sizes.
	Quick bool
	// PassUnnamed turns flaws of objects that no receipt names into notes: whoever can write to
	// the store can plant one, and every role takes it for silence.
	PassUnnamed bool
	// Found is told of every finding, in the order of names, the ledgers last; may be nil.
	Found func(Finding)
	// Progress is told how many rounds were looked at; may be nil.
	Progress func(rounds int)
}

// Checked is what Check found in total.
type Checked struct {
	Objects   map[string]Amount `json:"objects"` // by kind
	Committed int               `json:"committed"`
	Void      int               `json:"void"`
	Open      int               `json:"open"`
	Flaws     int               `json:"flaws"`
	Orphans   Amount            `json:"orphans"`
	Notes     int               `json:"notes"`
}

// Check verifies, object by object, that a store is whole: every name is one of FORMAT.md section 15,
// every object decodes, is signed by who should have signed it and is what its name says, everything that a receipt
// names exists (I1) with its hash and size, the list it opened was paid for in the ledger before (I3) and is the
// one that was certified (I4), and the ledger hangs together. Errors are the store's or the context's, not flaws.
func Check(ctx context.Context, s storage.Store, opt CheckOptions) (*Checked, error) {
	c := &checker{plans: newPlans(ctx, s), opt: opt, out: &Checked{Objects: map[string]Amount{}}, scopes: map[schema.ScopeID]*scope{}}
	if err := c.readKind(); err != nil {
		return c.out, err
	}
	if err := walk(ctx, s, c); err != nil {
		return c.out, err
	}
	if err := c.ledgers(); err != nil {
		return c.out, err
	}
	return c.out, c.interrupted()
}

type checker struct {
	*plans
	opt    CheckOptions
	out    *Checked
	scopes map[schema.ScopeID]*scope
}

// scope is what Check has to know about a BudgetScope at the end.
type scope struct {
	tasks        []*pipeline.Plan
	reservations []object
	handovers    []object
	stored       bool // something of its ledger is there
	receipts     []pending
}

// pending is a receipt that is compared with the ledger.
type pending struct {
	round   *pipeline.Round
	receipt *schema.Receipt
}

func (c *checker) scope(id schema.ScopeID) *scope {
	if c.scopes[id] == nil {
		c.scopes[id] = &scope{}
	}
	return c.scopes[id]
}

func (c *checker) found(f Finding) {
	switch f.Kind {
	case KindFlaw:
		c.out.Flaws++
	case KindOrphan:
		c.out.Orphans.plus(f.Amount)
	default:
		c.out.Notes++
	}
	if c.opt.Found != nil {
		c.opt.Found(f)
	}
}

func (c *checker) note(object, format string, args ...any) {
	c.found(Finding{Kind: KindNote, Object: object, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) flaw(object, format string, args ...any) {
	c.found(Finding{Kind: KindFlaw, Object: object, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) orphan(object, text string, a Amount) {
	if a.Objects > 0 {
		c.found(Finding{Kind: KindOrphan, Object: object, Text: text, Amount: a})
	}
}

// at is an error of another object than the one it was found at.
type at struct {
	object string
	error
}

// Unwrap returns the error.
func (a at) Unwrap() error { return a.error }

// blame reports what an object is to blame for; errors of the store come back.
func (c *checker) blame(key string, err error) error {
	if other := (at{}); errors.As(err, &other) {
		key, err = other.object, other.error
	}
	switch {
	case err == nil:
	case blamed(err):
		c.flaw(key, "%s", reason(key, err))
	default:
		return err
	}
	return nil
}

// unnamed is blame for objects that no receipt names.
func (c *checker) unnamed(key string, err error) error {
	if other := (at{}); errors.As(err, &other) {
		key, err = other.object, other.error
	}
	if err != nil && blamed(err) && c.opt.PassUnnamed {
		c.note(key, "passed over: %s", reason(key, err))
		return nil
	}
	return c.blame(key, err)
}

// reason is the text of an error without the name, which errors of other packages repeat.
func reason(key string, err error) string {
	text := strings.NewReplacer(key+": ", "", fmt.Sprintf(": %q", key), "", "object refused: ", "").Replace(err.Error())
	if errors.Is(err, storage.ErrNotExist) {
		return "missing (" + text + ")"
	}
	return text
}

func (c *checker) count(kind pipeline.Kind, info storage.Info) {
	a := c.out.Objects[kind.String()]
	a.add(info)
	c.out.Objects[kind.String()] = a
}

// unknown implements visitor. In our own folders there should be nothing else.
func (c *checker) unknown(info storage.Info) error {
	c.count(pipeline.KindUnknown, info)
	top, _, _ := strings.Cut(info.Key, "/")
	if !slices.Contains([]string{"tasks", "scopes", "snapshots"}, top) {
		c.note(info.Key, "no object of ours has such a name")
		return nil
	}
	return c.unnamed(info.Key, fmt.Errorf("%w: no object of ours has such a name", storage.ErrKey))
}

// object implements visitor.
func (c *checker) object(o object) error {
	c.count(o.Kind, o.Info)
	key := o.Info.Key
	switch o.Kind {
	case pipeline.KindFormat:
		_, err := pipeline.ReadFormat(c.ctx, c.store)
		if errors.Is(err, pipeline.ErrFormat) {
			c.flaw(key, "%v", err)
			return nil
		}
		return err
	case pipeline.KindProbe:
		c.orphan(key, WhyProbe, Amount{1, o.Info.Size})
	case pipeline.KindTask:
		p, err := c.load(o.Round.Task)
		if err != nil {
			return c.blame(key, err)
		}
		s := c.scope(p.Task.Scope.ID())
		s.tasks = append(s.tasks, p)
	case pipeline.KindModel:
		return c.model(o)
	case pipeline.KindRelease:
		return c.release(o)
	case pipeline.KindDelta:
		return c.delta(o)
	case pipeline.KindRoundKey:
		return c.roundKey(o)
	case pipeline.KindSnapshot:
		return c.snapshot(o)
	case pipeline.KindReservation:
		c.scope(o.Scope).reservations = append(c.scope(o.Scope).reservations, o)
	case pipeline.KindHandover:
		c.scope(o.Scope).handovers = append(c.scope(o.Scope).handovers, o)
	case pipeline.KindLedger:
		c.scope(o.Scope).stored = true
	}
	return nil
}

func (c *checker) model(o object) error {
	if c.opt.Quick {
		return nil
	}
	have, err := pipeline.HashModel(c.ctx, c.store, o.Info.Key)
	if err == nil && have != o.Hash {
		err = fmt.Errorf("%w: its hash is %s", pipeline.ErrUntrusted, have)
	}
	return c.blame(o.Info.Key, err)
}

func (c *checker) roundKey(o object) error {
	p, err := c.load(o.Round.Task)
	if err != nil {
		return c.orphaned(o.Info.Key, err)
	}
	if o.Index >= p.Task.Committee.Size {
		return c.unnamed(o.Info.Key, fmt.Errorf("%w: the committee has %d decryptors", storage.ErrKey, p.Task.Committee.Size))
	}
	_, err = pipeline.LoadRoundKey(c.ctx, c.store, p, o.Round, o.Index)
	return c.blame(o.Info.Key, err)
}

// orphaned is for what belongs to a task that is missing or damaged, which is reported where
// the task is, or here if there is none.
func (c *checker) orphaned(key string, err error) error {
	if errors.Is(err, storage.ErrNotExist) {
		return c.unnamed(key, fmt.Errorf("%w: its task is not in the store", storage.ErrKey))
	}
	if blamed(err) {
		return nil
	}
	return err
}

func (c *checker) snapshot(o object) error {
	raw, err := storage.ReadAll(c.ctx, c.store, o.Info.Key, 128+48*schema.MaxVehicles)
	if err == nil {
		var s *schema.Snapshot
		if s, err = schema.DecodeSnapshot(raw); err == nil && s.Root() != o.Hash {
			err = fmt.Errorf("%w: its root is %s", pipeline.ErrUntrusted, s.Root())
		}
	}
	return c.blame(o.Info.Key, err)
}

// interrupted reports what interrupted writes left behind.
func (c *checker) interrupted() error {
	left, err := c.leftovers(farFuture)
	if err != nil {
		return err
	}
	for _, l := range left {
		c.orphan(l.Name, "a write is under way, or was interrupted", Amount{1, max(l.Size, 0)})
	}
	return nil
}
