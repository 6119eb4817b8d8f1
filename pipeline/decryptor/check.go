package decryptor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// Progress is told how many reports are done, by one goroutine at a time.
type Progress func(done, total int)

// Checked is the outcome of [Decryptor.Check].
type Checked struct {
	Accepted int
	Refused  []schema.Refusal
}

// Check examines every report of a candidate list (header, signature,
// snapshot, lane, participation limit, own box, commitments), remembers the accepted
// ones with their seeds, and publishes the signed refusals.
func (d *Decryptor) Check(ctx context.Context, s storage.Store, r *pipeline.Round, candidates schema.Digest, progress Progress) (*Checked, error) {
	if err := pipeline.Ended(ctx, s, r); err != nil {
		return nil, err
	}
	list, err := pipeline.LoadCandidates(ctx, s, r, candidates)
	if err != nil {
		return nil, err
	}
	k, f, err := d.open(r)
	if err != nil {
		return nil, err
	}
	if done, err := published(ctx, s, r, candidates, k, len(list.Reports)); done != nil || err != nil {
		return done, err
	}
	key, err := f.record.Key()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	charges, err := d.charges(ctx, s, r)
	if err != nil {
		return nil, err
	}
	c := &checker{store: s, round: r, index: k, key: key, charges: charges, results: make([]result, len(list.Reports)), progress: progress}
	if err := c.run(ctx, list.Reports); err != nil {
		return nil, err
	}
	f.Accepted = merge(f.Accepted, c.accepted())
	if err := d.save(r.Name, f); err != nil {
		return nil, err
	}
	return d.publishCheck(ctx, s, r, k, candidates, c)
}

// Accept binds this decryptor's key to the round, for good: it will refuse another descriptor of the
// same epoch and lane. Check does it, too.
func (d *Decryptor) Accept(r *pipeline.Round) error {
	_, _, err := d.open(r)
	return err
}

// published returns the check that this decryptor published already: what it
// accepted was durable before.
func published(ctx context.Context, s storage.Store, r *pipeline.Round, candidates schema.Digest, k, total int) (*Checked, error) {
	checks, err := pipeline.LoadChecks(ctx, s, r, candidates)
	if err != nil {
		return nil, err
	}
	c, ok := checks[k]
	if !ok {
		return nil, nil
	}
	return &Checked{Accepted: total - len(c.Body.Refused), Refused: c.Body.Refused}, nil
}

// open loads the round's file and binds it to this RoundID if it is new.
func (d *Decryptor) open(r *pipeline.Round) (int, *roundFile, error) {
	if r.Task.Owner != d.owner {
		return 0, nil, fmt.Errorf("%w: the round's task is another privacy owner's", pipeline.ErrUntrusted)
	}
	k, err := d.Index(r.Plan)
	if err != nil {
		return 0, nil, err
	}
	f, err := d.load(r.Plan, r.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, fmt.Errorf("%w for round %s", ErrNoKey, r.Name)
	}
	if err != nil {
		return 0, nil, err
	}
	if string(r.Descriptor.RoundKeys[k].Bytes()) != string(f.Published) {
		return 0, nil, fmt.Errorf("%w: round %s names a key that is not this decryptor's", ErrForked, r.Name)
	}
	fresh := len(f.Record) == 0
	if err := f.bind(r, k); err != nil {
		return 0, nil, fmt.Errorf("round %s: %w", r.Name, err)
	}
	if fresh {
		if err := d.accept(r); err != nil {
			return 0, nil, err
		}
	}
	expired := d.now().Unix() >= f.Expiry && f.holdsSecrets()
	if expired {
		f.erase()
	}
	if fresh || expired {
		if err := d.save(r.Name, f); err != nil {
			return 0, nil, err
		}
	}
	return k, f, d.noteAccepted(r)
}

func (d *Decryptor) noteAccepted(r *pipeline.Round) error {
	return d.note(record.Entry{Kind: record.Accept, Round: r.ID, Scope: r.Task.Scope.ID()}, r.Name, nil)
}

type result struct {
	accepted *accepted
	reason   string
}

type checker struct {
	store    storage.Store
	round    *pipeline.Round
	index    int
	key      secagg.RoundKey
	charges  *pipeline.Charges
	results  []result
	ids      []schema.ReportID
	progress Progress

	mu   sync.Mutex
	done int
}

func (c *checker) run(ctx context.Context, ids []schema.ReportID) error {
	c.ids = ids
	err := pipeline.ForEach(ctx, len(ids), func(ctx context.Context, _, i int) error {
		a, err := c.check(ctx, ids[i])
		var refused *pipeline.Refused
		if errors.As(err, &refused) {
			c.results[i] = result{reason: refused.Reason}
		} else if err != nil {
			return err
		} else {
			c.results[i] = result{accepted: a}
		}
		c.tick()
		return nil
	})
	if err == nil {
		c.refuseRepeated()
	}
	return err
}

func (c *checker) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	if c.progress != nil {
		c.progress(c.done, len(c.ids))
	}
}

func (c *checker) check(ctx context.Context, id schema.ReportID) (*accepted, error) {
	rep, box, err := c.round.ReadHead(ctx, c.store, id, c.index)
	if err != nil {
		return nil, err
	}
	h := rep.Header
	if err := c.charges.CheckVehicle(c.round.Task.Participation, h.TaskID, h.Epoch, h.Vehicle); err != nil {
		return nil, &pipeline.Refused{Report: id, Reason: schema.ReasonLimit, Err: err}
	}
	commitments := make([][32]byte, len(h.Commitments))
	for i, x := range h.Commitments {
		commitments[i] = x
	}
	seeds, err := secagg.OpenBox(c.round.Secagg, c.index, c.key, c.round.ID.Digest, id.Digest, box, commitments)
	if errors.Is(err, secagg.ErrBox) {
		return nil, &pipeline.Refused{Report: id, Reason: schema.ReasonBox, Err: err}
	}
	if err != nil {
		return nil, err
	}
	defer seeds.Erase()
	return &accepted{Report: id, Vehicle: h.Vehicle, Seeds: seeds.Bytes()}, nil
}

// refuseRepeated keeps the report with the smallest ReportID of each vehicle;
// the list is sorted, so every decryptor keeps the same one.
func (c *checker) refuseRepeated() {
	seen := map[schema.VehicleID]bool{}
	for i, res := range c.results {
		if res.accepted == nil {
			continue
		}
		if seen[res.accepted.Vehicle] {
			c.results[i] = result{reason: schema.ReasonVehicle}
		}
		seen[res.accepted.Vehicle] = true
	}
}

func (c *checker) accepted() []accepted {
	var all []accepted
	for _, res := range c.results {
		if res.accepted != nil {
			all = append(all, *res.accepted)
		}
	}
	return all
}

func (c *checker) refused() []schema.Refusal {
	all := []schema.Refusal{}
	for i, res := range c.results {
		if res.accepted == nil {
			all = append(all, schema.Refusal{Report: c.ids[i], Reason: res.reason})
		}
	}
	return all
}

func (d *Decryptor) publishCheck(ctx context.Context, s storage.Store, r *pipeline.Round, k int, candidates schema.Digest, c *checker) (*Checked, error) {
	out := &Checked{Refused: c.refused()}
	out.Accepted = len(c.ids) - len(out.Refused)
	signed, err := schema.SignBody(schema.Check{
		Version: schema.Version, RoundID: r.ID, Index: k, Candidates: candidates, Refused: out.Refused,
	}, d.key)
	if err != nil {
		return nil, err
	}
	if err := d.note(record.Entry{Kind: record.Check, Round: r.ID, List: candidates}, r.Name, signed.Bytes()); err != nil {
		return nil, err
	}
	_, err = s.PutOnce(ctx, pipeline.CheckKey(r.Name, candidates, k), signed.Bytes())
	if errors.Is(err, storage.ErrConflict) {
		err = nil // an earlier check of the same list stands; it is evidence only
	}
	return out, err
}

// merge adds newly accepted reports; the result is sorted and distinct.
func merge(old, more []accepted) []accepted {
	all := append(slices.Clone(old), more...)
	slices.SortStableFunc(all, func(a, b accepted) int { return schema.CompareReports(a.Report, b.Report) })
	return slices.CompactFunc(all, func(a, b accepted) bool { return a.Report == b.Report })
}

// charges counts what the ledger charges and what this decryptor voted for.
func (d *Decryptor) charges(ctx context.Context, s storage.Store, r *pipeline.Round) (*pipeline.Charges, error) {
	l, err := d.publicLedger(ctx, s, r)
	if err != nil {
		return nil, err
	}
	c, err := l.ChargesFor(ctx, r.Plan)
	if err != nil {
		return nil, err
	}
	dir := votedDir(r.Task.Scope.ID())
	names, err := d.state.Names(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		raw, err := d.state.Read(dir + "/" + n)
		if err != nil {
			return nil, err
		}
		x, err := schema.Decode[schema.Reservation](raw)
		if err != nil {
			return nil, fmt.Errorf("decryptor: %s: %w", d.state.Path(dir+"/"+n), err)
		}
		if err := c.Add(x.Body); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func votedDir(scope schema.ScopeID) string { return "voted/" + scope.String() }
