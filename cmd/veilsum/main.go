// Command veilsum runs secure-aggregation rounds over a store: it makes tasks,
// enrolls vehicles, seals updates, and lets a committee open one noisy sum of
// one list. Run "veilsum demo" for a whole federated training in one process.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/arrowchild"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == arrowchild.Command { // this program, started by itself
		if err := arrowchild.Main(stdin, stdout); err != nil {
			fmt.Fprintln(stderr, "veilsum: error:", err)
			return exit.Failed
		}
		return exit.Done
	}
	a := newApp(stdin, stdout, stderr)
	a.json = slices.Contains(args, "--json") // also for mistakes that end the parsing of flags
	a.choosePrinter()
	root := a.rootCommand()
	root.SetArgs(args)
	stop := a.watchStatus()
	defer stop()
	return a.finish(ctx, root.ExecuteContext(ctx))
}
