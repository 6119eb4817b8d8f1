package decryptor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// ErrRestored: the state directory or the record is older than what this decryptor's key has signed.
// It must sign nothing more: it counts as malicious.
var ErrRestored = errors.New("decryptor: restored from a backup")

// note records what is about to leave, before it does. body is the signed object.
func (d *Decryptor) note(e record.Entry, n pipeline.RoundName, body []byte) error {
	if d.record == nil {
		return nil
	}
	e.Task, e.Epoch, e.Lane = n.Task, n.Epoch, n.Lane
	if body != nil {
		e.Object = sha256.Sum256(body)
	}
	err := d.record.Add(e, d.now())
	if errors.Is(err, record.ErrTwice) {
		return fmt.Errorf("%w: %w", ErrRestored, err)
	}
	return err
}

// CheckRecord compares the three memories of a decryptor, before a process signs anything for the task.
// In an honest history whatever is in the store is in the record, and whatever is in
// the record is in the state directory, because each was durable before the next was written. [ErrRestored]
// means that one was not: the record, or the state, was restored from a backup or lost. A key whose file is
// lost is no harm by itself: nothing can be signed with it. A store can hide objects, so this finds
// backups that anybody can see, not all of them. A state directory that never had a record gets one here, and a key that
// came back after its answer is destroyed again.
func (d *Decryptor) CheckRecord(ctx context.Context, s storage.Store, id schema.TaskID, p *pipeline.Plan) error {
	if d.record == nil {
		return nil
	}
	if err := d.adopt(ctx, s); err != nil {
		return err
	}
	if err := d.checkState(); err != nil {
		return err
	}
	if _, err := d.Index(p); err != nil {
		return err
	}
	plans, err := d.neighbors(ctx, s, id, p)
	if err != nil {
		return err
	}
	for id, p := range plans {
		k, err := d.Index(p)
		if err != nil {
			continue // another committee's
		}
		if err := d.checkStore(ctx, s, p, id, k); err != nil {
			return err
		}
	}
	return nil
}

// neighbors are the tasks that spend from the scope, as far as the store shows them.
func (d *Decryptor) neighbors(ctx context.Context, s storage.Store, id schema.TaskID, p *pipeline.Plan) (map[schema.TaskID]*pipeline.Plan, error) {
	plans := map[schema.TaskID]*pipeline.Plan{id: p}
	l, err := pipeline.OpenLedger(ctx, s, p.Task.Scope, d.owner, nil)
	if refusable(err) || errors.Is(err, pipeline.ErrFork) {
		return plans, nil // whoever votes is told
	}
	if err != nil {
		return nil, err
	}
	for _, id := range l.Tasks() {
		if plans[id] != nil {
			continue
		}
		if plans[id], err = pipeline.LoadTask(ctx, s, id, d.owner); err != nil {
			return nil, err
		}
	}
	return plans, nil
}

// checkState compares the record with the state directory; no store can hide this.
func (d *Decryptor) checkState() error {
	m, err := d.memory()
	if err != nil {
		return err
	}
	for _, e := range d.record.Entries() {
		switch e.Kind {
		case record.Accept:
			if last, ok := m.Epochs[laneOf(e.Name())]; !ok || last < e.Epoch {
				return stale("it does not remember round %s", e.Name())
			}
		case record.Vote:
			err = d.checkVoted(m, e)
		case record.Answer:
			err = d.checkAnswered(e)
		case record.Handover:
			if !slices.Contains(m.HandedOver[e.Scope.String()], e.List) {
				err = stale("it does not remember that it handed over")
			} else {
				err = checkRemembered(m, e)
			}
		}
		if err != nil {
			return err
		}
	}
	return d.checkKnown()
}

func stale(format string, args ...any) error {
	return fmt.Errorf("%w: the state directory is older than the record: %w", ErrRestored, fmt.Errorf(format, args...))
}

func older(format string, args ...any) error {
	return fmt.Errorf("%w: the record is older than %w", ErrRestored, fmt.Errorf(format, args...))
}

// checkVoted: the key of a round that has this decryptor's vote knows of it, and so do the charges and the checkpoint.
func (d *Decryptor) checkVoted(m *memory, e record.Entry) error {
	s, ok, err := d.statusIfAny(e.Name())
	if err != nil {
		return err
	}
	if ok && s.Live && s.Manifest.Digest != e.List {
		return stale("it does not remember the vote in round %s", e.Name())
	}
	_, err = d.state.Read(votedDir(e.Scope) + "/" + e.List.String() + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return stale("it does not count the vote in round %s", e.Name())
	}
	if err != nil {
		return err
	}
	return checkRemembered(m, e)
}

// checkRemembered: the largest checkpoint that was named is not smaller than that of an entry.
func checkRemembered(m *memory, e record.Entry) error {
	if e.Checkpoint == "" { // of a vote that an older program made
		return nil
	}
	named, err := ledger.ParseCheckpoint(e.Checkpoint)
	if err != nil {
		return err
	}
	last, err := ledger.ParseCheckpoint(m.Signed[e.Scope.String()])
	if err != nil || last.Size < named.Size || last.Size == named.Size && last != named {
		return stale("it does not remember the checkpoint of the %s in round %s", e.Kind, e.Name())
	}
	return nil
}

// checkAnswered: the key of an answered round is gone, for good.
func (d *Decryptor) checkAnswered(e record.Entry) error {
	s, ok, err := d.statusIfAny(e.Name())
	if err != nil || !ok || !s.Live && s.Accepted == 0 {
		return err
	}
	_, err = d.erase(e.Name(), true)
	return errors.Join(stale("it held the key of round %s, which was answered; it was destroyed again", e.Name()), err)
}

// checkKnown: a key that a round uses was published, so it was recorded.
func (d *Decryptor) checkKnown() error {
	tasks, err := d.tasks()
	if err != nil {
		return err
	}
	for _, id := range tasks {
		all, err := d.Rounds(id)
		if err != nil {
			return err
		}
		for _, s := range all {
			if _, ok := d.record.Find(record.Key, s.Name); !ok && s.Round != (schema.RoundID{}) {
				return older("the state directory, or lost: it does not know the key of round %s", s.Name)
			}
		}
	}
	return nil
}

// checkStore looks for what this decryptor signed and its record does not know.
func (d *Decryptor) checkStore(ctx context.Context, s storage.Store, p *pipeline.Plan, id schema.TaskID, k int) error {
	handovers, err := pipeline.HandoversBy(ctx, s, p, k)
	if err != nil {
		return err
	}
	if err := d.allKnown(handovers); err != nil {
		return err
	}
	var names []pipeline.RoundName
	prefix := pipeline.RoundKeysPrefix(id, k)
	for info, err := range s.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		n, ok := pipeline.ParseRoundName(id, strings.TrimSuffix(info.Key[len(prefix):], ".json"))
		if ok {
			names = append(names, n)
		}
	}
	return pipeline.ForEach(ctx, len(names), func(ctx context.Context, _, i int) error { return d.checkRound(ctx, s, p, names[i], k) })
}

// CheckRound is [Decryptor.CheckRecord] for what the store shows of one round. Who serves for months asks it before each
// vote: a machine that was set back to a snapshot while it ran does not start again.
func (d *Decryptor) CheckRound(ctx context.Context, s storage.Store, r *pipeline.Round) error {
	if d.record == nil {
		return nil
	}
	k, err := d.Index(r.Plan)
	if err != nil {
		return err
	}
	return d.checkRound(ctx, s, r.Plan, r.Name, k)
}

// checkRound compares the signed objects of one round. What does not verify is not this decryptor's.
func (d *Decryptor) checkRound(ctx context.Context, s storage.Store, p *pipeline.Plan, n pipeline.RoundName, k int) error {
	if _, done := d.record.Find(record.Answer, n); done {
		return nil // the last thing that is ever signed in a round
	}
	if _, known := d.record.Find(record.Key, n); !known {
		_, err := pipeline.LoadRoundKey(ctx, s, p, n, k)
		if errors.Is(err, storage.ErrNotExist) || errors.Is(err, pipeline.ErrUntrusted) {
			return nil
		}
		if err != nil {
			return err
		}
		return older("what the store shows, or lost: this decryptor signed %s", pipeline.RoundKeyKey(n, k))
	}
	signed, err := pipeline.SignedBy(ctx, s, p, n, k)
	if err != nil {
		return err
	}
	return d.allKnown(signed)
}

func (d *Decryptor) allKnown(signed map[string][]byte) error {
	for key, body := range signed {
		if !d.record.Signed(sha256.Sum256(body)) {
			return older("what the store shows, or lost: this decryptor signed %s", key)
		}
	}
	return nil
}
