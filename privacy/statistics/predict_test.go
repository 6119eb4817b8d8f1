package statistics_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/privacy/statistics"
)

func TestPredict(t *testing.T) {
	got, err := statistics.Predict([]statistics.Record{
		{"label": 1.0, "probabilities": []any{0.25, 0.75}},
		{"label": "cat", "probabilities": map[string]any{"dog": 0.5, "cat": 0.5}},
		{"label": "cow", "probabilities": map[string]any{"dog": 1.0}},
		{"probabilities": []float64{1}, "predicted": "mine"},
		{"speed": 3.0},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := got[0]; r["predicted"] != "1" || r["confidence"] != 0.75 || r["correct"] != true || math.Abs(r["loss"].(float64)+math.Log(0.75)) > 1e-12 || r["probabilities"] != nil {
		t.Error(r)
	}
	if r := got[1]; r["predicted"] != "cat" || r["correct"] != true { // the first by name of equal ones
		t.Error(r)
	}
	if r := got[2]; r["correct"] != false || r["loss"] != statistics.MaxLoss {
		t.Error(r)
	}
	if r := got[3]; r["predicted"] != "mine" || r["loss"] != nil || len(got[4]) != 1 {
		t.Error(r, got[4])
	}
	for name, v := range map[string]any{"none": []any{}, "text": "x", "a text": []any{"x"}, "above 1": []any{1.5}, "negative": []any{-0.1}, "no number": []any{math.NaN()}} {
		if _, err := statistics.Predict([]statistics.Record{{"label": "a", "probabilities": v}}); !errors.Is(err, statistics.ErrValue) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := statistics.Predict([]statistics.Record{{"label": []any{}, "probabilities": []any{1.0}}}); !errors.Is(err, statistics.ErrValue) {
		t.Error(err)
	}
}

// TestPredictionsStayInBounds: whatever the probabilities, loss and confidence are in the ranges that evaluations clip to.
func TestPredictionsStayInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 5).Draw(t, "probabilities")
		got, err := statistics.Predict([]statistics.Record{{"label": float64(rapid.IntRange(0, 6).Draw(t, "label")), "probabilities": p}})
		if err != nil {
			t.Fatal(err)
		}
		loss, confidence := got[0]["loss"].(float64), got[0]["confidence"].(float64)
		if !(loss >= 0 && loss <= statistics.MaxLoss) || !(confidence >= 0 && confidence <= 1) {
			t.Fatal(got[0])
		}
	})
}
