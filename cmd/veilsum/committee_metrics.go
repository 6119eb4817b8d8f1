package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
	"github.com/veilsum/veilsum/schema"
)

// committeeMetrics are what "committee serve" tells of its work. No label names a vehicle or a round.
type committeeMetrics struct {
	registry *prometheus.Registry
	steps    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	spent    *prometheus.GaugeVec
	allowed  *prometheus.GaugeVec
	read     *prometheus.GaugeVec
	budgets  *budgetReader
	tasks    []schema.TaskID
	asked    time.Time // when the budgets were read last
	votes    int       // at that time

	mu    sync.Mutex
	stats watch.Stats // after the last pass
	last  time.Time   // its end
}

// budgetEvery is how often the ledgers are read for the metrics, unless this decryptor voted.
const budgetEvery = time.Minute

// The outcomes of a step.
const (
	stepDone    = "done"
	stepWaiting = "waiting" // others come first
	stepFailed  = "failed"
)

var watchedSteps = []watch.Action{watch.Accept, watch.Check, watch.Vote, watch.Answer}

func newCommitteeMetrics(c watch.Config) *committeeMetrics {
	budget := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"scope"})
	}
	m := &committeeMetrics{
		registry: newRegistry(), budgets: newBudgetReader(c.Store, c.Owner), tasks: c.Tasks,
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "veilsum_committee_steps_total", Help: "Steps in rounds by what they were and how they ended: done, waiting (others come first) or failed.",
		}, []string{"step", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "veilsum_committee_step_seconds", Help: "Time of a step, with the store.", Buckets: []float64{.01, .05, .2, 1, 5, 20, 60, 300, 1800},
		}, []string{"step"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "veilsum_committee_refused_reports_total", Help: "Reports that this decryptor's checks refused, by reason.",
		}, []string{"reason"}),
		spent:   budget("veilsum_budget_epsilon_spent", "Epsilon that the scope's ledger charges, at the scope's delta, as this decryptor read it."),
		allowed: budget("veilsum_budget_epsilon_allowed", "Epsilon that the scope's owner allows."),
		read:    budget("veilsum_budget_read_timestamp_seconds", "When the scope's ledger was read and verified last."),
	}
	for _, s := range watchedSteps {
		for _, outcome := range []string{stepDone, stepWaiting, stepFailed} {
			m.steps.WithLabelValues(string(s), outcome)
		}
	}
	m.registry.MustRegister(m.steps, m.seconds, m.refused, m.spent, m.allowed, m.read)
	m.watch()
	return m
}

// watch adds what a pass leaves in the watcher's Stats.
func (m *committeeMetrics) watch() {
	get := func(f func(watch.Stats, time.Time) float64) func() float64 {
		return func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			return f(m.stats, m.last)
		}
	}
	counter := func(name, help string, f func(watch.Stats, time.Time) float64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, get(f)))
	}
	gauge := func(name, help string, f func(watch.Stats, time.Time) float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, get(f)))
	}
	counter("veilsum_committee_passes_total", "Looks at the store.", func(s watch.Stats, _ time.Time) float64 { return float64(s.Passes) })
	counter("veilsum_committee_round_keys_published_total", "Round keys made and published.", func(s watch.Stats, _ time.Time) float64 { return float64(s.Keys) })
	counter("veilsum_committee_round_keys_erased_total", "Round keys erased since they had expired; an answer erases its own.", func(s watch.Stats, _ time.Time) float64 { return float64(s.Erased) })
	gauge("veilsum_committee_open_rounds", "Rounds that go on.", func(s watch.Stats, _ time.Time) float64 { return float64(s.Open) })
	gauge("veilsum_committee_troubled", "Rounds and tasks that end in an error at the moment; the log tells it.", func(s watch.Stats, _ time.Time) float64 { return float64(s.Troubled) })
	gauge("veilsum_committee_paused", "1 while the policy's pause file exists.", func(s watch.Stats, _ time.Time) float64 { return map[bool]float64{true: 1}[s.Paused] })
	gauge("veilsum_committee_oldest_open_round_age_seconds", "Time since this process first saw the oldest open round; 0 if none is open.", func(s watch.Stats, last time.Time) float64 {
		if s.Oldest.IsZero() {
			return 0
		}
		return max(0, time.Since(s.Oldest).Seconds())
	})
	gauge("veilsum_committee_last_pass_timestamp_seconds", "End of the last pass, Unix time; 0 before the first.", func(_ watch.Stats, last time.Time) float64 { return unixSeconds(last) })
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// observe counts a step; it runs in the watcher's goroutine.
func (m *committeeMetrics) observe(s watch.Step) {
	m.steps.WithLabelValues(string(s.Action), stepOutcome(s.Err)).Inc()
	m.seconds.WithLabelValues(string(s.Action)).Observe(s.Duration.Seconds())
	for reason, n := range s.Refused {
		m.refused.WithLabelValues(reason).Add(float64(n))
	}
}

func stepOutcome(err error) string {
	switch {
	case err == nil:
		return stepDone
	case errors.Is(err, pipeline.ErrNotReady) || errors.Is(err, pipeline.ErrDecryptors):
		return stepWaiting
	}
	return stepFailed
}

// pass keeps what a pass left, and reads the budgets now and then: errors leave the old figures with their time.
func (m *committeeMetrics) pass(ctx context.Context, s watch.Stats) {
	m.mu.Lock()
	m.stats, m.last = s, time.Now()
	m.mu.Unlock()
	if time.Since(m.asked) < budgetEvery && s.Votes == m.votes {
		return
	}
	m.asked, m.votes = time.Now(), s.Votes
	for _, id := range m.tasks {
		b, err := m.budgets.task(ctx, id)
		if err != nil {
			continue // the pass, which reads the same objects, has told it
		}
		scope := b.plan.Task.Scope.ID().String()
		m.spent.WithLabelValues(scope).Set(b.report.Guarantee.Epsilon)
		m.allowed.WithLabelValues(scope).Set(float64(b.plan.Task.Scope.Epsilon))
		m.read.WithLabelValues(scope).Set(unixSeconds(m.asked))
	}
}
