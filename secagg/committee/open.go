package committee

import (
	"errors"
	"fmt"
	"math"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/internal/expand"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// Why a sum stays closed. Nothing may be published then.
var (
	// ErrAnswers: too few well-formed answers, or an index twice. With
	// further answers the opening may succeed.
	ErrAnswers = errors.New("committee: answers do not suffice")
	// ErrNotOpened: no choice of answers gives a short secret and a plausible
	// sum: too many decryptors lie, a client sent garbage, or sum and answers
	// are over different lists. Further answers help in the first case only.
	ErrNotOpened = errors.New("committee: sum does not open")
	// ErrWitness: the sum opens but carries less noise than the honest
	// clients should have added. Further answers do not help.
	ErrWitness = errors.New("committee: too little noise in the sum")
)

const (
	secretTail   = 9.5  // max |S_i| in units of sigma_s*sqrt(n); an honest sum exceeds it with chance 2^-56 for N = 2048
	rmsLimit     = 0.15 // of Q; a uniform block has 0.289
	witnessSigma = 6    // an honest fleet falls below the floor with chance 2^-30
)

// Answer is a decryptor's answer for one list, signature already verified.
type Answer struct {
	Index  int      // the decryptor, 0 to n_c-1
	Shares [][]byte // packed V_T in the order of Committee.Held
}

// Result says how a sum was opened. All of it may be published.
type Result struct {
	// Used are the decryptors whose answers opened the sum, Dropped those
	// whose answers were left out (section 8).
	Used, Dropped []int
	// Convicted are those among Dropped whose answer is wrong under every
	// explanation with at most f malicious decryptors. Only they may be
	// accused: liars can get an honest decryptor dropped, not convicted.
	Convicted []int
	// Confirmed is false if exactly t well-formed answers were given: the sum
	// passed its tests, but no further answer agrees or disagrees.
	Confirmed bool
	// WitnessVariance is the mean square of the sum at the witness positions,
	// WitnessFloor the least that was accepted.
	WitnessVariance, WitnessFloor float64
	// MaxSecret is max |S_i|, SecretSum is S, N values: evidence for whoever
	// opens the same sum again. S is public by design (section 10).
	MaxSecret int
	SecretSum []int32
}

// Open opens the sum of count reports with the decryptors' answers over the
// same list (section 8). maxDishonest is F_c, the most reports whose noise is
// not counted on, below count.
//
// emit gets the opened values of block j in order: x[i] is value j*N+i of the
// sum of all messages and all noise, centered mod Q. Blocks that hold witnesses
// only are not emitted, nor are witnesses. The slice is used again.
//
// What is emitted is tentative until Open returns nil: the answers, the
// witness variance and the blocks that hold witnesses are tested before
// anything is emitted, but a garbage block in the middle is found when its
// turn comes, since two passes would double the cost. On any error the caller
// must discard all it got. After such a block emit may start again from 0;
// later values replace earlier ones.
//
// Time is that of one pass over the sum in every case but crafted ones, where
// it is one pass for each different S the answers allow. Memory does not grow
// with Values. The sum is not changed.
func Open(
	p secagg.Params, roundID [32]byte, count, maxDishonest int, sum *secagg.Sum, answers []Answer,
	emit func(j int, x []int32) error,
) (Result, error) {
	r, err := ringOf(p)
	if err != nil {
		return Result{}, err
	}
	if maxDishonest < 0 || count <= maxDishonest {
		return Result{}, fmt.Errorf("%w: %d reports with %d dishonest", secagg.ErrParams, count, maxDishonest)
	}
	if sum == nil || sum.Params().Literal() != p.Literal() {
		return Result{}, fmt.Errorf("%w: sum of other parameters", secagg.ErrParams)
	}
	b, err := newBallot(p, r, answers)
	if err != nil {
		return Result{}, err
	}
	if t := p.Committee().Threshold; b.given.size() < t {
		return Result{}, fmt.Errorf("%w: %d well-formed, want %d", ErrAnswers, b.given.size(), t)
	}
	o := newOpener(p, r, roundID, sum, count, maxDishonest)
	return o.choose(b, emit)
}

// opener opens blocks with one candidate for S at a time.
type opener struct {
	p      secagg.Params
	sum    *secagg.Sum
	public *sampler.Key // a_j
	mul    *ring.Scratch
	r      *ring.Ring
	bound  float64 // on |S_i|
	floor  float64 // on the witness variance
	c, as  []uint32
	x      []int32
	tail   [][]int32 // the opened blocks that hold witnesses, the last ones
}

func newOpener(p secagg.Params, r *ring.Ring, roundID [32]byte, sum *secagg.Sum, count, maxDishonest int) *opener {
	n := p.N()
	o := &opener{
		p: p, sum: sum, r: r,
		public: expand.Public(roundID),
		mul:    r.NewScratch(),
		bound:  secretTail * expand.SecretWidth * math.Sqrt(float64(count)),
		floor: float64(count-maxDishonest) * p.LocalStdDev() * p.LocalStdDev() *
			(1 - witnessSigma*math.Sqrt(2/float64(p.Witnesses()))),
		c: make([]uint32, n), as: make([]uint32, n), x: make([]int32, n),
		tail: make([][]int32, p.Blocks()-p.Values()/n),
	}
	for i := range o.tail {
		o.tail[i] = make([]int32, n)
	}
	return o
}

// errBlock says that the present S does not open the sum.
var errBlock = errors.New("committee: block is not plausible")

// choose tries all answers, then drops sets of at most f. Choices that give an
// S that failed before are not tried again.
func (o *opener) choose(b *ballot, emit func(int, []int32) error) (Result, error) {
	corr := make([]uint32, o.p.N())
	if err := o.sum.Corr(corr); err != nil {
		return Result{}, err
	}
	var failed [][]int32
	for _, dropped := range b.liars() {
		used := b.given &^ dropped
		if !b.usable(used) {
			continue
		}
		s, err := b.secretSum(corr, used)
		if err != nil {
			return Result{}, err
		}
		if seen(failed, s) {
			continue
		}
		variance, err := o.try(s, emit)
		if errors.Is(err, errBlock) {
			failed = append(failed, s)
			continue
		}
		if err != nil {
			return Result{}, err
		}
		return o.result(b, corr, used, s, variance)
	}
	return Result{}, ErrNotOpened
}

func seen(failed [][]int32, s []int32) bool {
	for _, f := range failed {
		if equal(f, s) {
			return true
		}
	}
	return false
}

// try opens the sum with S = s: errBlock if a test fails, and nothing emitted
// before the witnesses passed.
func (o *opener) try(s []int32, emit func(int, []int32) error) (variance float64, err error) {
	if float64(largest(s)) > o.bound {
		return 0, errBlock
	}
	o.mul.PrepareSecret(s)
	variance, err = o.witnesses()
	if err != nil {
		return 0, err
	}
	first := o.p.Blocks() - len(o.tail)
	for j := range first {
		if err := o.block(j, o.x); err != nil {
			return 0, err
		}
		if err := emitBlock(emit, j, o.x); err != nil {
			return 0, err
		}
	}
	// Of the blocks with witnesses only the first can hold values, too.
	if rest := o.p.Values() - first*o.p.N(); rest > 0 {
		if err := emitBlock(emit, first, o.tail[0][:rest]); err != nil {
			return 0, err
		}
	}
	return variance, nil
}

func emitBlock(emit func(int, []int32) error, j int, x []int32) error {
	if err := emit(j, x); err != nil {
		return fmt.Errorf("committee: emit block %d: %w", j, err)
	}
	return nil
}

// witnesses opens the blocks that hold witnesses and compares their variance
// with the floor: a fleet that forgot its noise is caught here, before any
// value is seen (section 8).
func (o *opener) witnesses() (float64, error) {
	first := o.p.Blocks() - len(o.tail)
	var square float64
	for i, x := range o.tail {
		if err := o.block(first+i, x); err != nil {
			return 0, err
		}
		if values := o.p.Values() - (first+i)*o.p.N(); values > 0 {
			x = x[values:]
		}
		square += squares(x)
	}
	variance := square / float64(o.p.Witnesses())
	if variance < o.floor {
		return 0, fmt.Errorf("%w: variance %.4g, at least %.4g", ErrWitness, variance, o.floor)
	}
	return variance, nil
}

// block sets x to x_j = sum c_j - a_j*S, centered, or returns errBlock. With
// a wrong S, or a garbage report, x_j is uniform mod Q.
func (o *opener) block(j int, x []int32) error {
	if err := o.sum.Block(j, o.c); err != nil {
		return err
	}
	o.mul.MulA(o.as, o.public.Stream(uint64(j)))
	o.r.Sub(o.c, o.as)
	center(x, o.c, o.p.Q())
	limit := rmsLimit * float64(o.p.Q())
	if squares(x) > limit*limit*float64(len(x)) {
		return errBlock
	}
	return nil
}

// squares returns the sum of x_i^2. Each is below 2^60.
func squares(x []int32) float64 {
	var sum float64
	for len(x) > 0 {
		part := x[:min(len(x), 8)] // eight squares fit 63 bits
		var s int64
		for _, v := range part {
			s += int64(v) * int64(v)
		}
		sum += float64(s)
		x = x[len(part):]
	}
	return sum
}

// largest returns max |s_i|.
func largest(s []int32) int {
	most := 0
	for _, v := range s {
		most = max(most, int(v), -int(v))
	}
	return most
}

// result names who was used and who is convicted.
func (o *opener) result(b *ballot, corr []uint32, used members, s []int32, variance float64) (Result, error) {
	convicted, err := b.convicted(corr, s)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Used:            used.list(),
		Dropped:         (b.given&^used | b.malformed).list(),
		Convicted:       convicted.list(),
		Confirmed:       b.given.size() > o.p.Committee().Threshold,
		WitnessVariance: variance,
		WitnessFloor:    o.floor,
		MaxSecret:       largest(s),
		SecretSum:       s,
	}, nil
}
