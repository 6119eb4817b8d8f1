package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// tinyRobust takes a second.
var tinyRobust = robustSizes{vehicles: 1500, rounds: 2, shares: []float64{0, 0.02}, rules: []string{"median", "gate+median"}}

func TestBenchRobust(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for a dozen seconds")
	}
	var out, errs bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &errs)
	a.json = true
	a.choosePrinter()
	if err := a.benchRobust(t.Context(), &benchRobustFlags{seeds: 2, factor: -100}, tinyRobust); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Points []robustPoint `json:"points"`
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	quiet, attacked := got.Points[0], got.Points[1]
	if quiet.Lanes != 1 || attacked.Lanes < 10 || attacked.Rules[1].Rejected == 0 || attacked.Rules[1].Noise <= 1 {
		t.Errorf("%+v", got.Points)
	}
	if attacked.Plain.Mean > 0.3 || quiet.Plain.Mean < 0.3 || attacked.Rules[1].Accuracy.Mean < attacked.Plain.Mean {
		t.Errorf("the attack shows nowhere: %+v", got.Points)
	}
	if text := (&robustResult{Points: got.Points}).Text(); !strings.Contains(text, "gate+median") || !strings.Contains(text, "malicious 2.0 %") {
		t.Error(text)
	}
}

func TestBenchRobustCheck(t *testing.T) {
	point := func(plain, attacked, free float64) *robustResult {
		return &robustResult{Points: []robustPoint{{Malicious: 0.02, Plain: runSpread{Mean: plain}, Rules: []robustRule{
			{Rule: "median", Accuracy: runSpread{Mean: 0.1}, AttackFree: runSpread{Mean: 0.8}},
			{Rule: "gate+median", Accuracy: runSpread{Mean: attacked}, AttackFree: runSpread{Mean: free}},
		}}}}
	}
	if err := point(0.1, 0.78, 0.8).check(); err != nil {
		t.Error(err)
	}
	for name, r := range map[string]*robustResult{"six points": point(0.1, 0.74, 0.8), "plain is not broken": point(0.5, 0.78, 0.8), "no share of 2 %": {}} {
		if r.check() == nil {
			t.Errorf("%s: met", name)
		}
	}
}
