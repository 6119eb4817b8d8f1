package pipeline_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// schedule is a round played by an arbitrary schedule, with what must stay true.
type schedule struct {
	*pipelinetest.Fleet
	rt     *rapid.T
	power  pipelinetest.Power
	round  *pipeline.Round
	sealed map[int]schema.ReportID
	votes  map[int]schema.Vote // the first vote that each decryptor gave
	// aborted tells that Abort was tried: only then may a round with enough reports end void.
	aborted bool
	// hostile tells that the store was tampered with: then any error is allowed.
	hostile bool
	mean    []float64 // what a collector published
}

// TestAnySchedule plays rounds in which every role acts at any time, in any
// order, and loses its power before or after any of its durable writes, then
// lets everybody act once more. Every round ends in one committed aggregate or
// one void, the charge is that of the receipt, no decryptor ever gives two votes, and the mean is right.
// False alarm rate: 100 rounds of 20 values beyond 6 standard deviations, 4e-6.
func TestAnySchedule(t *testing.T) {
	outcomes := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t, rt)
		for range rapid.IntRange(0, 60).Draw(rt, "steps") {
			m.step()
		}
		m.power.Restore()
		m.finish()
		outcomes[m.judge()]++
	})
	t.Logf("%v", outcomes)
}

func newModel(t *testing.T, rt *rapid.T) *schedule {
	m := &schedule{rt: rt, power: pipelinetest.Power{Left: -1}, sealed: map[int]schema.ReportID{}, votes: map[int]schema.Vote{}}
	m.Fleet = pipelinetest.New(t, rapid.IntRange(4, 7).Draw(rt, "vehicles"), pipelinetest.Task(20))
	m.round = m.Open(1)
	m.Options = []state.Option{state.WithHook(m.power.Hook)}
	return m
}

func (m *schedule) store() storage.Store {
	return pipelinetest.Powered{Store: m.Store, Power: &m.power}
}

// step lets one role act, with the power to do so many durable writes.
func (m *schedule) step() {
	m.power = pipelinetest.Power{Left: rapid.IntRange(-1, 3).Draw(m.rt, "writes"), After: rapid.Bool().Draw(m.rt, "after")}
	who := rapid.IntRange(0, len(m.Vehicles)+10).Draw(m.rt, "who") - len(m.Vehicles)
	switch {
	case who < 0:
		m.vehicle(who + len(m.Vehicles))
	case who < 8:
		m.decryptor(who % 4)
	case who < 10 || rapid.IntRange(0, 9).Draw(m.rt, "abort") > 0:
		m.collector()
	default:
		m.aborted = true
		_, err := m.Collector.Abort(ctx, m.store(), m.round, "aborted")
		m.allow(err)
	}
}

// allow fails on errors that an honest role never meets.
func (m *schedule) allow(err error) {
	if m.hostile {
		return
	}
	for _, ok := range []error{
		nil, pipelinetest.ErrPower, pipeline.ErrEnded, pipeline.ErrNotReady, pipeline.ErrDecryptors,
		decryptor.ErrNoKey, client.ErrEpoch, collector.ErrVoted,
	} {
		if errors.Is(err, ok) {
			return
		}
	}
	m.rt.Fatalf("unexpected: %v", err)
}

func (m *schedule) vehicle(i int) {
	c, exit := m.Vehicle(i)
	defer exit()
	if s, err := c.SealRound(m.round, m.Update(i)); err == nil {
		m.sealed[i] = s.Report
	} else {
		m.allow(err)
	}
	files, err := c.Pending()
	if err != nil {
		m.rt.Fatal(err)
	}
	for _, file := range files {
		_, err := c.Upload(ctx, m.store(), file, nil)
		m.allow(err)
	}
}

// decryptor does all that it can: check, vote, answer.
func (m *schedule) decryptor(k int) {
	d, exit := m.Decryptor(k)
	defer exit()
	lists, err := pipeline.ListCandidates(ctx, m.Store, m.round)
	m.allow(err)
	for _, l := range lists {
		_, err := d.Check(ctx, m.store(), m.round, l, nil)
		m.allow(err)
	}
	if m.power.Dead() {
		return
	}
	v, err := d.Vote(ctx, m.store(), m.round)
	m.allow(err)
	if old, ok := m.votes[k]; err == nil && ok && old != v {
		m.rt.Fatalf("decryptor %d voted twice: %v, %v", k, old, v)
	} else if err == nil {
		m.votes[k] = v
	}
	_, err = d.Answer(ctx, m.store(), m.round, nil)
	m.allow(err)
}

func (m *schedule) collector() {
	list, _, err := m.Collector.Close(ctx, m.store(), m.round)
	m.allow(err)
	if err == nil {
		_, err = m.Collector.Propose(ctx, m.store(), m.round, list)
		m.allow(err)
	}
	got, err := m.Collector.Collect(ctx, m.store(), m.round, nil)
	m.allow(err)
	if err == nil && got.Mean != nil {
		m.mean = got.Mean
	}
}

// finish lets everybody act without faults; sometimes the vehicles that did not report yet stay away.
func (m *schedule) finish() {
	if rapid.IntRange(0, 4).Draw(m.rt, "vehicles stay away") > 0 {
		for i := range m.Vehicles {
			m.vehicle(i)
		}
	}
	m.collector()
	for range 3 { // check, vote, answer
		for k := range 4 {
			m.decryptor(k)
		}
		m.collector()
	}
	if pipeline.Ended(ctx, m.Store, m.round) == nil {
		ids, err := pipeline.ListReports(ctx, m.Store, m.round.Name)
		if err != nil || len(ids) >= m.Task.Batch.Min {
			m.rt.Fatalf("%d reports and no receipt (%v)", len(ids), err)
		}
		m.aborted = true
		_, err = m.Collector.Abort(ctx, m.store(), m.round, "too few reports")
		m.allow(err)
	}
}

// judge checks the receipt against votes, charges and the mean.
func (m *schedule) judge() string {
	r, err := pipeline.LoadReceipt(ctx, m.Store, m.round)
	if err != nil {
		m.rt.Fatal(err)
	}
	votes, err := pipeline.LoadVotes(ctx, m.Store, m.round)
	if err != nil {
		m.rt.Fatal(err)
	}
	c, err := pipeline.LoadCharges(ctx, m.Store, m.Task.Scope, m.Task.Owner)
	if err != nil {
		m.rt.Fatal(err)
	}
	charged := r.Status == schema.StatusCommitted || !r.Checkpoint.IsZero() || len(votes) > 0
	if want := map[bool]int{true: 1, false: 0}[charged]; c.Epochs() != want {
		m.rt.Fatalf("%s with %d votes: %d epochs charged, want %d", r.Status, len(votes), c.Epochs(), want)
	}
	m.ledgerSays(r, len(votes) > 0)
	if r.Status == schema.StatusVoid {
		if !m.aborted {
			m.rt.Fatalf("void: %s", r.Reason)
		}
		m.nothingOpened(votes)
		return "void"
	}
	m.meanIsRight(r)
	return "committed"
}

// ledgerSays checks that the ledger has one standing reservation at most, ended as the receipt says.
func (m *schedule) ledgerSays(r schema.Receipt, voted bool) {
	l, err := m.round.OpenLedger(ctx, m.Store, nil)
	if err != nil {
		m.rt.Fatal(err)
	}
	report, err := l.Audit(ctx, ledger.Checkpoint{})
	if err != nil {
		m.rt.Fatal(err)
	}
	if report.Reservations > 1 || report.Settled+report.Voided != report.Reservations || report.Unsigned > 0 && report.Head.Size > 1 {
		m.rt.Fatalf("%s, votes %t, but the ledger has %+v", r.Status, voted, report)
	}
	if r.Status == schema.StatusCommitted && report.Settled != 1 {
		m.rt.Fatalf("committed, but the ledger has %+v", report)
	}
}

// nothingOpened checks that a round that was void before its votes showed has no answers.
func (m *schedule) nothingOpened(votes map[int]schema.Signed[schema.Vote]) {
	for _, v := range votes {
		a, err := pipeline.LoadAnswers(ctx, m.Store, m.round, v.Body.Manifest)
		if err != nil || len(a) > 0 {
			m.rt.Fatalf("%d answers in a void round (%v)", len(a), err)
		}
	}
}

func (m *schedule) meanIsRight(r schema.Receipt) {
	mean, err := m.open(r)
	if err != nil {
		m.rt.Fatal(err)
	}
	m.compare(r, mean)
}

// compare compares a mean with that of the updates in the receipt's manifest.
func (m *schedule) compare(r schema.Receipt, mean []float64) {
	manifest, err := pipeline.LoadManifest(ctx, m.Store, m.round, r.Manifest)
	if err != nil {
		m.rt.Fatal(err)
	}
	n, want := float64(len(manifest.Reports)), make([]float64, len(mean))
	listed := map[schema.ReportID]bool{}
	for _, id := range manifest.Reports {
		listed[id] = true
	}
	for i, id := range m.sealed {
		for j, v := range m.Update(i).Values {
			if listed[id] {
				want[j] += float64(v) / n
			}
		}
	}
	enc, err := privacy.NewEncoder(m.round.Privacy, m.round.ID.Digest)
	if err != nil {
		m.rt.Fatal(err)
	}
	for j := range want {
		if math.Abs(mean[j]-want[j]) > 6*enc.NoiseStdDev(len(manifest.Reports)) {
			m.rt.Fatalf("value %d: %g, want %g", j, mean[j], want[j])
		}
	}
}

// open opens the round again from what the store holds.
func (m *schedule) open(r schema.Receipt) ([]float64, error) {
	sum, err := aggregator.Load(ctx, m.Store, m.round, r.Sum)
	if err != nil {
		return nil, err
	}
	answers, err := pipeline.LoadAnswers(ctx, m.Store, m.round, r.Manifest)
	if err != nil {
		return nil, err
	}
	var members []int
	for k := range answers {
		members = append(members, k)
	}
	x, err := openWith(m.round, sum, answers, members)
	if err != nil {
		return nil, err
	}
	enc, err := privacy.NewEncoder(m.round.Privacy, m.round.ID.Digest)
	if err != nil {
		return nil, err
	}
	return enc.DecodeInt32(x, len(sum.Reports))
}
