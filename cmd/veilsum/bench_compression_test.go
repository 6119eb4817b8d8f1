package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/privacy/compress"
)

// TestCompressionKeepsAccuracy: a report of at least 4 times fewer bytes keeps within a point of the accuracy, mean of three
// seeds. The seeds are fixed, so that it never fails by chance.
func TestCompressionKeepsAccuracy(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") == "" {
		t.Skip("a minute and a half of processor time; set VEILSUM_SLOW=1")
	}
	var out strings.Builder
	a := newApp(strings.NewReader(""), &out, io.Discard)
	f := &compressionFlags{kinds: []string{"srht"}, ratios: []float64{5}, seeds: 3, rounds: 20, check: true}
	if err := a.benchCompression(context.Background(), f); err != nil {
		t.Error(err)
	}
	t.Log("\n" + out.String())
}

// TestCompressionSpecs: the maps that are measured by default send what their ratio says, and the network's
// reports shrink with them.
func TestCompressionSpecs(t *testing.T) {
	f := &compressionFlags{seeds: 1, rounds: 20}
	b, err := newCompressionBench(nil, f)
	if err != nil {
		t.Fatal(err)
	}
	specs, err := f.specs(demoTensors(b.fleet))
	if err != nil || len(specs) != 5+3*2 {
		t.Fatalf("%d maps: %v", len(specs), err)
	}
	none, err := b.bytes(compress.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		size, err := b.bytes(s)
		if err != nil {
			t.Fatal(err)
		}
		// No more than the share of the numbers, three blocks and the fixed part.
		if ratio := float64(s.Values) / float64(s.Sent()); ratio < 2 || ratio > 46 || float64(size) > float64(none)/ratio+3*18*128+6000 {
			t.Errorf("%s: %d numbers of %d in %d bytes, %d without compression", s.Kind, s.Sent(), s.Values, size, none)
		}
	}
}
