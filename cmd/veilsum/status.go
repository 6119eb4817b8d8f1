package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

func (a *app) statusCommand() *cobra.Command {
	return noun("status", "A page that shows rounds, budget and committee", a.statusServeCommand(), a.statusPageCommand())
}

// statusFlags name a store and the tasks to show.
type statusFlags struct {
	taskFlags
	tasks []string
}

func (f *statusFlags) register(c *cobra.Command) *cobra.Command {
	f.registerStore(c)
	c.Flags().StringVar(&f.owner, "owner", os.Getenv("VEILSUM_OWNER"), "pinned public key of the privacy owner, hexadecimal or a file (VEILSUM_OWNER)")
	c.Flags().StringArrayVar(&f.tasks, "task", []string{"all"}, "TaskID that is shown, several times or \"all\" that the owner signed")
	return c
}

// open checks the store and the tasks.
func (f *statusFlags) open(ctx context.Context) (*statusReader, error) {
	owner, err := f.pinnedOwner()
	if err != nil {
		return nil, err
	}
	s, err := openStore(f.store)
	if err != nil {
		return nil, err
	}
	tasks, err := parseTasks(f.tasks)
	if err != nil {
		return nil, err
	}
	if err := pipeline.CheckFormat(ctx, s); err != nil {
		return nil, err
	}
	for _, id := range tasks {
		if _, err := pipeline.LoadTask(ctx, s, id, owner); err != nil {
			return nil, err
		}
	}
	return newStatusReader(s, f.store, owner, tasks), nil
}

// parseTasks reads TaskIDs; nil stands for "all".
func parseTasks(texts []string) ([]schema.TaskID, error) {
	if len(texts) == 1 && texts[0] == "all" {
		return nil, nil
	}
	ids := []schema.TaskID{}
	for _, text := range texts {
		d, err := schema.ParseDigest(text)
		if err != nil {
			return nil, &usageError{Err: fmt.Errorf("--task %q: %w", text, err), Hint: `a TaskID of 64 hexadecimal digits, or "all" alone`}
		}
		ids = append(ids, schema.TaskID{Digest: d})
	}
	return ids, nil
}

// pinnedOwner reads the owner's key.
func (f *taskFlags) pinnedOwner() (schema.PublicKey, error) {
	owner, err := readPublic(f.owner)
	if err != nil {
		return owner, &usageError{Err: fmt.Errorf("--owner: %w", err), Hint: "the privacy owner's public key, which you got on a way you trust; never take it from the store"}
	}
	return owner, nil
}

const statusHelp = `It shows rounds with their states, reports and bytes, regions, what each member of the
committee signed last, and each budget with the ledger's reservations: what anybody can see who may
read the store. It names no vehicle. Signatures and the ledger are verified; sums are not added again, "audit" does that.`

func (a *app) statusServeCommand() *cobra.Command {
	f := &statusFlags{}
	var listen string
	var public bool
	c := f.register(verb("serve", "Serve the status page", statusHelp+`

The page is read-only and without a password, in the clear, and on this machine only: --status-public
lets other machines reach it. The store is read every few seconds at most, however many requests come. "serve --status" serves it beside a gateway.`,
		"  veilsum status serve --listen 8080 --store file:./store --owner owner.pub", cobra.NoArgs, func(ctx context.Context, _ []string) error {
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
			defer stop()
			reader, err := f.open(ctx)
			if err != nil {
				return err
			}
			failed := make(chan error, 1)
			s, err := serveStatus("--listen", listen, public, reader, failed)
			if err != nil {
				return err
			}
			defer s.Close()
			a.out.Result(statusReady{s.Addr})
			select {
			case err := <-failed:
				return fmt.Errorf("status: %w", err)
			case <-ctx.Done():
				return nil
			}
		}))
	c.Flags().StringVar(&listen, "listen", "8080", "PORT or HOST:PORT")
	c.Flags().BoolVar(&public, "status-public", false, "let --listen be an address that other machines reach")
	return c
}

// serveStatus serves the page on an address of its own.
func serveStatus(flag, address string, public bool, reader *statusReader, failed chan<- error) (*http.Server, error) {
	l, err := loopbackListen(flag, address, public, "--status-public")
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(l.Addr().String())
	local := err == nil && localHost(host)
	return innerServer(l, newStatusPage(reader.read, local).handler(), failed), nil
}

type statusReady struct {
	Status string `json:"status"` // HOST:PORT
}

var _ ui.Result = statusReady{}

// Text implements ui.Result.
func (r statusReady) Text() string { return "status page on http://" + r.Status + "/\n" }

func (a *app) statusPageCommand() *cobra.Command {
	f := &statusFlags{}
	var out string
	var force bool
	c := f.register(verb("page", "Write the status page to a file", statusHelp,
		"  veilsum status page --out status.html --store file:./store --owner owner.pub", cobra.NoArgs, func(ctx context.Context, _ []string) error {
			reader, err := f.open(ctx)
			if err != nil {
				return err
			}
			var page bytes.Buffer
			if err := report.WriteStatus(&page, reader.read(ctx)); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if out == "-" {
				_, err := a.stdout.Write(page.Bytes())
				return err
			}
			return writeFile(out, page.Bytes(), 0o644, force)
		}))
	c.Flags().StringVar(&out, "out", "", "file for the page, - for standard output")
	c.Flags().BoolVar(&force, "force", false, "overwrite --out")
	must(c.MarkFlagRequired("out"))
	return c
}
