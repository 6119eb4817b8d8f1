package ledger

import (
	"fmt"
	"math"
	"strconv"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// validEvent refuses what the log cannot state: compositions (a round is one
// release) and what no accountant of ours can judge.
func validEvent(e accountant.Event) error {
	switch e.Type {
	case accountant.Gaussian, accountant.Laplace, accountant.DiscreteGaussian, accountant.DistributedDiscreteGaussian, accountant.ZCDP:
	default:
		return fmt.Errorf("%w: an event of type %.40q cannot be reserved", ErrEntry, string(e.Type))
	}
	if err := e.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrEntry, err)
	}
	return nil
}

// appendReal is the shortest decimal that gives the same float64, as in
// FORMAT.md: every reader computes from the same number.
func appendReal(b []byte, f float64) []byte {
	if f == 0 {
		f = 0 // drops the sign
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

// appendEvent encodes a valid event in its one spelling.
func appendEvent(b []byte, e accountant.Event) []byte {
	real := func(f float64) []byte { return appendReal(nil, f) }
	b = fmt.Appendf(b, `{"type":"%s",`, e.Type)
	switch e.Type {
	case accountant.Gaussian, accountant.Laplace:
		b = fmt.Appendf(b, `"noise_multiplier":"%s"`, real(e.NoiseMultiplier))
	case accountant.ZCDP:
		b = fmt.Appendf(b, `"rho":"%s","xi":"%s"`, real(e.Rho), real(e.Xi))
	case accountant.DiscreteGaussian:
		b = fmt.Appendf(b, `"sensitivity":%d,"sigma":"%s"`, e.Sensitivity, real(e.Sigma))
	case accountant.DistributedDiscreteGaussian:
		b = fmt.Appendf(b, `"sensitivity":%d,"sigma":"%s","contributors":%d,"dimension":%d,"reports":%d`,
			e.Sensitivity, real(e.Sigma), e.Contributors, e.Dimension, e.Reports)
	}
	return append(b, '}')
}

// parseEvent reads what appendEvent wrote and nothing else.
func parseEvent(data []byte) (accountant.Event, bool) {
	s := scanner{rest: data}
	s.want(`{"type":"`)
	e := accountant.Event{Type: accountant.EventType(s.until('"'))}
	s.want(`,`)
	switch e.Type {
	case accountant.Gaussian, accountant.Laplace:
		e.NoiseMultiplier = s.real(`"noise_multiplier":"`)
	case accountant.ZCDP:
		e.Rho, e.Xi = s.real(`"rho":"`), s.real(`,"xi":"`)
	case accountant.DiscreteGaussian:
		e.Sensitivity, e.Sigma = s.number(`"sensitivity":`, math.MaxInt64), s.real(`,"sigma":"`)
	case accountant.DistributedDiscreteGaussian:
		e.Sensitivity, e.Sigma = s.number(`"sensitivity":`, math.MaxInt64), s.real(`,"sigma":"`)
		e.Contributors = s.number(`,"contributors":`, math.MaxInt64)
		e.Dimension = s.number(`,"dimension":`, math.MaxInt64)
		e.Reports = s.number(`,"reports":`, math.MaxInt64)
	}
	s.want(`}`)
	// Encoding again refuses other spellings of numbers.
	ok := !s.bad && len(s.rest) == 0 && validEvent(e) == nil && string(appendEvent(nil, e)) == string(data)
	return e, ok
}
