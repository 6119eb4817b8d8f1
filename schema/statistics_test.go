package schema_test

import (
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// testStatistics asks one question of each form.
func testStatistics() schema.Task {
	t := testTask()
	cross := []schema.Axis{{Field: "speed", Edges: []schema.Real{0, 50.5}}, {Field: "road", Keys: []string{"city", `"the" <moon>`}}}
	t.Statistics = &schema.Statistics{MinCount: 20, Queries: []schema.Query{
		{Name: "mean", Kind: "mean", Weight: 1, Field: "speed", Range: &schema.Range{Low: 0, High: 130}, Axes: cross, Records: "total", MaxRecords: 3},
		{Name: "quantiles", Kind: "quantiles", Weight: 0.5, Field: "speed", Range: &schema.Range{Low: -1, High: 1}, Tree: &schema.Tree{Branching: 4, Levels: 3, Ranks: []schema.Real{0.5}}, Records: "average"},
		{Name: "drift", Kind: "histogram", Weight: 2, Axes: cross[1:], Records: "first", Role: "drift", Reference: []schema.Real{0.5, 0.25, 0.25}},
		{Name: "prefixes", Kind: "prefixes", Weight: 1, Field: "fault", Text: &schema.Text{Alphabet: "ab", Symbols: 2, Prefixes: []string{""}}, Records: "average"},
		{Name: "sketch", Kind: "sketch", Weight: 1, Field: "fault", Text: &schema.Text{Alphabet: "ab", Symbols: 2, Length: 4, Rows: 5, Width: 64}, Records: "average"},
	}}
	return t
}

// TestStatisticsRanges: what names and lists of a query may hold; what they mean is checked in package pipeline.
func TestStatisticsRanges(t *testing.T) {
	many := make([]schema.Query, 65)
	refuse(t, "task", testStatistics, []refusal[schema.Task]{
		{"statistics.queries", func(x *schema.Task) { x.Statistics.Queries = []schema.Query{} }},
		{"statistics.queries", func(x *schema.Task) { x.Statistics.Queries = many }},
		{"statistics.min_count", func(x *schema.Task) { x.Statistics.MinCount = -1 }},
		{"query.name", func(x *schema.Task) { x.Statistics.Queries[0].Name = "" }},
		{"query.name", func(x *schema.Task) { x.Statistics.Queries[0].Name = "a\x1b[2Jb" }},
		{"query.field", func(x *schema.Task) { x.Statistics.Queries[0].Field = "a\nb" }},
		{"axis.field", func(x *schema.Task) { x.Statistics.Queries[0].Axes[0].Field = "" }},
		{"axis.keys", func(x *schema.Task) { x.Statistics.Queries[0].Axes[1].Keys[0] = "a\u202eb" }},
		{"query.axes", func(x *schema.Task) {
			x.Statistics.Queries[0].Axes = append(x.Statistics.Queries[0].Axes, x.Statistics.Queries[0].Axes[0])
		}},
		{"query.tree", func(x *schema.Task) { x.Statistics.Queries[1].Tree.Ranks = []schema.Real{} }},
		{"query.text.alphabet", func(x *schema.Task) { x.Statistics.Queries[3].Text.Alphabet = "\x00" }},
		{"query.text.prefixes", func(x *schema.Task) { x.Statistics.Queries[3].Text.Prefixes = []string{"\n"} }},
	})
}
