package main

import (
	"context"
	"testing"
)

// TestRun plays one round of the example, so that it keeps working.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("trains 400 vehicles")
	}
	if err := run(context.Background(), "../../cmd/veilsum/data/inertial.arrow", 1); err != nil {
		t.Fatal(err)
	}
}
