package pipeline_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// TestPlanRecomputes changes every derived field of a signed task: each would
// be a wrong claim about noise or modulus, and is refused.
func TestPlanRecomputes(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	if _, err := pipeline.NewPlan(f.Task); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*schema.Task){
		"n":             func(x *schema.Task) { x.Ring.N = 3072 - x.Ring.N },
		"q":             func(x *schema.Task) { x.Ring.Q-- },
		"values":        func(x *schema.Task) { x.Derived.Values++ },
		"sensitivity":   func(x *schema.Task) { x.Derived.Sensitivity-- },
		"local_std_dev": func(x *schema.Task) { x.Derived.LocalStdDev *= 0.999 },
		"honest_min":    func(x *schema.Task) { x.Derived.HonestMin++ },
		"checkpoint":    func(x *schema.Task) { x.Checkpoint = schema.Digest{} },
		"grid":          func(x *schema.Task) { x.Derived.Grid++ },
		"noise":         func(x *schema.Task) { x.Privacy.NoiseMultiplier *= 0.999 },
		"clip":          func(x *schema.Task) { x.Privacy.ClippingNorm *= 2; x.Privacy.NoiseMultiplier /= 2 },
		"min":           func(x *schema.Task) { x.Batch.Min++ },
		"tensor":        func(x *schema.Task) { x.Tensors = []schema.Tensor{{Name: "w", DType: "float32", Shape: []int{101}}} },
	} {
		task := f.Task
		change(&task)
		if _, err := pipeline.NewPlan(task); !errors.Is(err, pipeline.ErrTask) {
			t.Errorf("%s: error %v", name, err)
		}
		if done, err := pipeline.Complete(task); err == nil {
			if _, err := pipeline.NewPlan(done); err != nil {
				t.Errorf("%s: completed anew: %v", name, err)
			}
		}
	}
}

// TestOneHonestVehicleIsRefused: with min_batch_size - max_dishonest = 1 a list
// could hold one honest vehicle, whose update the others subtract.
func TestOneHonestVehicleIsRefused(t *testing.T) {
	task := pipelinetest.Task(100)
	task.Batch = schema.Batch{Min: 4, Max: 64, MaxDishonest: 3, Lanes: 1}
	if _, err := pipeline.Complete(task); !errors.Is(err, pipeline.ErrTask) {
		t.Error(err)
	}
}

// TestNoModulus: a batch that no modulus holds is refused with advice.
func TestNoModulus(t *testing.T) {
	task := pipelinetest.Task(100)
	task.Batch.Max, task.Privacy.NoiseMultiplier = schema.MaxReports, 500
	if _, err := pipeline.Complete(task); !errors.Is(err, pipeline.ErrTask) {
		t.Error(err)
	}
}

// TestGroups: groups must name all tensors in the task's order.
func TestGroups(t *testing.T) {
	a, b := schema.Tensor{Name: "a", DType: "float32", Shape: []int{60}}, schema.Tensor{Name: "b", DType: "float32", Shape: []int{40}}
	for name, x := range map[string]struct {
		groups []schema.Group
		ok     bool
	}{
		"both":        {[]schema.Group{{Tensors: []string{"a"}, ClippingNorm: 0.6}, {Tensors: []string{"b"}, ClippingNorm: 0.8}}, true},
		"one group":   {[]schema.Group{{Tensors: []string{"a", "b"}, ClippingNorm: 1}}, true},
		"wrong order": {[]schema.Group{{Tensors: []string{"b"}, ClippingNorm: 0.6}, {Tensors: []string{"a"}, ClippingNorm: 0.8}}, false},
		"one missing": {[]schema.Group{{Tensors: []string{"a"}, ClippingNorm: 1}}, false},
		"one twice":   {[]schema.Group{{Tensors: []string{"a", "a", "b"}, ClippingNorm: 1}}, false},
		"one unknown": {[]schema.Group{{Tensors: []string{"a", "b", "c"}, ClippingNorm: 1}}, false},
	} {
		task := pipelinetest.New(t, 1, pipelinetest.Task(100)).Task
		task.Tensors, task.Privacy.Groups, task.Privacy.ClippingNorm = []schema.Tensor{a, b}, x.groups, 0
		done, err := pipeline.Complete(task)
		if (err == nil) != x.ok || err != nil && !errors.Is(err, pipeline.ErrTask) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (done.Privacy.ClippingNorm < 0.999 || done.Privacy.ClippingNorm > 1.001) {
			t.Errorf("%s: clipping norm %g", name, float64(done.Privacy.ClippingNorm))
		}
	}
}

// TestLoadTask refuses a task under another name, of another owner, or not signed by the pinned key.
func TestLoadTask(t *testing.T) {
	f := pipelinetest.New(t, 1, pipelinetest.Task(100))
	owner := schema.NewPublicKey(f.Owner)
	load := func(id schema.TaskID, owner schema.PublicKey) error {
		_, err := pipeline.LoadTask(ctx, f.Store, id, owner)
		return err
	}
	other := schema.TaskID{Digest: schema.Digest{1}}
	f.Put(pipeline.TaskKey(other), f.Get(pipeline.TaskKey(f.TaskID)))
	signed, err := schema.SignBody(f.Task, f.CollectKey)
	if err != nil {
		t.Fatal(err)
	}
	foreign := f.Task
	foreign.Owner = schema.NewPublicKey(f.CollectKey)
	swapped, err := schema.SignBody(foreign, f.Owner)
	if err != nil {
		t.Fatal(err)
	}
	f.Put(pipeline.TaskKey(schema.NewTaskID(swapped)), swapped.Bytes())
	f.Unchanged(pipeline.ErrUntrusted, func() error { return load(other, owner) })
	f.Unchanged(pipeline.ErrUntrusted, func() error { return load(f.TaskID, schema.NewPublicKey(f.CollectKey)) })
	f.Unchanged(pipeline.ErrUntrusted, func() error { return load(schema.NewTaskID(swapped), owner) })
	f.Replace(pipeline.TaskKey(f.TaskID), func([]byte) []byte { return signed.Bytes() })
	f.Unchanged(pipeline.ErrUntrusted, func() error { return load(f.TaskID, owner) })
	f.Replace(pipeline.TaskKey(f.TaskID), func([]byte) []byte { return []byte(strings.Repeat("[", 1000)) })
	f.Unchanged(pipeline.ErrUntrusted, func() error { return load(f.TaskID, owner) })
}
