package pipeline_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/privacy/statistics"
	"github.com/veilsum/veilsum/schema"
)

// questions ask of speed and road.
func questions() *schema.Statistics {
	var list []schema.Query
	for _, q := range []statistics.Query{
		{Name: "mean", Kind: statistics.Mean, Weight: 1, Field: "speed", High: 100, Records: statistics.Average},
		{Name: "road", Kind: statistics.Histogram, Weight: 1, Axes: []statistics.Axis{{Field: "road", Keys: []string{"city"}}}, Records: statistics.Average},
	} {
		list = append(list, pipeline.FromQuery(q))
	}
	return &schema.Statistics{Queries: list}
}

// asked is an incomplete task of these questions, without keys.
func asked(t *testing.T) schema.Task {
	t.Helper()
	task := pipelinetest.Task(1)
	task.Statistics = questions()
	task, err := pipeline.AskWithoutKeys(task)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// TestStatisticsPlan: a task whose vectors would not be what its queries say is refused by everybody who loads it.
func TestStatisticsPlan(t *testing.T) {
	f := pipelinetest.New(t, 1, asked(t))
	if f.Plan.Statistics == nil || f.Plan.Privacy.Values() != 4 {
		t.Fatal(f.Plan.Statistics)
	}
	for name, change := range map[string]func(*schema.Task){
		"another name":     func(x *schema.Task) { x.Tensors[0].Name = "other" },
		"another size":     func(x *schema.Task) { x.Tensors[1].Shape = []int{3} },
		"another type":     func(x *schema.Task) { x.Tensors[0].DType = "float32" },
		"another norm":     func(x *schema.Task) { x.Privacy.ClippingNorm = 2 },
		"an adaptive norm": func(x *schema.Task) { x.Privacy.Adaptive = &schema.Adaptive{} },
		"a compression":    func(x *schema.Task) { x.Compression = &schema.Compression{Kind: "random_k", Keep: 2} },
		"no field":         func(x *schema.Task) { x.Statistics.Queries[0].Field = "" },
		"a field too much": func(x *schema.Task) { x.Statistics.Queries[1].Field = "secret" },
		"a range too much": func(x *schema.Task) { x.Statistics.Queries[1].Range = &schema.Range{High: 1} },
		"a tree too much":  func(x *schema.Task) { x.Statistics.Queries[0].Tree = &schema.Tree{Ranks: []schema.Real{0.5}} },
		"a text too much":  func(x *schema.Task) { x.Statistics.Queries[0].Text = &schema.Text{} },
		"hidden numbers":   func(x *schema.Task) { x.Statistics.Queries[0].Reference = []schema.Real{0} },
		"one query less":   func(x *schema.Task) { x.Statistics.Queries = x.Statistics.Queries[:1] },
		"one query twice":  func(x *schema.Task) { x.Statistics.Queries[1] = x.Statistics.Queries[0] },
	} {
		task := f.Task
		task.Tensors = append([]schema.Tensor(nil), task.Tensors...)
		task.Statistics = questions()
		change(&task)
		if _, err := pipeline.Complete(task); !errors.Is(err, pipeline.ErrTask) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestStatisticsRound plays a round of questions after one of training in the same scope: the ledger charges both, and the answers
// are those of the vehicles within 6 stated errors, which chance breaks in fewer than 1 of 10^7 runs.
func TestStatisticsRound(t *testing.T) {
	const n = 6
	task := asked(t)
	f := pipelinetest.New(t, n, task)
	set := f.Plan.Statistics
	values := func(i int) []statistics.Record {
		return []statistics.Record{{"speed": 10 * float64(i), "road": []string{"city", "moon"}[i%2]}}
	}
	f.Values = func(i int) []float32 {
		u, err := client.Answer(f.Plan, values(i))
		if err != nil {
			t.Fatal(err)
		}
		return u.Values
	}
	mean, sigma := playRound(t, f, n)
	got, err := set.Decode(statistics.Release{Mean: mean, Reports: n, Noise: sigma})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{25, 3, 3} {
		if e := got[i]; math.Abs(e.Value-want) > 6*e.StdErr {
			t.Errorf("%s: %v +- %v, want %v", e.Query, e.Value, e.StdErr, want)
		}
	}
	rel, err := pipeline.LoadRelease(context.Background(), f.Store, f.Plan, f.TaskID, 1, func(*pipeline.Round, schema.Receipt) ([]float64, float64, error) {
		return mean, sigma, nil
	})
	if err != nil || rel.Release.Reports != n || math.Abs(rel.Release.Noise-sigma) > 1e-12 || math.Abs(rel.Release.Mean[0]-mean[0]) > 1e-12 {
		t.Errorf("%+v %v", rel, err)
	}
	for _, other := range [][]float64{nil, mean[1:], append(mean[:len(mean):len(mean)], 0)} { // as a lying collector may publish
		if _, err := pipeline.LoadRelease(context.Background(), f.Store, f.Plan, f.TaskID, 1, func(*pipeline.Round, schema.Receipt) ([]float64, float64, error) {
			return other, sigma, nil
		}); !errors.Is(err, pipeline.ErrUntrusted) {
			t.Errorf("an aggregate of %d values: %v", len(other), err)
		}
	}
	if _, err := pipeline.LoadRelease(context.Background(), f.Store, f.Plan, f.TaskID, 2, nil); err == nil {
		t.Error("an epoch that nobody opened was released")
	}
	charges, err := pipeline.LoadCharges(context.Background(), f.Store, f.Task.Scope, schema.NewPublicKey(f.Owner))
	if err != nil || charges.Epochs() != 1 {
		t.Errorf("%d epochs charged, %v", charges.Epochs(), err)
	}
}

// TestVehicleRefusesQuestions: a vehicle that gives only some fields seals nothing for a task that asks for others, whoever signed it.
func TestVehicleRefusesQuestions(t *testing.T) {
	f := pipelinetest.New(t, 2, asked(t))
	r := f.Open(1)
	for name, c := range map[string]struct {
		fields []string
		ok     bool
	}{
		"all": {nil, true}, "both": {[]string{"road", "speed"}, true}, "one": {[]string{"speed"}, false}, "none": {[]string{}, false},
	} {
		f.Floor = client.Floor{Fields: c.fields}
		u, err := client.Answer(f.Plan, []statistics.Record{{"speed": 1.0}})
		if err != nil {
			t.Fatal(err)
		}
		u.ModelHash = schema.HashModel([]byte("model")) // of the rounds that pipelinetest opens
		v, done := f.Vehicle(map[string]int{"all": 0, "both": 1, "one": 1, "none": 1}[name])
		if _, err := v.SealRound(r, u); (err == nil) != c.ok || !c.ok && !errors.Is(err, client.ErrFloor) {
			t.Errorf("%s: %v", name, err)
		}
		done()
	}
	if _, err := client.Answer(pipelinetest.New(t, 1, pipelinetest.Task(3)).Plan, nil); !errors.Is(err, pipeline.ErrNoStatistics) {
		t.Error(err)
	}
}

// TestStatisticsLanes: the rounds of two lanes are one release, each with the weight of its reports; one that is not over is waited for.
func TestStatisticsLanes(t *testing.T) {
	f, byLane := twoLanes(t, asked(t))
	f.Keys(1)
	load := func() (*pipeline.Released, error) {
		return pipeline.LoadRelease(ctx, f.Store, f.Plan, f.TaskID, 1, func(r *pipeline.Round, c schema.Receipt) ([]float64, float64, error) {
			return []float64{float64(1 + r.Name.Lane), 0, 0, 0}, 3, nil
		})
	}
	for lane, reports := range []int{4, 5} {
		n := f.Name(1)
		n.Lane = uint32(lane)
		r, err := f.Collector.Open(ctx, f.Store, f.Plan, collector.Opening{Name: n, Model: []byte("model"), Snapshot: f.Snapshot, Deadline: f.Now()})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range byLane[lane][:min(reports, len(byLane[lane]))] {
			f.Report(r, i)
		}
		if _, err := load(); err == nil {
			t.Error("a release without all lanes")
		}
		playOut(t, f, r)
	}
	got, err := load()
	if err != nil {
		t.Fatal(err)
	}
	a, b := float64(got.Receipt[0].Reports), float64(got.Receipt[1].Reports)
	wantMean, wantNoise := (a+2*b)/(a+b), 3*math.Hypot(a, b)/(a+b)
	if got.Release.Reports != int(a+b) || math.Abs(got.Release.Mean[0]-wantMean) > 1e-12 || math.Abs(got.Release.Noise-wantNoise) > 1e-12 {
		t.Errorf("%+v, want a mean of %v and noise %v", got.Release, wantMean, wantNoise)
	}
}
