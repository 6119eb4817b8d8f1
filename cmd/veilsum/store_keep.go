package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/keeper"
)

// errFlaws: fsck found something, and has said what.
var errFlaws = errors.New("the store is not whole")

type fsckFlags struct {
	urlFlag
	quick bool
	pass  bool
}

func (a *app) storeFsckCommand() *cobra.Command {
	f := &fsckFlags{}
	c := f.registerURL(verb("fsck [URL]", "Check that a store is whole", `Reads every object: that its name is one of schema/FORMAT.md, that it decodes, is
signed by who should have signed it, and is what its name says; that everything
a receipt names exists with its hash and size; that the list it opened was certified
by the votes and paid for in the ledger; and that every ledger hangs together. Needs no
key: it trusts the keys that the tasks in the store name. That these are the
right ones, that the sums are right and the budget holds is what "audit" is for.

Prints a line for each finding: flaw (damaged, missing, or where it does not
belong), orphan (nobody needs it; "store gc" removes it from ended rounds), or note. With
--json lines of "type":"finding" and a result. Exit status 5 if there is a flaw.

Whoever can write to the store can plant objects that do not verify, which every role
takes for silence; --pass-unnamed only notes flaws of objects that no receipt names.`,
		`  veilsum store fsck file:./store
  veilsum store fsck --quick "s3://bucket/prefix?endpoint=127.0.0.1:7070&tls=false"`,
		cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error { return a.fsck(ctx, f, args) }))
	c.Flags().BoolVar(&f.quick, "quick", false, "read no models, pieces, sums and aggregates; compare names and sizes")
	c.Flags().BoolVar(&f.pass, "pass-unnamed", false, "only note flaws of objects that no receipt names")
	return c
}

func (a *app) fsck(ctx context.Context, f *fsckFlags, args []string) error {
	s, err := f.open(args)
	if err != nil {
		return err
	}
	if err := pipeline.CheckFormat(ctx, s); err != nil {
		return err
	}
	r := fsckResult{Store: s.String(), Findings: []keeper.Finding{}}
	r.Checked, err = keeper.Check(ctx, s, keeper.CheckOptions{
		Quick: f.quick, PassUnnamed: f.pass, Progress: a.counted("rounds checked"),
		Found: func(x keeper.Finding) {
			if a.json {
				a.out.Event("finding", checkLine{x})
				return
			}
			r.Findings = append(r.Findings, x)
		},
	})
	if err != nil {
		return err
	}
	r.Whole = r.Flaws == 0
	a.out.Result(r)
	if !r.Whole {
		return fmt.Errorf("%w: %d flaws", errFlaws, r.Flaws)
	}
	return nil
}

// counted is progress towards a total that is not known.
func (a *app) counted(what string) func(n int) {
	return func(n int) { a.out.Progress(what, int64(n), 0) }
}

type checkLine struct{ keeper.Finding }

// Text implements ui.Result.
func (l checkLine) Text() string {
	text := fmt.Sprintf("%-6s  %s: %s", l.Kind, l.Object, l.Finding.Text)
	if l.Amount.Objects > 0 {
		text += fmt.Sprintf(" (%s)", l.Amount)
	}
	return text + "\n"
}

type fsckResult struct {
	Store string `json:"store"`
	Whole bool   `json:"whole"`
	*keeper.Checked
	Findings []keeper.Finding `json:"-"` // in JSON each is a line of its own
}

// Text implements ui.Result.
func (r fsckResult) Text() string {
	var b strings.Builder
	for _, x := range r.Findings {
		b.WriteString(checkLine{x}.Text())
	}
	var total keeper.Amount
	for _, n := range r.Objects {
		total.Objects, total.Bytes = total.Objects+n.Objects, total.Bytes+n.Bytes
	}
	fmt.Fprintf(&b, "%s; rounds: %d committed, %d void, %d open\n", total, r.Committed, r.Void, r.Open)
	if !r.Whole {
		fmt.Fprintf(&b, "NOT whole: %d flaws\n", r.Flaws)
		return b.String()
	}
	fmt.Fprintf(&b, "the store is whole; orphans: %s\n", r.Orphans)
	return b.String()
}

type gcFlags struct {
	urlFlag
	grace, abandoned, pieces string
	delete                   bool
}

func (a *app) storeGCCommand() *cobra.Command {
	f := &gcFlags{}
	c := f.registerURL(verb("gc [URL]", "Remove what no receipt and no open round needs", `Shows what could be removed; --delete removes it. It may run beside all roles.

From rounds that have ended, and whose receipt verifies, go after --grace: partial sums and
aggregates that the receipt does not name, pieces of reports that were never
complete or are not in the certified list, and a gateway's notes. Writes that
were interrupted (temporary files, uploads in parts, probes) go after --abandoned.

PIECES  are most of a store. --pieces after=30d also removes those in the
list once the receipt is that old, if the sum that takes their place is whole. "audit"
then takes the sum of c as the Collector signed it, and verifies the rest as before.
The default is keep.

STAYS  Everything of rounds that are open or whose receipt does not verify;
all that is signed; headers with their boxes, models, snapshots, the ledger; and every name
that is not ours. A round of which something is missing is spared as a whole. In
a bucket with versions or retention the room is free when the versions expire.

Ages are days (7d) or Go durations (36h), by the clock of the store. With --json lines of
"type":"removal" and a result.`,
		`  veilsum store gc file:./store
  veilsum store gc --pieces after=30d --delete "s3://bucket/prefix"`,
		cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error { return a.gc(ctx, f, args) }))
	c.Flags().BoolVar(&f.delete, "delete", false, "remove, instead of showing what would be")
	c.Flags().StringVar(&f.grace, "grace", "7d", "least age of what an ended round left behind")
	c.Flags().StringVar(&f.abandoned, "abandoned", "24h", "age at which an interrupted write is taken for dead")
	c.Flags().StringVar(&f.pieces, "pieces", "keep", "keep, or after=AGE: remove the pieces of rounds whose receipt is so old")
	return c
}

// ageFlag reads a positive age in days or as a Go duration.
func ageFlag(flag, s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		if n > 36_500 {
			err = errors.New("too long")
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return 0, usage("%s %q: want an age above 0, such as 7d or 36h", flag, s)
	}
	return d, nil
}

func (f *gcFlags) options() (opt keeper.SweepOptions, err error) {
	opt.Delete = f.delete
	if opt.Grace, err = ageFlag("--grace", f.grace); err != nil {
		return opt, err
	}
	if opt.Abandoned, err = ageFlag("--abandoned", f.abandoned); err != nil {
		return opt, err
	}
	if f.pieces == "keep" {
		return opt, nil
	}
	after, ok := strings.CutPrefix(f.pieces, "after=")
	if !ok {
		return opt, usage("--pieces %q: want keep or after=AGE", f.pieces)
	}
	opt.PiecesAfter, err = ageFlag("--pieces after=", after)
	return opt, err
}

func (a *app) gc(ctx context.Context, f *gcFlags, args []string) error {
	opt, err := f.options()
	if err != nil {
		return err
	}
	s, err := f.open(args)
	if err != nil {
		return err
	}
	if err := pipeline.CheckFormat(ctx, s); err != nil {
		return err
	}
	opt.Progress = a.counted("rounds swept")
	if a.json {
		opt.Removed = func(r keeper.Removal) { a.out.Event("removal", removalLine{r}) }
	}
	swept, err := keeper.Sweep(ctx, s, opt)
	if err != nil {
		return err
	}
	a.out.Result(gcResult{s.String(), swept})
	return nil
}

type removalLine struct{ keeper.Removal }

// Text implements ui.Result.
func (l removalLine) Text() string { return fmt.Sprintf("%s: %s\n", l.Object, l.Why) }

type gcResult struct {
	Store string `json:"store"`
	*keeper.Swept
}

// Text implements ui.Result.
func (r gcResult) Text() string {
	var b strings.Builder
	verb, all := "would be removed", keeper.Amount{}
	if r.Deleted {
		verb = "removed"
	}
	for _, why := range slices.Sorted(maps.Keys(r.Removed)) {
		n := r.Removed[why]
		all.Objects, all.Bytes = all.Objects+n.Objects, all.Bytes+n.Bytes
		fmt.Fprintf(&b, "%s: %s, each a %s\n", verb, n, why)
	}
	for _, n := range r.Spared {
		fmt.Fprintf(&b, "spared: %s: %s\n", n.Object, n.Text)
	}
	fmt.Fprintf(&b, "%s %s; kept %s; %d of %d rounds have ended\n", all, verb, r.Kept, r.Ended, r.Rounds)
	if !r.Deleted && all.Objects > 0 {
		b.WriteString("nothing was changed; --delete removes them\n")
	}
	return b.String()
}
