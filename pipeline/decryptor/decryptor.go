// Package decryptor is one committee member's side of a round: it publishes
// round keys, checks reports, votes once, answers once and erases.
//
// A [Decryptor] owns one state directory; two processes with one identity are
// refused by its lock. Everything that a vote or an answer depends on is
// durable before it leaves, and every step may be repeated: the same objects are written again.
// The directory must never be restored from a backup: a decryptor that forgot
// its vote could vote twice, and counts as malicious. A second memory, package record, notices it.
//
// No safety property uses a clock. Only the erasure of keys at their expiry does.
package decryptor

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// Errors of this package; others wrap those of pipeline and committee.
var (
	// ErrForked: another descriptor was accepted for this epoch and lane, or a later epoch.
	ErrForked = errors.New("decryptor: another round was accepted here")
	// ErrStale: the enrollment snapshot is older than one that was accepted.
	ErrStale = errors.New("decryptor: enrollment snapshot is older than the last one accepted")
	// ErrNoKey: there is no round key (any more): never made, expired, or answered and erased.
	ErrNoKey = errors.New("decryptor: no round key")
	// ErrManifest: no manifest in the store is acceptable to this decryptor.
	ErrManifest = errors.New("decryptor: no acceptable manifest")
)

// Config is everything a decryptor is built from.
type Config struct {
	State *state.Dir         // required; on durable storage, in no backup
	Key   ed25519.PrivateKey // the identity that the task names at Index; required
	Owner schema.PublicKey   // the pinned key of the privacy owner; required
	Now   func() time.Time   // default time.Now
	// Record names everything that was signed; see [Decryptor.CheckRecord]. Nil keeps none: then
	// nothing notices a restored state directory. For simulations only.
	Record *record.Record
	// KeepLedgers keeps the verified ledgers in memory between steps and reads only what was
	// appended: for a process that serves many rounds from one store.
	KeepLedgers bool
}

// Decryptor is one member of a committee. It is not safe for concurrent use.
type Decryptor struct {
	state *state.Dir
	key   ed25519.PrivateKey
	owner schema.PublicKey
	now   func() time.Time

	record  *record.Record
	ledgers map[ledgerKey]*keptLedger // nil keeps none
}

// New checks the configuration.
func New(c Config) (*Decryptor, error) {
	if c.State == nil || len(c.Key) != ed25519.PrivateKeySize || c.Owner.IsZero() {
		return nil, errors.New("decryptor: state, identity key and owner key are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Decryptor{state: c.State, key: c.Key, owner: c.Owner, now: c.Now, record: c.Record}
	if c.KeepLedgers {
		d.ledgers = map[ledgerKey]*keptLedger{}
	}
	return d, nil
}

// Index returns this decryptor's place in the task's committee.
func (d *Decryptor) Index(p *pipeline.Plan) (int, error) {
	own := schema.NewPublicKey(d.key)
	for i, k := range p.Task.Committee.Keys {
		if k == own {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: decryptor key %s is not in the task's committee", pipeline.ErrKey, own)
}

// maxEpochs bounds the epochs of one call of PublishKeys.
const maxEpochs = 1 << 20

// PublishKeys makes and publishes the round keys of the epochs from first to last, in all
// lanes. A key that exists already is published again, the same.
func (d *Decryptor) PublishKeys(ctx context.Context, s storage.Store, id schema.TaskID, first, last uint64, expiry time.Time) (int, error) {
	if last < first || last-first >= maxEpochs {
		return 0, fmt.Errorf("%w: epochs %d to %d: want at most %d", pipeline.ErrTask, first, last, maxEpochs)
	}
	p, err := pipeline.LoadTask(ctx, s, id, d.owner)
	if err != nil {
		return 0, err
	}
	k, err := d.Index(p)
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range last - first + 1 { // counted, so that the largest epoch ends it
		epoch := first + i
		for lane := range p.Task.Batch.Lanes {
			name := pipeline.RoundName{Task: id, Epoch: epoch, Lane: uint32(lane)}
			if err := d.publishKey(ctx, s, p, name, k, expiry.Unix()); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

func (d *Decryptor) publishKey(ctx context.Context, s storage.Store, p *pipeline.Plan, n pipeline.RoundName, k int, expiry int64) error {
	f, err := d.load(p, n)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = d.newKey(p, n, k, expiry)
	}
	if err != nil {
		return err
	}
	if d.now().Unix() >= f.Expiry {
		return fmt.Errorf("%w for round %s: it expired", ErrNoKey, n)
	}
	if err := d.note(record.Entry{Kind: record.Key}, n, f.Published); err != nil {
		return err
	}
	_, err = s.PutOnce(ctx, pipeline.RoundKeyKey(n, k), f.Published)
	return err
}

// newKey makes a key and its durable record before anybody sees the public half.
func (d *Decryptor) newKey(p *pipeline.Plan, n pipeline.RoundName, k int, expiry int64) (*roundFile, error) {
	key, err := secagg.GenerateRoundKey(p.Secagg.Suite())
	if err != nil {
		return nil, err
	}
	private, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	var coin schema.Digest
	if _, err := rand.Read(coin[:]); err != nil {
		return nil, fmt.Errorf("decryptor: %w", err)
	}
	signed, err := schema.SignBody(schema.RoundKey{
		Version: schema.Version, TaskID: n.Task, Epoch: n.Epoch, Lane: n.Lane, Index: k,
		PublicKey: key.Public(), Expiry: expiry, Coin: schema.Hash("coin", coin[:]),
	}, d.key)
	if err != nil {
		return nil, err
	}
	f := &roundFile{Expiry: expiry, Coin: coin, Key: private, Published: signed.Bytes()}
	return f, d.create(n, f)
}
