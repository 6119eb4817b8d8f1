package schema

import "fmt"

// Compression makes the rounds of a task send the numbers of a public linear map of
// every clipped update instead of its values (GUARANTEE.md section 10): the map is drawn from the RoundID,
// and who opens the sum expands it. A signed task states all four fields.
type Compression struct {
	// Kind is "random_k", "srht", "count_sketch" or "low_rank".
	Kind string `json:"kind" yaml:"kind"`
	// Keep is k, the numbers sent, 1 to d; it follows from Rank for low_rank.
	Keep int `json:"keep" yaml:"keep"`
	// Rows of a count sketch, 1 (default) to 16, a divisor of Keep; else 0.
	Rows int `json:"rows" yaml:"rows"`
	// Rank of the factors of low_rank, at least 1; else 0.
	Rank int `json:"rank" yaml:"rank"`
	// Ratio d/k, at least 1, stands in YAML for Keep or Rank.
	Ratio Real `json:"-" yaml:"ratio"`
}

// MaxSketchRows is the most rows of a count sketch.
const MaxSketchRows = 16

func (t Task) validateCompression() error {
	c := t.Compression
	if c == nil {
		return nil
	}
	d, err := t.Values()
	if err != nil {
		return err
	}
	sketch, low := c.Kind == "count_sketch", c.Kind == "low_rank"
	switch {
	case t.Statistics != nil:
		return field("compression", "kind", fmt.Sprintf("%.20q", c.Kind), "no compression beside statistics, whose counts are read one by one")
	case !sketch && !low && c.Kind != "random_k" && c.Kind != "srht":
		return field("compression", "kind", fmt.Sprintf("%.20q", c.Kind), `"random_k", "srht", "count_sketch" or "low_rank"`)
	case c.Keep < 1 || c.Keep > d:
		return field("compression", "keep", c.Keep, fmt.Sprintf("1 to %d", d))
	case sketch && (c.Rows < 1 || c.Rows > MaxSketchRows || c.Keep%c.Rows != 0), !sketch && c.Rows != 0:
		return field("compression", "rows", c.Rows, "1 to 16 and a divisor of keep for count_sketch, else 0")
	case low && c.Rank < 1, !low && c.Rank != 0:
		return field("compression", "rank", c.Rank, "1 or more for low_rank, else 0")
	}
	return nil
}
