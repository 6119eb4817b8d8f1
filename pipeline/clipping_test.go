package pipeline_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// fixedTask is a task whose every field is fixed, keys too.
func fixedTask() schema.Task {
	t := pipelinetest.Task(300)
	for k := range t.Committee.Size {
		t.Committee.Keys = append(t.Committee.Keys, schema.PublicKey{byte(k + 1)})
	}
	t.Collector, t.Authority, t.Owner = schema.PublicKey{11}, schema.PublicKey{12}, schema.PublicKey{13}
	return t
}

// TestOldTasksKeepTheirName: a task without adaptive clipping has the TaskID, the event and the sizes that it had before
// there was any, so vehicles and decryptors go on with it.
func TestOldTasksKeepTheirName(t *testing.T) {
	done, err := pipeline.Complete(fixedTask())
	if err != nil {
		t.Fatal(err)
	}
	id := taskID(t, done)
	if want := "10747799c63e7ff20d041201e99e8d673b1a4f08b51b68cbcfe2c3f7e33ec8b9"; id.String() != want {
		t.Errorf("TaskID %s, was %s", id, want)
	}
	p, err := pipeline.NewPlan(done)
	if err != nil {
		t.Fatal(err)
	}
	if p.Event().Values != 300 || p.Secagg.Values() != 300 || p.Header().Values != 300 {
		t.Errorf("%d values charged, %d sealed, %d in the header", p.Event().Values, p.Secagg.Values(), p.Header().Values)
	}
}

func taskID(t *testing.T, task schema.Task) schema.TaskID {
	t.Helper()
	signed, err := schema.SignBody(task, pipelinetest.New(t, 1, pipelinetest.Task(8)).Owner)
	if err != nil {
		t.Fatal(err)
	}
	return schema.NewTaskID(signed)
}

// adaptiveTask lets the norm follow; the count's noise is about that of a batch of 4.
func adaptiveTask(d int) schema.Task {
	t := pipelinetest.Task(d)
	t.Privacy.Adaptive = &schema.Adaptive{CountStdDev: 2}
	return t
}

// TestAdaptivePlan: every rule is stated in the signed task, one more value is sealed and charged, and D grows by
// what the indicator takes; nothing else differs from the task without it.
func TestAdaptivePlan(t *testing.T) {
	for _, trust := range []string{"distributed", "local"} {
		plain := fixedTask()
		plain.Privacy.TrustModel = trust
		task := plain
		task.Privacy.Adaptive = &schema.Adaptive{CountStdDev: 4}
		done, err := pipeline.Complete(task)
		if err != nil {
			t.Fatal(trust, err)
		}
		if task.Privacy.Adaptive.LearningRate != 0 {
			t.Error("Complete wrote into its argument")
		}
		if want := (schema.Adaptive{TargetQuantile: 0.5, LearningRate: 0.2, CountStdDev: 4, MinNorm: 1. / 1024, MaxNorm: 1024}); *done.Privacy.Adaptive != want {
			t.Errorf("%s: %+v, want %+v", trust, *done.Privacy.Adaptive, want)
		}
		p, err := pipeline.NewPlan(done)
		if err != nil {
			t.Fatal(err)
		}
		e := p.Event()
		if e.Values != 301 || p.Secagg.Values() != 301 || p.Header().Values != 301 || done.Derived.Values != 300 || p.Privacy.Values() != 300 {
			t.Errorf("%s: %d values charged, %d sealed, %d in the header, %d derived", trust, e.Values, p.Secagg.Values(), p.Header().Values, done.Derived.Values)
		}
		same, err := pipeline.Complete(plain)
		if err != nil {
			t.Fatal(err)
		}
		if d := same.Derived.Sensitivity; e.Sensitivity <= d || e.Sensitivity > d+d/4 || float64(p.Privacy.Sensitivity()) < p.Privacy.UpdateBound() {
			t.Errorf("%s: D is %d, %d without the indicator", trust, e.Sensitivity, d)
		}
		done.Privacy.Adaptive.CountStdDev = 2.1 // the indicator takes more
		if _, err := pipeline.NewPlan(done); !errors.Is(err, pipeline.ErrTask) {
			t.Errorf("%s: D of another indicator: %v", trust, err)
		}
	}
}

// TestAdaptiveRefused: a count whose noise would take more than half of D, and mechanisms without room for an indicator.
func TestAdaptiveRefused(t *testing.T) {
	for name, change := range map[string]func(*schema.Privacy){
		"count":   func(p *schema.Privacy) { p.Adaptive.CountStdDev = 0.9 },
		"default": func(p *schema.Privacy) { p.Adaptive.CountStdDev = 0 }, // min_batch_size/20 = 0.2
		"laplace": func(p *schema.Privacy) { p.TrustModel, p.Mechanism = "local", "laplace" },
		"rate":    func(p *schema.Privacy) { p.Adaptive.LearningRate = 5 },
		"norms":   func(p *schema.Privacy) { p.Adaptive.MinNorm = 2 },
	} {
		task := adaptiveTask(100)
		change(&task.Privacy)
		if _, err := pipeline.Complete(task); !errors.Is(err, pipeline.ErrTask) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAdaptiveLocal plays a round of the local model: each vehicle's own noise protects its indicator too.
func TestAdaptiveLocal(t *testing.T) {
	task := adaptiveTask(60)
	task.Privacy.TrustModel, task.Privacy.Adaptive.CountStdDev = "local", 4
	f := pipelinetest.New(t, 4, task)
	r := f.Open(1)
	for i := range 4 {
		f.Report(r, i)
	}
	playOut(t, f, r)
	c, err := pipeline.LoadReceipt(ctx, f.Store, r)
	if err != nil || c.Unclipped == nil {
		t.Fatal(c.Unclipped, err)
	}
	next := f.Open(2)
	if want, err := r.NextClippingNorm(c); err != nil || next.Descriptor.ClippingNorm != want || next.Privacy.ClippingNorm() != float64(want) {
		t.Errorf("norm %g, want %g: %v", float64(next.Descriptor.ClippingNorm), float64(want), err)
	}
}

// TestAdaptiveLanes: the lanes of an epoch follow from one round, the lowest lane of the newest epoch that is
// committed; each lane may be an epoch ahead of the others.
func TestAdaptiveLanes(t *testing.T) {
	f, byLane := twoLanes(t, adaptiveTask(50))
	open := func(epoch uint64, lane uint32) *pipeline.Round {
		t.Helper()
		n := f.Name(epoch)
		n.Lane = lane
		r, err := f.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{Name: n, Model: []byte("model"), Snapshot: f.Snapshot, Deadline: f.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	play := func(r *pipeline.Round) {
		for _, i := range byLane[r.Name.Lane][:4] {
			f.Report(r, i)
		}
		playOut(t, f, r)
	}
	for epoch := range uint64(4) {
		f.Keys(epoch + 1)
	}
	a, b := open(1, 0), open(1, 1)
	if !a.Descriptor.ClippingRound.IsZero() || !b.Descriptor.ClippingRound.IsZero() {
		t.Error("the first epoch follows from a round")
	}
	play(b)
	if r := open(2, 1); r.Descriptor.ClippingRound != b.ID {
		t.Error("lane 1 alone is committed, epoch 2 does not follow from it")
	}
	play(a)
	for lane := range uint32(2) {
		if r := open(3, lane); r.Descriptor.ClippingRound != a.ID {
			t.Errorf("lane %d of epoch 3 does not follow from lane 0 of epoch 1", lane)
		}
	}
	n := f.Name(2) // lane 0 of epoch 3 is open
	if _, _, err := f.Plan.ClippingNorm(ctx, f.Store, n); !errors.Is(err, pipeline.ErrTask) {
		t.Errorf("lane 0 of epoch 2: %v", err)
	}
	// Above, lane 1 went on alone; below nothing but epochs counts.
	n = f.Name(4)
	norm, from, err := f.Plan.ClippingNorm(ctx, f.Store, n)
	if err != nil || from != a.ID || norm == 0 {
		t.Errorf("epoch 4: norm %g from %s: %v", float64(norm), from.Short(), err)
	}
}

// TestReceiptFraction: a committed receipt of an adaptive task states the fraction, and no other receipt does.
func TestReceiptFraction(t *testing.T) {
	for _, task := range []schema.Task{pipelinetest.Task(50), adaptiveTask(50)} {
		f := pipelinetest.New(t, 4, task)
		r := f.Open(1)
		for i := range 4 {
			f.Report(r, i)
		}
		playOut(t, f, r)
		signed, err := schema.Decode[schema.Receipt](f.Get(pipeline.ReceiptKey(r.Name)))
		if err != nil {
			t.Fatal(err)
		}
		c := signed.Body
		if (c.Unclipped != nil) != r.Adaptive() {
			t.Fatalf("adaptive %t: fraction %v", r.Adaptive(), c.Unclipped)
		}
		if c.Unclipped == nil {
			c.Unclipped = new(schema.Real)
		} else {
			c.Unclipped = nil
		}
		lie, err := schema.SignBody(c, f.CollectKey)
		if err != nil {
			t.Fatal(err)
		}
		f.Replace(pipeline.ReceiptKey(r.Name), func([]byte) []byte { return lie.Bytes() })
		if _, err := pipeline.LoadReceipt(ctx, f.Store, r); !errors.Is(err, pipeline.ErrUntrusted) {
			t.Errorf("adaptive %t: %v", r.Adaptive(), err)
		}
		if _, err := r.NextClippingNorm(c); r.Adaptive() && !errors.Is(err, pipeline.ErrUntrusted) {
			t.Error(err)
		}
	}
}

// TestRoundNorm: whatever norm a descriptor states, it is refused, or the round keeps D, noise, modulus and event and clips to it.
func TestRoundNorm(t *testing.T) {
	f := pipelinetest.New(t, 1, adaptiveTask(50))
	good := f.Open(1)
	rapid.Check(t, func(t *rapid.T) {
		d := good.Descriptor
		d.ClippingNorm = schema.Real(rapid.OneOf(rapid.Float64Range(0, 1e-2), rapid.Float64Range(0.5, 2), rapid.Float64Range(0, 1e31), rapid.Just(1.)).Draw(t, "norm"))
		if rapid.Bool().Draw(t, "follows") && d.ClippingNorm > 0 {
			d.ClippingRound = schema.RoundID{Digest: schema.Digest{1}}
		}
		signed, err := schema.SignBody(d, f.CollectKey)
		if err != nil {
			t.Fatal(err)
		}
		f.Replace(pipeline.DescriptorKey(good.Name), func([]byte) []byte { return signed.Bytes() })
		r, err := pipeline.LoadDescriptor(ctx, f.Store, f.Plan, good.Name)
		c := float64(d.ClippingNorm)
		if ok := c == 1 || !d.ClippingRound.IsZero() && c >= 1./1024 && c <= 1024; ok != (err == nil) || err != nil && !errors.Is(err, pipeline.ErrUntrusted) {
			t.Fatalf("norm %g, follows %t: %v", c, !d.ClippingRound.IsZero(), err)
		}
		if err == nil && (r.Event() != f.Plan.Event() || r.Privacy.ClippingNorm() != c || r.Secagg.Q() != f.Plan.Secagg.Q() || f.Plan.Privacy.ClippingNorm() != 1) {
			t.Fatalf("norm %g: %+v", c, r.Event())
		}
	})
}
