package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/keyring"
	"github.com/veilsum/veilsum/cmd/internal/ui"
)

// app is what all commands share.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	json   bool
	out    ui.Printer
	code   int // exit status of a command that succeeded, 0 or exitRefused

	identity, passphrase keyring.Source // what opens encrypted keys
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, out: ui.NewText("veilsum", stdout, stderr)}
	a.identity.Stdin, a.identity.Prompt = stdin, stderr
	a.passphrase.Stdin, a.passphrase.Prompt = stdin, stderr
	return a
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "veilsum",
		Short: "Private sums over a fleet: one sealed message a vehicle, one noisy sum a round",
		Long: `veilsum collects model updates or statistics from vehicles that nobody can
gather: each seals one message, a committee opens only the noisy sum of one
list, and the privacy budget is charged before anything is opened.

Try "veilsum demo" first. A job is: key new (owner, collector, authority),
committee init (each member), task new, committee init --epochs (each member),
fleet enroll; then for each round: round open, client seal (each vehicle),
round close, committee check, round propose, committee vote, committee answer
(each member), batch sum, round collect. "committee serve" does all of a member's steps.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              noSubcommand,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { a.choosePrinter(); return nil },
	}
	root.SuggestionsMinimumDistance = suggestDistance
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print typed JSON lines instead of text")
	root.PersistentFlags().StringVar(&a.identity.Path, "identity", "", "age identity file that opens encrypted keys, - for standard input")
	root.PersistentFlags().StringVar(&a.passphrase.Path, "passphrase-file", "", "file with the passphrase of encrypted keys, - for standard input")
	root.SetFlagErrorFunc(badFlags)
	root.AddCommand(a.keyCommand(), a.taskCommand(), a.fleetCommand(), a.committeeCommand(), a.roundCommand(),
		a.modelCommand(), a.clientCommand(), a.batchCommand(), a.regionCommand(), a.statsCommand(), a.budgetCommand(), a.auditCommand(), a.storeCommand(), a.serveCommand(), a.statusCommand(), a.demoCommand(), a.benchCommand(), a.versionCommand())
	return root
}

func (a *app) choosePrinter() {
	if a.json {
		a.out = ui.NewJSON(a.stdout)
	}
}

// noSubcommand refuses words that are no command, with a suggestion.
func noSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	msg := fmt.Sprintf("unknown command %q for %q", args[0], c.CommandPath())
	if s := c.SuggestionsFor(args[0]); len(s) > 0 {
		return &usageError{Err: fmt.Errorf("%s", msg), Hint: "did you mean " + strings.Join(s, ", ") + "?"}
	}
	return &usageError{Err: fmt.Errorf("%s", msg), Hint: fmt.Sprintf("%q lists the commands", c.CommandPath()+" --help")}
}

// badFlags is a mistake in the flags or arguments of a command.
func badFlags(c *cobra.Command, err error) error {
	return &usageError{Err: err, Hint: fmt.Sprintf("%q explains them and shows an example", c.CommandPath()+" --help")}
}

// suggestDistance is how many letters a mistyped command may differ from a suggestion.
const suggestDistance = 2

// noun is a command that only groups verbs.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noSubcommand, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.SuggestionsMinimumDistance = suggestDistance
	c.AddCommand(verbs...)
	return c
}

// verb is a command that does something. Its help ends with an example and the exit status.
func verb(use, short, long, example string, args cobra.PositionalArgs, do func(ctx context.Context, args []string) error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Long: strings.TrimSpace(short + ".\n\n" + long),
		Args: func(c *cobra.Command, given []string) error {
			if err := errors.Join(args(c, given), c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
				return badFlags(c, err)
			}
			return nil
		},
		RunE: func(c *cobra.Command, given []string) error { return do(c.Context(), given) },
	}
	c.SetHelpTemplate("{{.Long}}\n\n{{.UsageString}}" + exitHelp + "\n\nEXAMPLE\n" + example + "\n")
	return c
}

// watchStatus prints the progress in full whenever SIGUSR1 arrives.
func (a *app) watchStatus() (stop func()) {
	ch, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(ch, syscall.SIGUSR1)
	go func() {
		for {
			select {
			case <-ch:
				a.out.Status()
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(ch); close(done) }
}

// finish prints the error, if any, and returns the exit status.
func (a *app) finish(ctx context.Context, err error) int {
	if failed := a.out.Done(); err == nil && failed != nil {
		err = fmt.Errorf("write the result: %w", failed)
	}
	if err == nil {
		return a.code
	}
	code, hint := explain(ctx, err)
	a.out.Fail(err, hint, code)
	return code
}

// progress adapts the printer to the pipeline's callbacks.
func (a *app) progress(what string) func(done, total int) {
	return func(done, total int) { a.out.Progress(what, int64(done), int64(total)) }
}
