package statistics

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// design is the matrix that takes leaves to all nodes, level by level.
func design(q *Query) *mat.Dense {
	n := q.leaves()
	a := mat.NewDense(q.size(), n, nil)
	row, nodes := 0, 1
	for range q.Levels {
		nodes *= q.Branching
		for node := range nodes {
			for leaf := range n / nodes {
				a.Set(row, node*(n/nodes)+leaf, 1)
			}
			row++
		}
	}
	return a
}

// TestFuseIsLeastSquares: the linear-time fusion is what solving the normal equations gives, and so is its variance.
func TestFuseIsLeastSquares(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, shape := range [][2]int{{2, 1}, {2, 5}, {3, 3}, {5, 2}, {16, 2}} {
		q := &Query{Kind: Quantiles, Branching: shape[0], Levels: shape[1]}
		a := design(q)
		nodes := make([]float64, q.size())
		for i := range nodes {
			nodes[i] = r.NormFloat64()
		}
		var want mat.VecDense
		if err := want.SolveVec(a, mat.NewVecDense(len(nodes), nodes)); err != nil {
			t.Fatal(err)
		}
		for i, v := range q.fuse(nodes) {
			if math.Abs(v-want.AtVec(i)) > 1e-9 {
				t.Fatalf("%v: leaf %d is %v, least squares %v", shape, i, v, want.AtVec(i))
			}
		}
		var normal, inverse mat.Dense
		normal.Mul(a.T(), a)
		if err := inverse.Inverse(&normal); err != nil {
			t.Fatal(err)
		}
		for _, rank := range []float64{0, 0.3, 0.5} {
			leaf := q.leaves() / 3
			c := mat.NewVecDense(q.leaves(), nil)
			for i := range q.leaves() {
				c.SetVec(i, -rank)
				if i < leaf {
					c.SetVec(i, 1-rank)
				}
			}
			if got, want := q.rankStdErr(leaf, rank), math.Sqrt(mat.Inner(c, &inverse, c)); math.Abs(got-want) > 1e-9 {
				t.Errorf("%v rank %v: standard error %v, want %v", shape, rank, got, want)
			}
		}
	}
}

// TestMedianVariance: the table of the variance of a median, by 20,000 draws: its error is 1 %, so that 6 % is
// passed by chance in fewer than 1 of 10^8 runs; the seed is fixed.
func TestMedianVariance(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for i, want := range medianVariance {
		s := &sketched{Query: &Query{Rows: 2*i + 1, Width: 1, Symbols: 1, Length: 1}, block: make([]float64, 2*i+1), spread: []float64{1}}
		var sum float64
		const draws = 20_000
		for range draws {
			for k := range s.block {
				s.block[k] = r.NormFloat64()
			}
			v, _ := s.estimate(0, "x")
			sum += v * v / draws
		}
		if math.Abs(sum/want-1) > 0.06 {
			t.Errorf("median of %d: variance %v, table %v", 2*i+1, sum, want)
		}
	}
}

// TestRising: values in order stay, and the result always rises.
func TestRising(t *testing.T) {
	x := []float64{0, 1, 2, 2, 5}
	rising(x)
	if x[3] != 2 || x[4] != 5 || x[1] != 1 {
		t.Error(x)
	}
	y := []float64{0, 3, 1, 4, 2, 5}
	rising(y)
	for i := 1; i < len(y); i++ {
		if y[i] < y[i-1] {
			t.Error(y)
		}
	}
}

// TestExtensionIsThePlace: the computed cell of every code is its place in the list that decoding walks.
func TestExtensionIsThePlace(t *testing.T) {
	for _, alphabet := range []string{"a", "xyz", "aäß€"} {
		for n := range 4 {
			all := extensions(alphabet, n)
			if len(all) != suffixes(len([]rune(alphabet)), n) {
				t.Fatalf("%q, %d: %d codes", alphabet, n, len(all))
			}
			for i, c := range all {
				if got := extension(c, alphabet, n); got != i {
					t.Fatalf("%q, %d: code %q at %d, computed %d", alphabet, n, c, i, got)
				}
			}
		}
	}
}

// TestEndingIsTheCell: the cell that a text is counted in is named after how the text goes on.
func TestEndingIsTheCell(t *testing.T) {
	q := Query{Name: "q", Kind: Prefixes, Weight: 1, Field: "f", Alphabet: "aä€", Symbols: 2, Prefixes: []string{"ää", "a€"}, Records: First}
	s, err := New([]Query{q})
	if err != nil {
		t.Fatal(err)
	}
	cells := append(q.endings(), rest)
	for text, want := range map[string]string{
		"ää": "ää" + end, "äää": "äää" + end, "ääa€": "ääa€", "ääa€€€": "ääa€", "a€z": "a€" + stray, "a€€z": "a€€" + stray, "a": rest, "": rest, "aa": rest, "zää": rest, "ä": rest,
	} {
		if got := cells[s.ending(0, text, len(cells)-1)]; got != want {
			t.Errorf("%q is counted in %q, want %q", text, got, want)
		}
	}
}
