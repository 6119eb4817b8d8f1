// Package report writes one offline HTML page about a federated training run: what
// was learned, what was spent, who saw what, and what is not protected. Start with
// [Write]; the page carries its style and its drawings inline, runs no script and
// loads nothing.
//
// The drawings ([LinePlot], [StackedBars], [RowBars]) are pure functions from numbers
// to SVG and can be used in other pages together with [Style].
//
// The package prints what it is given: it computes no epsilon and verifies no hash.
package report
