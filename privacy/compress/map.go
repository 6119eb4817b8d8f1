package compress

import (
	"fmt"
	"math"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/privacy/internal/rotate"
)

// Map is the map A of one round: k rows, d columns. It is immutable and safe for
// concurrent use.
type Map struct {
	spec  Spec
	sent  int
	parts []part       // all kinds but CountSketch
	key   *sampler.Key // of a CountSketch
}

// part keeps some values of each vector of a fold, rotated or not.
type part struct {
	fold
	rotation *rotate.Rotation // nil: none
	kept     subset
	scale    float64 // sqrt(length/keep)
}

// New draws the map that belongs to a public seed (the RoundID): of KDF(seed,
// "compress") stream 2i draws the rotation and stream 2i+1 the subset of part i, or stream i
// row i of a count sketch. The error wraps [ErrSpec].
func New(s Spec, seed [32]byte) (*Map, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	m := &Map{spec: s, sent: s.Sent(), key: sampler.NewKey(sampler.Derive(seed[:], "compress"))}
	folds := []fold{{vectors: 1, length: s.Values, keep: s.Keep}}
	switch s.Kind {
	case CountSketch:
		return m, nil
	case LowRank:
		folds = s.folds()
	}
	for i, f := range folds {
		m.parts = append(m.parts, m.draw(f, uint64(i)))
	}
	return m, nil
}

func (m *Map) draw(f fold, i uint64) part {
	p := part{fold: f, scale: math.Sqrt(float64(f.length) / float64(f.keep))}
	if m.spec.Kind != RandomK && f.keep < f.length {
		r := rotate.New(f.length, m.key.Stream(2*i))
		p.rotation = &r
	}
	p.kept = newSubset(f.length, f.keep, m.key.Stream(2*i+1))
	return p
}

// Spec returns what the map was drawn for.
func (m *Map) Spec() Spec { return m.spec }

// Sent is k.
func (m *Map) Sent() int { return m.sent }

// Apply returns A x, k numbers. It takes x, d numbers, over: x is overwritten, and
// the result may lie in it. It panics on any other length, as an index would.
func (m *Map) Apply(x []float32) []float32 {
	if len(x) != m.spec.Values {
		panic(fmt.Sprintf("compress: %d values, want %d", len(x), m.spec.Values))
	}
	if m.spec.Kind == CountSketch {
		return m.sketch(x)
	}
	out, n := x, 0 // what is kept never lies behind where it is written to
	scratch := make([]float32, m.scratch())
	for _, p := range m.parts {
		n += p.apply(x[p.from:p.from+p.size()], out[n:n+p.sent()], scratch)
	}
	return out[:n]
}

// scratch is the room that strided parts need: one vector, and all that is kept.
func (m *Map) scratch() (n int) {
	for _, p := range m.parts {
		if p.strided && p.keep < p.length {
			n = max(n, p.length+p.sent())
		}
	}
	return n
}

// apply writes the kept numbers of x to out, which may be the head of x or lie before it.
func (p *part) apply(x, out, scratch []float32) int {
	if p.keep == p.length {
		return copy(out, x)
	}
	if !p.strided {
		for v := range p.vectors {
			y := x[v*p.length:][:p.length]
			p.forward(y)
			p.kept.gather(out[v*p.keep:][:p.keep], y, float32(p.scale))
		}
		return p.sent()
	}
	// Kept number i of vector v goes to i*vectors + v, as the values lie.
	y, kept := scratch[:p.length], scratch[p.length:p.length+p.sent()]
	row := make([]float32, p.keep)
	for v := range p.vectors {
		for i := range y {
			y[i] = x[i*p.vectors+v]
		}
		p.forward(y)
		p.kept.gather(row, y, float32(p.scale))
		for i, value := range row {
			kept[i*p.vectors+v] = value
		}
	}
	return copy(out, kept)
}

func (p *part) forward(y []float32) {
	if p.rotation != nil {
		rotate.Forward(p.rotation, y)
	}
}

// Expand returns A^T y, d numbers, for y of k. It panics on any other length.
func (m *Map) Expand(y []float64) []float64 {
	if len(y) != m.sent {
		panic(fmt.Sprintf("compress: %d numbers, want %d", len(y), m.sent))
	}
	x := make([]float64, m.spec.Values)
	if m.spec.Kind == CountSketch {
		m.unsketch(x, y)
		return x
	}
	for _, p := range m.parts {
		p.expand(x[p.from:p.from+p.size()], y[:p.sent()])
		y = y[p.sent():]
	}
	return x
}

func (p *part) expand(x, y []float64) {
	if p.keep == p.length {
		copy(x, y)
		return
	}
	whole, row := x, y
	if p.strided {
		whole, row = make([]float64, p.length), make([]float64, p.keep)
	}
	for v := range p.vectors {
		if p.strided {
			clear(whole)
			for i := range row {
				row[i] = y[i*p.vectors+v]
			}
		} else {
			whole, row = x[v*p.length:][:p.length], y[v*p.keep:][:p.keep]
		}
		p.kept.scatter(whole, row, p.scale)
		if p.rotation != nil {
			rotate.Inverse(p.rotation, whole)
		}
		if p.strided {
			for i, value := range whole {
				x[i*p.vectors+v] = value
			}
		}
	}
}
