package pipeline_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/accountant"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
)

func init() {
	for name, f := range map[string]func(*scene, args){
		"ledger": (*scene).ledger, "keepledger": (*scene).keepLedger, "putledger": (*scene).putLedger,
		"spoil": (*scene).spoil, "spoilback": (*scene).spoilBack, "void": (*scene).void,
		"hidevotes": (*scene).hideVotes, "showvotes": (*scene).show,
	} {
		commands[name] = f
	}
}

// ledger tells what anybody reads in the scope's ledger.
func (s *scene) ledger(args) {
	l, err := pipeline.OpenLedger(ctx, s.f.Store, s.f.Task.Scope, s.f.Task.Owner, nil)
	if err != nil {
		s.fail("anybody", err)
		return
	}
	r, err := l.Audit(ctx, ledger.Checkpoint{})
	if err != nil {
		s.fail("anybody", err)
		return
	}
	s.say("anybody: %d entries, %d unsigned; %d reservations, %d settled, %d voided, %d of those charged",
		r.Head.Size, r.Unsigned, r.Reservations, r.Settled, r.Voided, r.Revived)
}

// rules of a Collector that pays what it likes: with its own key, for any event.
func (s *scene) lenient(key ed25519.PrivateKey) ledger.Rules {
	return ledger.Rules{
		Writer: func(context.Context, ledger.ID) (ledger.Writer, error) {
			return ledger.Writer{Key: key.Public().(ed25519.PublicKey)}, nil
		},
		Voted: func(context.Context, ledger.Reservation) (bool, error) { return false, nil },
	}
}

func (s *scene) lenientLedger(key ed25519.PrivateKey) *ledger.Ledger {
	scope := s.f.Task.Scope
	l, err := ledger.Open(ctx, pipeline.LedgerObjects(s.f.Store, scope.ID()), pipeline.LedgerScope(scope), s.lenient(key))
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// append is what a malicious Collector puts into the ledger. Beyond the budget it must forge the entry.
func (s *scene) append(a args, key ed25519.PrivateKey, res schema.Signed[schema.Reservation]) {
	b := res.Body
	req := ledger.Request{
		Task: ledger.ID(b.TaskID.Digest), Round: ledger.ID(b.RoundID.Digest), Epoch: uint64(a.int("charge-epoch", int(b.Epoch))), Lane: b.Lane,
		Manifest: ledger.ID(b.Manifest.Digest), Reports: len(b.Vehicles), Reservation: ledger.ID(res.ID()),
		Event: accountant.Event{
			Type: accountant.DistributedDiscreteGaussian, Sensitivity: b.Event.Sensitivity, Sigma: float64(b.Event.LocalStdDev),
			Contributors: int64(b.Event.HonestMin), Dimension: int64(b.Event.Values), Reports: int64(b.Event.MaxBatch),
		},
	}
	l := s.lenientLedger(key)
	if a.has("overdraw") {
		head, err := l.Head()
		if err != nil {
			s.t.Fatal(err)
		}
		s.f.ForgeEntry(key, head.Size, req)
		return
	}
	if _, _, err := l.Reserve(ctx, key, req, nil); err != nil {
		s.fail("ledger", err)
	}
}

// paidBy is the checkpoint that a vote for a reserved manifest must name.
func (s *scene) paidBy(id schema.ManifestID) schema.Digest {
	l := s.lenientLedger(s.f.CollectKey)
	x, err := l.Find(ledger.ID(s.round.Name.Task.Digest), ledger.ID(s.round.ID.Digest), ledger.ID(id.Digest))
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := l.At(x.Index + 1)
	if err != nil {
		s.t.Fatal(err)
	}
	return schema.Digest(c.ID())
}

// keepLedger copies the ledger, as a store does that means to show two of them.
func (s *scene) keepLedger(a args) {
	kept := map[string][]byte{}
	prefix := pipeline.LedgerPrefix(s.f.Task.Scope.ID())
	for key := range s.objects() {
		if strings.HasPrefix(key, prefix) {
			kept[key] = s.f.Get(key)
		}
	}
	s.ledgers[a["name"]] = kept
	s.say("store: keeps a copy %s of %d objects", a["name"], len(kept))
}

// putLedger shows the copy, and nothing else of the ledger.
func (s *scene) putLedger(a args) {
	prefix := pipeline.LedgerPrefix(s.f.Task.Scope.ID())
	for key := range s.objects() {
		if strings.HasPrefix(key, prefix) {
			s.f.Replace(key, func([]byte) []byte { return nil })
		}
	}
	for key, b := range s.ledgers[a["name"]] {
		s.f.Put(key, b)
	}
}

// spoil changes or drops an entry of the ledger, or the object that a reservation names.
func (s *scene) spoil(a args) {
	key := pipeline.LedgerPrefix(s.f.Task.Scope.ID()) + ledger.EntryKey(int64(a.int("entry", 0)))
	if a.has("reservation") {
		key = pipeline.ReservationKey(s.f.Task.Scope.ID(), s.round.Name, s.manifests[a["reservation"]])
	}
	s.f.Replace(key, func(b []byte) []byte {
		if _, again := s.hidden[key]; !again {
			s.hidden[key] = slices.Clone(b)
		}
		switch a["how"] {
		case "drop":
			return nil
		case "flip":
			b[len(b)/2] ^= 1
		case "fewer": // vehicles, under the Collector's true signature
			x, err := schema.Decode[schema.Reservation](b)
			if err != nil {
				s.t.Fatal(err)
			}
			x.Body.Vehicles = x.Body.Vehicles[:1]
			signed, err := schema.SignBody(x.Body, s.f.CollectKey)
			if err != nil {
				s.t.Fatal(err)
			}
			return signed.Bytes()
		default:
			panic(fmt.Sprint("how=", a["how"]))
		}
		return b
	})
}

// spoilBack puts the reservation's true object back.
func (s *scene) spoilBack(a args) {
	key := pipeline.ReservationKey(s.f.Task.Scope.ID(), s.round.Name, s.manifests[a["reservation"]])
	s.f.Put(key, s.hidden[key])
}

func (s *scene) hideVotes(a args) {
	for _, k := range a.list("decryptors") {
		key := pipeline.VoteKey(s.rounds["1-0"].Name, k)
		s.hidden[key] = s.f.Get(key)
		s.f.Replace(key, func([]byte) []byte { return nil })
	}
}

// void is a malicious Collector's void of a reservation, without regard to votes.
func (s *scene) void(a args) {
	key := s.f.CollectKey
	id := s.manifests[a["manifest"]]
	err := s.lenientLedger(key).Void(ctx, key, ledger.ID(s.round.Name.Task.Digest), ledger.ID(s.round.ID.Digest), ledger.ID(id.Digest), ledger.ID{}, "nobody voted, I say")
	if err != nil {
		s.fail("ledger", err)
	}
}
