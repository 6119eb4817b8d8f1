// Command veilsum-vehicle is the small program of a vehicle: it seals updates and
// sends them to a gateway or a directory. It carries neither Arrow nor an S3
// client, and may take turns with "veilsum client" on one directory.
package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/cmd/internal/vehicle"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
)

const program = "veilsum-vehicle"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var out ui.Printer = ui.NewText(program, stdout, stderr)
	asJSON := false
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { // anywhere, also before a mistake
		is := a == "--json" || a == "-json"
		asJSON = asJSON || is
		return is
	})
	if asJSON {
		out = ui.NewJSON(stdout)
	}
	stop := watch(out)
	defer stop()
	code, err := dispatch(ctx, args, &vehicle.Program{
		Name: program, Out: out, JSON: asJSON, Stdin: stdin,
		ReadKey: keyfile.Read, NewKey: func(path string) (ed25519.PrivateKey, error) { return keyfile.New(path, false) },
		OpenStore: openStore,
	}, stdout)
	if failed := out.Done(); err == nil && failed != nil {
		err = fmt.Errorf("write the result: %w", failed)
	}
	if err != nil {
		var hint string
		code, hint = exit.Explain(ctx, err, vehicle.Meanings)
		out.Fail(err, hint, code)
	}
	return code
}

// watch prints the progress in full whenever SIGUSR1 arrives.
func watch(out ui.Printer) (stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGUSR1)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-ch:
				out.Status()
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(ch); close(done) }
}

// dispatch finds the verb, reads its flags and runs it.
func dispatch(ctx context.Context, args []string, p *vehicle.Program, stdout io.Writer) (int, error) {
	if len(args) == 0 || slices.Contains([]string{"help", "--help", "-help", "-h"}, args[0]) {
		return exit.Done, overview(stdout)
	}
	all := verbs()
	i := slices.IndexFunc(all, func(v *verb) bool { return v.name == args[0] })
	if i < 0 {
		return 0, &exit.Usage{Err: fmt.Errorf("unknown command %q", args[0]), Hint: "one of " + names(all) + "; \"" + program + " help\" tells more"}
	}
	v := all[i]
	err := v.flags.Parse(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return exit.Done, v.help(stdout)
	}
	if err != nil {
		return 0, &exit.Usage{Err: err, Hint: "\"" + program + " " + v.name + " --help\" lists the flags"}
	}
	if v.flags.NArg() > 0 {
		return 0, exit.Usagef("unexpected argument %q", v.flags.Arg(0))
	}
	given := map[string]bool{}
	v.flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for _, name := range v.required {
		if !given[name] {
			return 0, exit.Usagef("required flag --%s is not set", name)
		}
	}
	return v.do(ctx, p)
}

func names(all []*verb) string {
	var s []string
	for _, v := range all {
		s = append(s, v.name)
	}
	return strings.Join(s, ", ")
}

// openStore opens a directory that exists; a mistyped one must not look like an empty store.
func openStore(raw string) (storage.Store, error) {
	path, isDir := strings.CutPrefix(raw, "file:")
	switch {
	case raw == "":
		return nil, &exit.Usage{Err: errors.New("--store is required"), Hint: "--store https://HOST:PORT or --store file:DIR, or set VEILSUM_STORE"}
	case !isDir && strings.Contains(raw, ":") || path == "" || strings.HasPrefix(path, "//"):
		return nil, &exit.Usage{Err: fmt.Errorf("--store %q: want https://HOST:PORT or file:DIR", raw), Hint: "other stores are for \"veilsum client\""}
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, exit.WithHint(fmt.Errorf("no store at %s", path), "check --store")
	}
	return dir.Open(path)
}
