package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/auditor"
	"github.com/veilsum/veilsum/schema"
)

type auditFlags struct {
	taskFlags
	key       string // another name of --owner
	pieces    bool
	noPieces  bool
	pass      bool
	remember  string
	out       string
	statement string
	table     string
	force     bool
	stores    storesFlag
}

func (a *app) auditCommand() *cobra.Command {
	f := &auditFlags{}
	c := f.register(verb("audit", "Recompute every claim of a store offline", auditLong,
		`  veilsum audit --store file:./store --owner owner.pub
  veilsum audit --store file:./store --owner owner.pub --pieces --out audit.html --statement privacy-statement.json --table rounds.arrow
  veilsum audit --store file:./store --owner owner.pub --remember ledger.checkpoint`,
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return a.audit(ctx, f) }))
	c.Flags().Lookup("task").Usage = "audit only this task; default all of the owner's (VEILSUM_TASK)"
	c.Flags().StringVar(&f.key, "key", "", "the same as --owner")
	c.Flags().BoolVar(&f.pieces, "pieces", false, "require the pieces of every report, to add every sum again")
	c.Flags().BoolVar(&f.noPieces, "no-pieces", false, "read no pieces; the sums of c are taken as signed")
	c.Flags().BoolVar(&f.pass, "pass-unnamed", false, "only note objects that do not verify if no receipt names them")
	c.Flags().StringVar(&f.remember, "remember", "", "file that keeps the newest checkpoint of every ledger for the next audit")
	c.Flags().StringVar(&f.out, "out", "", "write the report as one HTML page to this file")
	c.Flags().StringVar(&f.statement, "statement", "", "write the privacy statement as JSON to this file")
	c.Flags().StringVar(&f.table, "table", "", "write a table with a row for each round, as an Arrow file")
	c.Flags().BoolVar(&f.force, "force", false, "overwrite the files")
	f.stores.register(c)
	c.AddCommand(a.auditCanaryCommand(), a.auditConfigCommand())
	return c
}

const auditLong = `Trusts nobody but the privacy owner's key (--owner, which you got on a way you
trust) and needs no secret. Verifies, of every round of every task of the owner
in the store: task and derived numbers, descriptor, round keys, model,
enrollment snapshot, candidates, checks, manifests, reservation, votes, answers,
and every header of the list. Adds the reports up again, opens the sum with the
answers, and compares the opening, the witness variance and the aggregate byte for byte
with the receipt. Verifies every entry, bundle, tile and checkpoint of the scope's
ledger, that every vote names the checkpoint that paid for its list, and that entries and
receipts end rounds alike. Then counts every charge of the scope: epsilon by two
accountants against the budget at every charge, and every vehicle's participations.

At the first flaw it stops, names the object, and exits with status 5.

LEDGER  Nothing can be missing or changed in the middle of a ledger. But nobody can see
that Collectors and store replaced all of it, or took its newest entries back together with
their rounds, without a checkpoint that was kept elsewhere. --remember keeps the newest one of
every ledger in a file; a ledger that does not continue it is a flaw, and so is one that
is gone. The file is replaced only if all evidence verifies.

DEPTH  With the pieces of all reports a sum is added again in full. Where pieces
are gone, the sum of c is taken as the Collector signed it and only that of corr is
added again; the report says which. --pieces makes missing pieces a flaw,
--no-pieces saves the reading. Pieces of a round with regions lie in the regions' stores:
give them with --region NAME=STORE. They are believed no more than --store; the
report says whose were not given.

OBJECTS THAT NO RECEIPT NAMES  Whoever can write to the store can plant a candidate
list, check, late vote or manifest that does not verify. Every role takes it
for silence; the audit stops at it unless --pass-unnamed.

FILES  --out is for people, offline. --statement is "veilsum-privacy-statement/1":
scopes (unit, relation, delta, epsilon allowed and spent by each accountant, rho
and mu, worst vehicle, counts of vehicles by epochs, participation found), tasks
(mechanism in integers, trust, rounds, noise, signal to noise), plain_language, enforcement,
outside_budget, implementation, not_protected, software with go.sum hashes; "complete" is false if
there was a flaw. --table has a row for each round, with epsilon before and after it.
All three are written in either case.`

func (f *auditFlags) options(progress func(done, total int)) (auditor.Options, error) {
	opt := auditor.Options{PassUnnamed: f.pass, Progress: progress}
	switch {
	case f.pieces && f.noPieces:
		return opt, usage("--pieces and --no-pieces exclude each other")
	case f.pieces:
		opt.Depth = auditor.DepthPieces
	case f.noPieces:
		opt.Depth = auditor.DepthSigned
	}
	if f.key != "" {
		f.owner = f.key
	}
	if f.task == "" {
		return opt, nil
	}
	d, err := schema.ParseDigest(f.task)
	if err != nil {
		return opt, usage("--task: %w", err)
	}
	opt.Task = &schema.TaskID{Digest: d}
	return opt, nil
}

func (a *app) audit(ctx context.Context, f *auditFlags) error {
	opt, err := f.options(a.progress("rounds audited"))
	if err != nil {
		return err
	}
	owner, err := readPublic(f.owner)
	if err != nil {
		return &usageError{Err: fmt.Errorf("--owner: %w", err), Hint: "the privacy owner's public key, which you got on a way you trust; never take it from the store"}
	}
	s, err := openStore(f.store)
	if err != nil {
		return err
	}
	if err := pipeline.CheckFormat(ctx, s); err != nil {
		return err
	}
	if opt.Regions, err = f.stores.open(ctx); err != nil {
		return err
	}
	if opt.Remembered, err = readRemembered(f.remember); err != nil {
		return err
	}
	rep, found := auditor.Audit(ctx, s, owner, opt)
	if found != nil && !errors.Is(found, auditor.ErrFlaw) {
		return found
	}
	if err := f.write(rep); err != nil {
		return errors.Join(found, err)
	}
	a.out.Result(auditResult{rep})
	if found != nil {
		return found
	}
	return writeRemembered(f.remember, opt.Remembered, rep.Checkpoints())
}

// write writes the files that were asked for.
func (f *auditFlags) write(rep *auditor.Report) error {
	for _, file := range []struct {
		name string
		make func() ([]byte, error)
	}{
		{f.out, func() ([]byte, error) { return auditPage(rep) }},
		{f.statement, func() ([]byte, error) {
			b, err := json.MarshalIndent(rep.Statement(), "", "  ")
			return append(b, '\n'), err
		}},
		{f.table, rep.Table},
	} {
		if file.name == "" {
			continue
		}
		b, err := file.make()
		if err != nil {
			return err
		}
		if err := writeFile(file.name, b, 0o644, f.force); err != nil {
			return err
		}
	}
	return nil
}

// auditResult is the report; its text is the short form.
type auditResult struct{ *auditor.Report }

// Text implements ui.Result.
func (r auditResult) Text() string {
	b := &strings.Builder{}
	s := r.Statement()
	for _, t := range s.Tasks {
		fmt.Fprintf(b, "task %s %q: %s committed, %d void, %d open\n", t.ID.Short(), t.Name, many(t.Committed, "round"), t.Void, t.Open)
		fmt.Fprintf(b, "  sums: %d added again from all reports, %d taken as signed\n", t.Recomputed, t.Signed)
		if t.Committed > 0 {
			fmt.Fprintf(b, "  noise: %.4g in a value of the mean, signal %.3g times that (medians)\n", t.NoiseStdDev, t.SNR)
		}
	}
	for _, sc := range s.Scopes {
		fmt.Fprintf(b, "scope %q: epsilon %.6g of %g at delta %g, %s charged%s\n", sc.Name, sc.Spent, sc.Allowed, sc.Delta, many(sc.Epochs, "epoch"), accountsText(sc.Accountants))
		if w := sc.Worst; w != nil {
			fmt.Fprintf(b, "  worst vehicle: %s, epsilon %.6g (%s)\n", many(w.Epochs, "epoch"), w.Epsilon[0].Epsilon, w.Epsilon[0].Accountant)
		}
	}
	for _, sc := range r.Scopes {
		if l := sc.Ledger; l != nil {
			fmt.Fprintf(b, "ledger of %q: %d entries, root %s, %s\n", sc.Scope.Name, l.Size, l.Root, continues(l))
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(b, "note: %s: %s\n", n.Object, n.Text)
	}
	var counts []string
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(r.Objects)) {
		counts, total = append(counts, fmt.Sprintf("%s %d", kind, r.Objects[kind])), total+r.Objects[kind]
	}
	fmt.Fprintf(b, "checked %d objects: %s\n", total, strings.Join(counts, ", "))
	if !r.Complete {
		b.WriteString("NOT VERIFIED: stopped at a flaw; nothing above may be relied on\n")
		return b.String()
	}
	b.WriteString("all evidence verifies\n")
	return b.String()
}

// continues says what is known of a ledger's past.
func continues(l *auditor.Ledger) string {
	if l.Remembered > 0 {
		return fmt.Sprintf("continues the %d of an earlier audit", l.Remembered)
	}
	return "no earlier audit to compare with (--remember)"
}

func accountsText(all []auditor.Account) string {
	var parts []string
	for _, x := range all {
		note := ""
		if x.Ideal {
			note = " (yardstick)"
		}
		parts = append(parts, fmt.Sprintf("%s %.6g%s", x.Accountant, x.Epsilon, note))
	}
	if len(parts) == 0 {
		return "" // the audit ended before it counted
	}
	return " (" + strings.Join(parts, "; ") + ")"
}
