package pipeline_test

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

func init() {
	for name, f := range map[string]func(*scene, args){
		"forge": (*scene).forge, "tamper": (*scene).tamper, "copy": (*scene).copy, "manifest": (*scene).manifest, "plant": (*scene).plant,
		"falsevote": (*scene).falseVote, "lie": (*scene).lie, "lose": (*scene).lose, "refuse": (*scene).refuse,
		"hide": (*scene).hide, "show": (*scene).show, "reopen": (*scene).reopen,
	} {
		commands[name] = f
	}
}

func (s *scene) otherKey() ed25519.PrivateKey {
	_, k, err := ed25519.GenerateKey(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

// forge uploads a malicious vehicle's report. with= says what is wrong with it.
func (s *scene) forge(a args) {
	for _, i := range a.list("vehicle") {
		v := client.Identity{Key: s.otherKey(), ID: schema.VehicleID{1}}
		if i < len(s.f.Vehicles) {
			v = s.f.Vehicles[i]
		}
		name := s.nameReport(i, s.f.Forge(s.round, v, s.forgery(i, a)))
		s.say("vehicle %d: uploaded %s", i, name)
	}
}

func (s *scene) forgery(i int, a args) pipelinetest.Forgery {
	var g pipelinetest.Forgery
	switch a["with"] {
	case "nothing":
	case "later-id": // a second report of this vehicle; of two the smaller ReportID counts
		first := s.reports[fmt.Sprintf("r%d", i)]
		g.Accept = func(id schema.ReportID) bool { return schema.CompareReports(id, first) > 0 }
	case "little-noise":
		g.Params = s.f.Weak()
	case "garbage": // one block of values near Q/3, where the whole task has B
		block, n, q := a.int("block", 0), s.f.Plan.Secagg.N(), int32(s.f.Plan.Secagg.Q())
		g.Values = func(offset int, dst []int32) {
			for j := range dst {
				if offset/n == block {
					dst[j] = q / 3
				}
			}
		}
	case "corr": // adds one to a residue of corr, and says so in header and signature
		g.Corr = func(corr []byte) { corr[0] ^= 1 }
	case "box-of": // boxes, corr and commitments of another report
		victim := s.stored(a["report"])
		g.Corr = func(corr []byte) { copy(corr, victim.Corr()) }
		g.Header = func(h *schema.Header) { h.Commitments = victim.Header.Commitments }
		g.Boxes = func(_ schema.ReportID, boxes [][]byte) {
			for k := range boxes {
				b, err := victim.Box(k)
				if err != nil {
					s.t.Fatal(err)
				}
				boxes[k] = b
			}
		}
	case "bad-box": // for one decryptor
		g.Boxes = func(_ schema.ReportID, boxes [][]byte) { boxes[a.int("decryptor", 0)][40] ^= 1 }
	case "commitment":
		g.Header = func(h *schema.Header) { h.Commitments[a.int("set", 0)][0] ^= 1 }
	case "root":
		g.Header = func(h *schema.Header) { h.Root[0] ^= 1 }
	case "round":
		g.Header = func(h *schema.Header) { h.RoundID = schema.RoundID{Digest: schema.Digest{1}} }
	case "lane":
		g.Header = func(h *schema.Header) { h.Lane++ }
	case "values": // as many blocks, one value fewer
		g.Header = func(h *schema.Header) { h.Values-- }
	case "key":
		g.Key = s.otherKey()
	default:
		s.t.Fatal("with=" + a["with"])
	}
	return g
}

func (s *scene) stored(name string) *schema.Report {
	rep, err := schema.DecodeReport(s.f.Get(pipeline.HeaderKey(s.round.Name, s.reports[name])))
	if err != nil {
		s.t.Fatal(err)
	}
	return rep
}

// tamper changes one byte of a stored report, or deletes an object of it.
func (s *scene) tamper(a args) {
	id := s.reports[a["report"]]
	header, piece := pipeline.HeaderKey(s.round.Name, id), pipeline.PieceKey(s.round.Name, id, 0)
	h := s.stored(a["report"]).Header
	box, _ := h.BoxOffset(a.int("box", 0))
	signature, _ := h.BoxOffset(0)
	flip := func(at int64) func([]byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				at += int64(len(b))
			}
			b[at] ^= 1
			return b
		}
	}
	switch a["part"] {
	case "piece":
		s.f.Replace(piece, flip(0))
	case "no-piece":
		s.f.Replace(piece, func([]byte) []byte { return nil })
	case "short-piece":
		s.f.Replace(piece, func(b []byte) []byte { return b[1:] })
	case "long-header":
		s.f.Replace(header, func(b []byte) []byte { return append(b, 0) })
	case "header":
		s.f.Replace(header, flip(90))
	case "signature":
		s.f.Replace(header, flip(signature-1))
	case "box":
		s.f.Replace(header, flip(box))
	case "corr":
		s.f.Replace(header, flip(-1))
	default:
		s.t.Fatal("part=" + a["part"])
	}
}

// copy puts a report of another round into this one, byte for byte.
func (s *scene) copy(a args) {
	from := s.rounds[a["from"]]
	id := s.reports[a["report"]]
	for j := range from.Header().Pieces() {
		s.f.Put(pipeline.PieceKey(s.round.Name, id, j), s.f.Get(pipeline.PieceKey(from.Name, id, j)))
	}
	s.f.Put(pipeline.HeaderKey(s.round.Name, id), s.f.Get(pipeline.HeaderKey(from.Name, id)))
}

// manifest is a list that a malicious Collector signs and reserves as it likes.
func (s *scene) manifest(a args) {
	key := s.f.CollectKey
	if a.has("unsigned") {
		key = s.otherKey()
	}
	ids := s.ids(a["reports"])
	m, err := schema.SignBody(schema.Manifest{Version: schema.Version, RoundID: s.round.ID, Reports: ids}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	id := schema.NewManifestID(m)
	s.f.Put(pipeline.ManifestKey(s.round.Name, id), m.Bytes())
	s.say("collector: proposes %s: %d reports", s.nameManifest(id), len(ids))
	if !a.has("unreserved") {
		s.reserve(a, key, id, ids)
	}
}

// reserve writes the vehicles that a manifest charges, and unless "unledgered" the ledger's entry.
func (s *scene) reserve(a args, key ed25519.PrivateKey, id schema.ManifestID, ids []schema.ReportID) {
	res := schema.Reservation{
		Version: schema.Version, Scope: s.round.Task.Scope.ID(), TaskID: s.round.Name.Task, RoundID: s.round.ID, Epoch: s.round.Name.Epoch, Lane: s.round.Name.Lane,
		Manifest: id, Event: s.round.Event(), Vehicles: s.vehicles(a, ids),
	}
	if a.has("cheap") {
		res.Event.NoiseMultiplier, res.Event.LocalStdDev = 1000, 1e6
	}
	signed, err := schema.SignBody(res, key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.f.Put(pipeline.ReservationKey(res.Scope, s.round.Name, id), signed.Bytes())
	if !a.has("unledgered") {
		s.append(a, key, signed)
	}
}

// vehicles are those of the reports, or the vehicles= that the Collector prefers to charge.
func (s *scene) vehicles(a args, ids []schema.ReportID) []schema.VehicleID {
	var v []schema.VehicleID
	if a.has("vehicles") {
		for _, i := range a.list("vehicles") {
			v = append(v, s.f.Vehicles[i].ID)
		}
	} else {
		for _, id := range ids {
			v = append(v, s.stored(s.scrub(id.String())).Header.Vehicle)
		}
	}
	pipeline.SortVehicles(v)
	return slices.Compact(v)
}

// plant puts an object that nobody entitled to it has made.
func (s *scene) plant(a args) {
	n, other := s.round.Name, s.otherKey()
	switch a["object"] {
	case "receipt":
		x, err := schema.SignBody(schema.Receipt{
			Version: schema.Version, Status: schema.StatusVoid, Reason: "forged", TaskID: n.Task, RoundID: s.round.ID, Epoch: n.Epoch, Lane: n.Lane,
			Votes: []schema.Digest{}, Answers: []schema.Digest{}, Dropped: []int{}, Convicted: []int{}, Event: s.round.Event(),
		}, other)
		s.put(pipeline.ReceiptKey(n), x.Bytes(), err)
	case "reservation":
		id := schema.ManifestID{Digest: schema.Digest{9}}
		x, err := schema.SignBody(schema.Reservation{
			Version: schema.Version, Scope: s.round.Task.Scope.ID(), TaskID: n.Task, RoundID: s.round.ID, Epoch: n.Epoch, Lane: n.Lane,
			Manifest: id, Event: s.round.Event(), Vehicles: []schema.VehicleID{s.f.Vehicles[0].ID},
		}, other)
		s.put(pipeline.ReservationKey(s.round.Task.Scope.ID(), n, id), x.Bytes(), err)
	case "vote":
		x, err := schema.SignBody(schema.Vote{Version: schema.Version, RoundID: s.round.ID, Index: a.int("index", 0), Manifest: schema.ManifestID{Digest: schema.Digest{1}}, Checkpoint: schema.Digest{1}}, other)
		s.put(pipeline.VoteKey(n, a.int("index", 0)), x.Bytes(), err)
	case "answer":
		share := make([]byte, s.round.Secagg.BlockBytes())
		x := schema.Answer{Version: schema.Version, RoundID: s.round.ID, Index: a.int("index", 0), Manifest: schema.ManifestID{Digest: schema.Digest{1}}}
		for range s.round.Secagg.HeldSets() {
			x.Shares = append(x.Shares, share)
		}
		signed, err := schema.SignBody(x, other)
		s.put(pipeline.AnswerKey(n, a.int("index", 0)), signed.Bytes(), err)
	case "candidates":
		l := schema.Candidates{Version: schema.Version, RoundID: s.round.ID, Reports: s.ids(a["reports"])}
		raw, err := l.Encode()
		s.put(pipeline.CandidatesKey(n, l.ID()), raw, err)
		s.say("somebody: candidates %s: %d reports", s.nameCandidates(l.ID()), len(l.Reports))
	case "partial": // a partial sum whose list lies: the sum of other reports
		res, err := aggregator.Sum(ctx, s.f.Store, s.round, s.ids(a["sum"]), nil)
		if err != nil {
			s.t.Fatal(err)
		}
		res.Reports = s.ids(a["reports"])
		raw, id, err := res.Encode(s.round)
		s.put(pipeline.PartialKey(n, id), raw, err)
	case "junk":
		folders := strings.NewReplacer("ROUND/", pipeline.RoundPrefix(n), "TASK/", "tasks/"+n.Task.String()+"/", "LEDGER/", pipeline.LedgerPrefix(s.f.Task.Scope.ID()))
		s.put(folders.Replace(a["key"]), []byte("junk"), nil)
	default:
		s.t.Fatal("object=" + a["object"])
	}
}

func (s *scene) put(key string, b []byte, err error) {
	if err != nil {
		s.t.Fatal(err)
	}
	s.f.Put(key, b)
}

// falseVote is a malicious decryptor's vote for a manifest of its choice.
func (s *scene) falseVote(a args) {
	k, id := a.int("decryptor", 3), s.manifests[a["manifest"]]
	checkpoint := schema.Digest{1}
	if !a.has("unpaid") {
		checkpoint = s.paidBy(id)
	}
	v, err := schema.SignBody(schema.Vote{Version: schema.Version, RoundID: s.round.ID, Index: k, Manifest: id, Checkpoint: checkpoint}, s.f.Members[k])
	s.put(pipeline.VoteKey(s.round.Name, k), v.Bytes(), err)
}

// lie replaces a decryptor's answer by a wrong one under its own signature.
func (s *scene) lie(a args) {
	for _, k := range a.list("decryptors") {
		key := pipeline.AnswerKey(s.round.Name, k)
		x, err := schema.Decode[schema.Answer](s.f.Get(key))
		if err != nil {
			s.t.Fatal(err)
		}
		b := x.Body
		b.Shares = slices.Clone(b.Shares)
		b.Shares[0] = slices.Clone(b.Shares[0])
		b.Shares[0][8*k] ^= 1 // no two lies cancel
		signed, err := schema.SignBody(b, s.f.Members[k])
		if err != nil {
			s.t.Fatal(err)
		}
		s.f.Replace(key, func([]byte) []byte { return signed.Bytes() })
	}
}

// lose deletes a role's state directory.
func (s *scene) lose(a args) {
	if err := os.RemoveAll(filepath.Join(s.f.Dir, a["who"])); err != nil {
		s.t.Fatal(err)
	}
}

// refuse is a malicious decryptor's check that refuses the given reports.
func (s *scene) refuse(a args) {
	k, list := a.int("decryptor", 3), s.list(a)
	c := schema.Check{Version: schema.Version, RoundID: s.round.ID, Index: k, Candidates: list, Refused: []schema.Refusal{}}
	for _, id := range s.ids(a["reports"]) {
		c.Refused = append(c.Refused, schema.Refusal{Report: id, Reason: schema.ReasonBox})
	}
	x, err := schema.SignBody(c, s.f.Members[k])
	s.put(pipeline.CheckKey(s.round.Name, list, k), x.Bytes(), err)
}

// hide keeps a manifest from everybody until show, as a malicious store does.
func (s *scene) hide(a args) {
	key := pipeline.ManifestKey(s.round.Name, s.manifests[a["manifest"]])
	s.hidden[key] = s.f.Get(key)
	s.f.Replace(key, func([]byte) []byte { return nil })
}

func (s *scene) show(args) {
	for key, b := range s.hidden {
		s.f.Put(key, b)
	}
	clear(s.hidden)
}

// reopen puts another descriptor in the place of the first.
func (s *scene) reopen(a args) {
	name := s.f.Name(uint64(a.int("epoch", 1)))
	s.f.Replace(pipeline.DescriptorKey(name), func([]byte) []byte { return nil })
	s.open(a)
}
