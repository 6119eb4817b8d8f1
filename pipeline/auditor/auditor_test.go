package auditor_test

import (
	"testing"

	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
)

func TestHonestRounds(t *testing.T) {
	f := play(t, pipelinetest.Task(8), 2, 0, 1, 2, 3)
	_, err := f.audit(auditor.Options{Depth: auditor.DepthPieces})
	if err != nil {
		t.Fatal(err)
	}
}
