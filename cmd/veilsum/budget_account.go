package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// maxQuery bounds the question on standard input.
const maxQuery = 16 << 20

func (a *app) budgetAccountCommand() *cobra.Command {
	return verb("account", "Judge what was released, by every accountant", `Reads an object {"event": …, "relation": …, "delta": …} from standard input and
prints what each accountant proves of it: Rényi differential privacy with the
order that gave epsilon, privacy-loss distributions with a lower and an upper
bound, and the exact value where a formula exists. An accountant that does not
support the event is left out (null with --json); what none supports is refused
(exit status 2), never guessed. "relation" is add_remove, zero_out or replace_one.
Needs no store.

EVENTS  gaussian, laplace, discrete_gaussian, discrete_laplace, distributed_discrete_gaussian, skellam,
randomized_response, zcdp; sampled: poisson, truncated_poisson_gaussian, wor, mixture_gaussian; over
many steps: tree, matrix, self_composed ("event" and "count"), composed ("events", a list).
"go doc github.com/veilsum/veilsum/privacy/accountant.Gaussian" tells what each is and needs.`,
		`  echo '{"event": {"type": "gaussian", "noise_multiplier": 1}, "relation": "add_remove", "delta": 1e-5}' | veilsum budget account --json
  echo '{"event": {"type": "self_composed", "count": 100, "event": {"type": "poisson", "sampling_probability": 0.01,
    "event": {"type": "gaussian", "noise_multiplier": 1}}}, "relation": "add_remove", "delta": 1e-5}' | veilsum budget account`,
		cobra.NoArgs, func(context.Context, []string) error { return a.budgetAccount() })
}

func (a *app) budgetAccount() error {
	raw, err := readLimited(a.stdin, "standard input", maxQuery)
	if err != nil {
		return err
	}
	q, err := accountant.ParseQuery(raw)
	if err != nil {
		return &usageError{Err: err, Hint: `"veilsum budget account --help" shows the form`}
	}
	report, err := accountant.Judge(q.Event, q.Relation, q.Delta)
	if errors.Is(err, accountant.ErrEvent) { // also an event that nobody supports
		return &usageError{Err: err, Hint: "no accountant here has a bound for this event under this relation; it is not guessed"}
	}
	if err != nil {
		return err
	}
	a.out.Result(accountResult{report})
	return nil
}

// accountResult is a report of the accountants.
type accountResult struct{ accountant.Report }

// Text implements ui.Result.
func (r accountResult) Text() string {
	b := &strings.Builder{}
	if r.RDP != nil {
		fmt.Fprintf(b, "rdp    epsilon %.6g at order %g\n", r.RDP.Epsilon, r.RDP.Order)
	}
	if r.PLD != nil {
		fmt.Fprintf(b, "pld    epsilon %.6g to %.6g\n", r.PLD.Lower, r.PLD.Upper)
	}
	if r.Exact != nil {
		fmt.Fprintf(b, "exact  epsilon %.12g\n", *r.Exact)
	}
	return b.String()
}
