package pipeline

import (
	"fmt"
	"math"

	"github.com/veilsum/veilsum/privacy/compress"
	"github.com/veilsum/veilsum/schema"
)

// compression hands a task's compression of d values to privacy, nil if there is none. What
// "ratio" leaves open is filled in: the most numbers, or the highest rank, that keep within it.
func compression(t schema.Task, d int) (*compress.Spec, error) {
	c := t.Compression
	if c == nil {
		return nil, nil
	}
	s := &compress.Spec{Kind: compress.Kind(c.Kind), Values: d, Keep: c.Keep, Rows: c.Rows, Rank: c.Rank}
	if s.Kind == compress.CountSketch && s.Rows == 0 {
		s.Rows = 1
	}
	for _, x := range t.Tensors {
		s.Shapes = append(s.Shapes, x.Shape)
	}
	if c.Ratio == 0 {
		return s, nil
	}
	if s.Keep != 0 || s.Rank != 0 || !(c.Ratio >= 1) {
		return nil, fmt.Errorf("%w: compression.ratio is %g, want 1 or more, and neither keep nor rank beside it", ErrTask, float64(c.Ratio))
	}
	fitted, err := compress.Fit(*s, int(math.Max(1, float64(d)/float64(c.Ratio))))
	if err != nil {
		return nil, fmt.Errorf("%w: compression.ratio is %g: %w", ErrTask, float64(c.Ratio), err)
	}
	return &fitted, nil
}

// statedCompression is the compression as a task states it.
func statedCompression(s *compress.Spec) *schema.Compression {
	if s == nil {
		return nil
	}
	return &schema.Compression{Kind: string(s.Kind), Keep: s.Sent(), Rows: s.Rows, Rank: s.Rank}
}
