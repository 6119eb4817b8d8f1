package pace_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/pipeline/fleetsim/pace"
	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
)

var ctx = context.Background()

// blobs are rows around one center for each of four classes.
func blobs(rows int) *fleetsim.Dataset {
	r := rand.New(rand.NewPCG(5, 5))
	d := &fleetsim.Dataset{Width: 8, Classes: 4}
	for i := range rows {
		class := i % 4
		for j := range d.Width {
			x := 0.3 * float32(r.NormFloat64())
			if j%4 == class {
				x++
			}
			d.Features = append(d.Features, x)
		}
		d.Labels, d.Test = append(d.Labels, class), append(d.Test, i >= rows*4/5)
	}
	return d
}

// fleet is 60 vehicles whose rounds open with 8 reports; epsilon is large, so that little noise hides what is tested.
func fleet(t testing.TB, rounds int, epsilon float64) *fleetsim.Fleet {
	t.Helper()
	f, err := fleetsim.New(fleetsim.Config{
		Partition: fleetsim.ByShards, Slices: 60, Rounds: rounds, LocalSteps: 2, LocalRate: 1, ServerRate: 1, ClippingNorm: 1,
		Epsilon: epsilon, Delta: 1e-5, Regions: 1, MinBatchShare: 8.5 / 60, MaxDishonest: 0,
	}, blobs(1500))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func scenario(buffered bool, trainMinutes float64) planet.Scenario {
	s := planet.Defaults()
	s.Days, s.Report.TrainSeconds = 12, 60*trainMinutes
	c := &s.Schedule
	c.Lanes, c.Reports, c.MinBatch, c.OverSelection, c.MinSeparation, c.Buffered = 1, 10, 8, 3, 1, buffered
	c.PeriodMinutes, c.DeadlineMinutes, c.MaxStaleness = 240, 235, 50
	if buffered {
		c.PeriodMinutes, c.DeadlineMinutes = 60, 1440
	}
	return s
}

func train(t testing.TB, f *fleetsim.Fleet, s pace.Settings) *pace.Curve {
	t.Helper()
	c, err := pace.Train(ctx, f, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBothSchedules: either opens as many rounds as the budget affords and no more, the model learns, and buffered rounds are sooner there.
func TestBothSchedules(t *testing.T) {
	f := fleet(t, 12, 60)
	var last []pace.Point
	for _, buffered := range []bool{false, true} {
		c := train(t, f, pace.Settings{Scenario: scenario(buffered, 1), Bits: 4, Bases: 3})
		if len(c.Points) != 12 {
			t.Fatalf("buffered %v: %d rounds were opened", buffered, len(c.Points))
		}
		for i, p := range c.Points {
			if p.Reports < 8 || p.Reports > 10 || !buffered && p.Staleness != 0 || i > 0 && (p.At <= c.Points[i-1].At || p.Up < c.Points[i-1].Up || p.Down < c.Points[i-1].Down) {
				t.Errorf("buffered %v: %+v", buffered, p)
			}
		}
		p := c.Points[11]
		if p.Accuracy < 0.7 || c.OnRows < 0.7 {
			t.Errorf("buffered %v: accuracy %.3f, on the vehicles' own rows %.3f; guessing gives 0.25", buffered, p.Accuracy, c.OnRows)
		}
		if !(c.DeltaBytes > 0 && c.DeltaBytes < float64(c.ModelBytes)) || p.Down > p.Whole || c.Uploaded < c.Counted || p.Up <= 0 {
			t.Errorf("buffered %v: %+v %+v", buffered, p, c)
		}
		if accuracy, err := f.Accuracy(c.Model); err != nil || accuracy != p.Accuracy {
			t.Error("the released model is another than the measured one:", accuracy, err)
		}
		last = append(last, p)
	}
	if last[1].At >= last[0].At {
		t.Errorf("synchronous rounds took %v, buffered ones %v", last[0].At, last[1].At)
	}
}

// TestStaleness: vehicles that train for hours start from old models, the weights change what comes of it, and the same settings give the same curve.
func TestStaleness(t *testing.T) {
	f := fleet(t, 10, 60)
	s := pace.Settings{Scenario: scenario(true, 90)}
	equal := train(t, f, s)
	s.Weighted = true
	weighted := train(t, f, s)
	stale := 0.0
	for _, p := range equal.Points {
		stale += p.Staleness / float64(len(equal.Points))
	}
	if stale < 0.2 {
		t.Errorf("mean staleness %.2f: the test tests nothing", stale)
	}
	if reflect.DeepEqual(equal.Model, weighted.Model) || equal.Points[9].At != weighted.Points[9].At {
		t.Error("the weights change nothing, or more than the model")
	}
	if again := train(t, f, s); !reflect.DeepEqual(again, weighted) {
		t.Error("the same settings give another curve")
	}
	if equal.Points[9].Down != equal.Points[9].Whole {
		t.Error("without rounding there are no deltas")
	}
}

// TestNoise: less epsilon costs accuracy, so the noise is there.
func TestNoise(t *testing.T) {
	good := train(t, fleet(t, 12, 60), pace.Settings{Scenario: scenario(true, 1)})
	bad := train(t, fleet(t, 12, 0.3), pace.Settings{Scenario: scenario(true, 1)})
	if a, b := good.Points[11].Accuracy, bad.Points[11].Accuracy; b > a-0.1 {
		t.Errorf("epsilon 60 gives %.3f, 0.3 gives %.3f", a, b)
	}
}

// TestRefuses: what would be noise for another batch than is opened.
func TestRefuses(t *testing.T) {
	f := fleet(t, 5, 10)
	for name, change := range map[string]func(*planet.Scenario){
		"two lanes": func(s *planet.Scenario) { s.Schedule.Lanes = 2 }, "a smaller batch": func(s *planet.Scenario) { s.Schedule.MinBatch = 7 },
	} {
		s := scenario(true, 1)
		change(&s)
		if _, err := pace.Train(ctx, f, pace.Settings{Scenario: s}); !errors.Is(err, pace.ErrSettings) {
			t.Error(name, err)
		}
	}
	s := scenario(true, 1)
	s.Days = -1
	if _, err := pace.Train(ctx, f, pace.Settings{Scenario: s}); !errors.Is(err, planet.ErrScenario) {
		t.Error(err)
	}
	if _, ok := (&pace.Curve{}).Reached(0.1); ok {
		t.Error("reached without a point")
	}
}

func Example() {
	f, err := fleetsim.New(fleetsim.Config{
		Partition: fleetsim.ByShards, Slices: 60, Rounds: 6, LocalSteps: 2, LocalRate: 1, ServerRate: 1, ClippingNorm: 1,
		Epsilon: 60, Delta: 1e-5, Regions: 1, MinBatchShare: 8.5 / 60,
	}, blobs(1500))
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := pace.Train(ctx, f, pace.Settings{Scenario: scenario(true, 1), Weighted: true, Bits: 4, Bases: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(c.Points), c.Points[5].Accuracy > 0.5, c.DeltaBytes < float64(c.ModelBytes))
	// Output: 6 true true
}
