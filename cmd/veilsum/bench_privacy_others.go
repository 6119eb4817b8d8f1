package main

import (
	"bufio"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/veilsum/veilsum/privacy/accountant"
)

//go:embed bench_privacy.py
var othersScript string

func othersGroup() benchGroup {
	return benchGroup{"other accountants", []benchFigure{
		{"dp_accounting_rdp_over_ours", "ratio", "", 0},
		{"dp_accounting_pld_over_ours", "ratio", "", 0},
		{"prv_accountant_over_ours", "ratio", "", 0},
		{"dp_accounting_rdp_query", "ms", "", 0},
		{"dp_accounting_pld_query", "ms", "", 0},
		{"prv_accountant_query", "ms", "", 0},
	}, (*bench).measureOthers}
}

// others is a running Python that answers one query after the other.
type others struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

func startOthers(ctx context.Context, python string) (*others, func(), error) {
	cmd := exec.CommandContext(ctx, python, "-c", othersScript)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, withHint(fmt.Errorf("--python: %w", err), "a Python with dp_accounting==0.6.0 and prv_accountant==0.2.0")
	}
	return &others{in, bufio.NewScanner(out)}, func() { in.Close(); _ = cmd.Wait() }, nil
}

// ask returns processor time in nanoseconds and epsilon.
func (o *others) ask(query string) (nanoseconds, epsilon float64, err error) {
	if _, err := fmt.Fprintln(o.in, query); err != nil {
		return 0, 0, err
	}
	if !o.out.Scan() {
		return 0, 0, withHint(fmt.Errorf("--python: it ended: %w", cmp.Or(o.out.Err(), io.ErrUnexpectedEOF)), "does it have dp_accounting?")
	}
	if why, failed := strings.CutPrefix(o.out.Text(), "failed "); failed {
		return 0, 0, errOther{why}
	}
	_, err = fmt.Sscan(o.out.Text(), &nanoseconds, &epsilon)
	return nanoseconds * 1e9, epsilon, err
}

// errOther is a query that the other accountant cannot answer.
type errOther struct{ why string }

// Error implements error.
func (e errOther) Error() string { return e.why }

// measureOthers puts the same query to all in turn.
func (b *bench) measureOthers(ctx context.Context) error {
	o, stop, err := startOthers(ctx, b.python)
	if err != nil {
		return err
	}
	defer stop()
	for _, c := range []struct {
		query, name string
		parts       int // our queries for one of theirs: the clock is coarse
		ours        func() error
	}{{"rdp", "dp_accounting_rdp", 20, askRDP}, {"pld", "dp_accounting_pld", 2, askPLD(100_000)}, {"prv", "prv_accountant", 2, askPLD(100_000)}} {
		theirs, ours := &benchTimer{}, timerOf(times(c.parts, c.ours))
		for range min(5, b.sizes.reps) {
			took, epsilon, err := o.ask(c.query)
			if cannot := (errOther{}); errors.As(err, &cannot) {
				b.app.out.Warn("%s: not compared: %s", c.name, cannot.why)
				break
			}
			if err != nil {
				return err
			}
			if err := agreesWithOurs(c.query, epsilon); err != nil {
				return err
			}
			theirs.times = append(theirs.times, took)
			if err := once(ctx, ours); err != nil {
				return err
			}
		}
		if len(theirs.times) > 0 {
			b.put(c.name+"_over_ours", theirs.over(ours, 1, c.parts))
			b.put(c.name+"_query", theirs.per(1)/1e6)
		}
	}
	return nil
}

// once takes one time.
func once(ctx context.Context, t *benchTimer) error {
	one := timerOf(t.work)
	if err := interleave(ctx, 1, one); err != nil {
		return err
	}
	t.times = append(t.times, one.times...)
	return nil
}

// agreesWithOurs makes sure that both answer the same question: within 5 %, as prv_accountant
// returns an upper bound with an allowance of 0.1.
func agreesWithOurs(query string, theirs float64) error {
	ours, err := accountant.Judge(benchTraining(100_000, 0.005, 1.2), accountant.AddRemove, benchDelta)
	if err != nil {
		return err
	}
	want := ours.PLD.Upper
	if query == "rdp" {
		want = ours.RDP.Epsilon
	}
	if !(theirs > 0.95*want && theirs < 1.05*want) {
		return fmt.Errorf("%s answers epsilon %g, ours is %g", query, theirs, want)
	}
	return nil
}
