package main

import (
	"context"
	"math"
	"slices"
	"syscall"
	"time"
)

// benchClock is the processor time that this process has used.
func benchClock() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, err
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}

// benchTimer collects the times, in nanoseconds, of one piece of work.
type benchTimer struct {
	work  func() error
	times []float64
}

func timerOf(work func() error) *benchTimer { return &benchTimer{work: work} }

// interleave runs all timers in turn: once to warm up, then reps times. Turns
// keep a machine that changes its speed from favoring one of them.
func interleave(ctx context.Context, reps int, timers ...*benchTimer) error {
	for r := range reps + 1 {
		for _, t := range timers {
			if err := ctx.Err(); err != nil {
				return err
			}
			before, err := benchClock()
			if err != nil {
				return err
			}
			if err := t.work(); err != nil {
				return err
			}
			after, err := benchClock()
			if err != nil {
				return err
			}
			if r > 0 {
				t.times = append(t.times, float64(after-before))
			}
		}
	}
	return nil
}

func median(x []float64) float64 {
	s := slices.Clone(x)
	slices.Sort(s)
	if len(s) == 0 {
		return math.NaN()
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// per is the median time of one of n equal parts of the work.
func (t *benchTimer) per(n int) float64 { return median(t.times) / float64(n) }

// over is the median ratio of t's times to u's in the same turn, each divided by
// its number of parts; NaN if the clock is too coarse for u.
func (t *benchTimer) over(u *benchTimer, parts, partsOfU int) float64 {
	var ratios []float64
	for i, x := range t.times {
		if y := u.times[i]; y > 0 {
			ratios = append(ratios, x/float64(parts)/(y/float64(partsOfU)))
		}
	}
	return median(ratios)
}

// fastest returns the timer with the least median.
func fastest(timers []*benchTimer) *benchTimer {
	return slices.MinFunc(timers, func(a, b *benchTimer) int {
		if a.per(1) < b.per(1) {
			return -1
		}
		return 1
	})
}

// times repeats work.
func times(n int, work func() error) func() error {
	return func() error {
		for range n {
			if err := work(); err != nil {
				return err
			}
		}
		return nil
	}
}
