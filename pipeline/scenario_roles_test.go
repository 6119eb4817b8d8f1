package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

var ctx = context.Background()

// commands are what the files may say; power=K cuts the power of the role at its
// write K (from 0), before the write or, with "after", after it.
var commands = map[string]func(*scene, args){}

func init() {
	for name, f := range map[string]func(*scene, args){
		"fleet": (*scene).fleet, "task": (*scene).task, "use": (*scene).use, "clock": (*scene).clock, "enroll": (*scene).enroll,
		"keys": (*scene).keys, "open": (*scene).open, "round": (*scene).select_,
		"report": (*scene).report, "upload": (*scene).upload, "partial": (*scene).partial,
		"close": (*scene).close, "propose": (*scene).propose, "collect": (*scene).collect, "abort": (*scene).abort,
		"check": (*scene).check, "vote": (*scene).vote, "answer": (*scene).answer, "erase": (*scene).erase, "budget": (*scene).budget,
		"handover": (*scene).handover, "renew": (*scene).renew,
	} {
		commands[name] = f
	}
}

// store is the store as the acting role sees it.
func (s *scene) store() storage.Store { return pipelinetest.Powered{Store: s.f.Store, Power: s.power} }

func (s *scene) fleet(a args) {
	task := pipelinetest.Task(a.int("d", 300))
	s.change(&task, a)
	task.PieceBlocks = a.int("piece", 0)
	if a.has("epsilon") {
		task.Scope.Epsilon = schema.Real(a.float("epsilon", 0))
	}
	s.f = pipelinetest.New(s.t, a.int("n", 8), task)
	s.f.Options = []state.Option{state.WithHook(s.power.Hook)}
	s.f.Floor = client.Floor{MinBatchSize: a.int("floor-min", 0), NoiseMultiplier: a.float("floor-z", 0)}
	for i, v := range s.f.Vehicles {
		s.name(v.ID, fmt.Sprintf("v%d", i))
	}
	s.name(s.f.Task.Scope.ID(), "scope")
	s.name(s.f.Snapshot, "snapshot1")
	s.name(s.f.Task.Committee.ID(), "committee0")
	s.told()
}

// change applies a task's options.
func (s *scene) change(task *schema.Task, a args) {
	task.Batch = schema.Batch{Min: a.int("min", task.Batch.Min), Max: a.int("max", task.Batch.Max), MaxDishonest: a.int("fc", task.Batch.MaxDishonest), Lanes: a.int("lanes", task.Batch.Lanes)}
	task.Committee.Size, task.Committee.Threshold, task.Committee.Malicious = a.int("size", 4), a.int("t", 3), a.int("f", 1)
	task.Participation = schema.Participation{Max: a.int("most", 0), MinSeparation: a.int("apart", 1)}
	task.Privacy.NoiseMultiplier = schema.Real(a.float("z", float64(task.Privacy.NoiseMultiplier)))
	s.adaptive(task, a)
}

// told names the task and says what it costs.
func (s *scene) told() {
	name := fmt.Sprintf("t%d", len(s.tasks))
	s.name(s.f.TaskID, name)
	s.tasks[name], s.members[name], s.homes[name] = s.f.Task, s.f.Members, s.f.Homes
	g, err := pipeline.EventGuarantee(s.f.Plan.Event(), s.f.Task.Scope)
	if err != nil {
		s.t.Fatal(err)
	}
	b := s.f.Task.Batch
	s.say("%s: %d vehicles, lists of %d to %d, epsilon %.3f a round, %g allowed", name, len(s.f.Vehicles), b.Min, b.Max, g.Epsilon, float64(s.f.Task.Scope.Epsilon))
}

// task makes another task over the same scope, people and vehicles.
func (s *scene) task(a args) {
	task := s.f.Task
	task.Name, task.Ring, task.Derived = a["name"], schema.Ring{}, schema.Derived{}
	s.change(&task, a)
	s.f.Use(task)
	s.told()
}

func (s *scene) use(a args) {
	s.f.Members, s.f.Homes = s.members[a["task"]], s.homes[a["task"]]
	s.f.Use(s.tasks[a["task"]])
}

func (s *scene) handover(a args) {
	s.each(a, func(d *decryptor.Decryptor) (string, error) {
		h, err := d.Handover(ctx, s.store(), s.f.Plan, int64(a.int("size", 0)))
		return fmt.Sprintf("hands over at %d entries", h.Size), err
	})
}

// renew is what the privacy owner does.
func (s *scene) renew(a args) {
	if err := s.f.Renew(a.list("seats")...); err != nil {
		s.fail("owner", err)
		return
	}
	s.name(s.f.Task.Committee.ID(), fmt.Sprintf("committee%d", len(s.f.Task.Renewal.Lineage)))
	s.told()
}

func (s *scene) clock(a args) {
	for key := range a {
		d, err := time.ParseDuration(strings.TrimPrefix(key, "+"))
		if err != nil {
			s.t.Fatal(err)
		}
		*s.f.Clock = s.now().Add(d)
	}
}

func (s *scene) enroll(a args) {
	var list []client.Identity
	for _, i := range a.list("vehicles") {
		list = append(list, s.f.Vehicles[i])
	}
	s.f.Enroll(uint64(a.int("serial", 1)), list)
	s.name(s.f.Snapshot, fmt.Sprintf("snapshot%d", a.int("serial", 1)))
}

func (s *scene) keys(a args) { s.f.Keys(uint64(a.int("epoch", 1))) }

func (s *scene) open(a args) {
	epoch := uint64(a.int("epoch", 1))
	s.f.Keys(epoch)
	name := s.f.Name(epoch)
	name.Lane = uint32(a.int("lane", 0))
	r, err := s.f.Collector.Open(ctx, s.store(), s.f.Plan, collector.Opening{
		Name: name, Model: []byte(model(a)), OldestModel: uint64(a.int("oldest", 0)), Snapshot: s.f.Snapshot, Deadline: s.now().Add(time.Minute),
	})
	if err != nil {
		s.fail("collector", err)
		return
	}
	s.name(r.ID, "round "+name.String())
	s.name(r.Descriptor.ModelHash, "model "+model(a))
	s.round, s.rounds[roundName(r)] = r, r
	s.say("collector: round %s is open", roundName(r))
	s.sayNorm(r)
}

func model(a args) string {
	if a.has("model") {
		return a["model"]
	}
	return "model"
}

func roundName(r *pipeline.Round) string { return fmt.Sprintf("%d-%d", r.Name.Epoch, r.Name.Lane) }

// select_ makes another round the current one.
func (s *scene) select_(a args) { s.round = s.rounds[a["name"]] }

func (s *scene) nameReport(i int, id schema.ReportID) string {
	name := fmt.Sprintf("r%d", i)
	for n := 2; ; n++ {
		if _, ok := s.reports[name]; !ok {
			break
		}
		name = fmt.Sprintf("r%d.%d", i, n)
	}
	s.reports[name] = id
	s.name(id, name)
	return name
}

func (s *scene) report(a args) {
	var done []string
	for _, i := range a.list("vehicle") {
		u := s.f.Update(i)
		u.ModelHash = schema.HashModel([]byte(model(a)))
		values := slices.Clone(u.Values)
		c, exit := s.f.Vehicle(i)
		defer exit()
		sealed, err := c.SealRound(s.round, u)
		if err != nil {
			s.fail(fmt.Sprintf("vehicle %d", i), err)
			continue
		}
		name := s.nameReport(i, sealed.Report)
		s.updates[sealed.Report] = values
		file, err := os.ReadFile(filepath.Join(s.f.Dir, fmt.Sprintf("vehicle-%d", i), sealed.File()))
		if err != nil {
			s.t.Fatal(err)
		}
		s.sealed[i] = file
		if _, err := c.Upload(ctx, s.store(), sealed.File(), nil); err != nil {
			s.fail(fmt.Sprintf("vehicle %d", i), err)
			continue
		}
		done = append(done, name)
	}
	if len(done) > 0 {
		s.say("vehicles: uploaded %s", strings.Join(done, ","))
	}
}

// upload goes on with what the outbox holds, and compares the store's bytes with those that were sealed.
func (s *scene) upload(a args) {
	for _, i := range a.list("vehicle") {
		c, exit := s.f.Vehicle(i)
		defer exit()
		files, err := c.Pending()
		if err != nil {
			s.t.Fatal(err)
		}
		s.say("vehicle %d: %d in the outbox", i, len(files))
		for _, file := range files {
			id, err := c.Upload(ctx, s.store(), file, nil)
			if err != nil {
				s.fail(fmt.Sprintf("vehicle %d", i), err)
				continue
			}
			var stored []byte
			for j := range s.round.Header().Pieces() {
				stored = append(stored, s.f.Get(pipeline.PieceKey(s.round.Name, id, j))...)
			}
			stored = append(stored, s.f.Get(pipeline.HeaderKey(s.round.Name, id))...)
			s.say("vehicle %d: uploaded %s, the bytes sealed before: %t", i, s.scrub(id.String()), bytes.HasPrefix(s.sealed[i], stored))
		}
	}
}

func (s *scene) ids(list string) []schema.ReportID {
	var ids []schema.ReportID
	for name := range strings.SplitSeq(list, ",") {
		id, ok := s.reports[name]
		if !ok {
			s.t.Fatalf("no report %q", name)
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, schema.CompareReports)
	return ids
}

func (s *scene) partial(a args) {
	res, err := aggregator.Sum(ctx, s.store(), s.round, s.ids(a["reports"]), nil)
	if err != nil {
		s.fail("aggregator", err)
		return
	}
	_, err = aggregator.Store(ctx, s.store(), s.round, &res.PartialSum)
	if err != nil {
		s.fail("aggregator", err)
		return
	}
	s.say("aggregator: added %s", s.reportNames(res.Reports))
	if len(res.Refused) > 0 {
		s.say("aggregator: refused %s", s.refusals(res.Refused))
	}
}

func (s *scene) close(args) {
	id, n, err := s.f.Collector.Close(ctx, s.store(), s.round)
	if err != nil {
		s.fail("collector", err)
		return
	}
	s.say("collector: candidates %s: %d reports", s.nameCandidates(id), n)
}

func (s *scene) nameCandidates(id schema.Digest) string {
	for name, have := range s.candidates {
		if have == id {
			return name
		}
	}
	name := fmt.Sprintf("c%d", len(s.candidates))
	s.candidates[name] = id
	s.name(id, name)
	return name
}

func (s *scene) list(a args) schema.Digest {
	if a.has("list") {
		return s.candidates[a["list"]]
	}
	all, err := pipeline.ListCandidates(ctx, s.f.Store, s.round)
	if err != nil || len(all) == 0 {
		s.t.Fatal("no candidates", err)
	}
	return all[len(all)-1]
}

// first finds which of several reports or vehicles an error names.
var first = regexp.MustCompile(`(report|vehicle) [rv][0-9.]+`)

// each runs a step on decryptors, each as a process that starts now. Decryptors that say the same are named together.
func (s *scene) each(a args, step func(d *decryptor.Decryptor) (string, error)) {
	said := map[string][]string{}
	var order []string
	left, after := s.power.Left, s.power.After
	for _, k := range a.list("decryptors") {
		s.power.Set(left, after)
		d, exit := s.f.Decryptor(k)
		text, err := step(d)
		exit()
		if err != nil {
			text = "error: " + first.ReplaceAllString(s.scrub(err.Error()), "$1 (the first by its hash)")
		}
		if said[text] == nil {
			order = append(order, text)
		}
		said[text] = append(said[text], fmt.Sprint(k))
	}
	for _, text := range order {
		s.say("decryptor %s: %s", strings.Join(said[text], ","), text)
	}
}

func (s *scene) check(a args) {
	s.each(a, func(d *decryptor.Decryptor) (string, error) {
		c, err := d.Check(ctx, s.store(), s.round, s.list(a), nil)
		if err != nil {
			return "", err
		}
		text := fmt.Sprintf("accepts %d", c.Accepted)
		if len(c.Refused) > 0 {
			text += ", refuses " + s.refusals(c.Refused)
		}
		return text, nil
	})
}

func (s *scene) nameManifest(id schema.ManifestID) string {
	for name, have := range s.manifests {
		if have == id {
			return name
		}
	}
	name := fmt.Sprintf("m%d", len(s.manifests))
	s.manifests[name] = id
	s.name(id, name)
	return name
}

func (s *scene) propose(a args) {
	p, err := s.f.Collector.Propose(ctx, s.store(), s.round, s.list(a))
	if err != nil {
		s.fail("collector", err)
		return
	}
	s.say("collector: proposes %s: %d reports", s.nameManifest(p.Manifest), p.Reports)
	if len(p.Refused) > 0 {
		s.say("collector: left out %s", s.refusals(p.Refused))
	}
	if len(p.Ignored) > 0 {
		s.say("collector: ignores the refusals of decryptor %v", p.Ignored)
	}
}

func (s *scene) vote(a args) {
	s.each(a, func(d *decryptor.Decryptor) (string, error) {
		v, err := d.Vote(ctx, s.store(), s.round)
		return "votes for " + s.nameOf(v.Manifest), err
	})
}

func (s *scene) nameOf(id schema.ManifestID) string {
	if id == (schema.ManifestID{}) {
		return "none"
	}
	return s.nameManifest(id)
}

func (s *scene) answer(a args) {
	s.each(a, func(d *decryptor.Decryptor) (string, error) {
		x, err := d.Answer(ctx, s.store(), s.round, nil)
		return "answers for " + s.nameOf(x.Manifest), err
	})
}

func (s *scene) erase(a args) {
	s.each(a, func(d *decryptor.Decryptor) (string, error) {
		n, err := d.Erase()
		return fmt.Sprintf("erased the keys of %d rounds", n), err
	})
}
