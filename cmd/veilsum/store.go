package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/ui"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/doctor"
)

func (a *app) storeCommand() *cobra.Command {
	f := &taskFlags{}
	ls := verb("ls [PREFIX]", "List objects in a store", `Prints size, time and name of every object whose name starts with PREFIX,
in order. Names are those of schema/FORMAT.md.`, "  veilsum store ls --store file:./store tasks/", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error {
			return a.list(ctx, f, strings.Join(args, ""))
		})
	f.registerStore(ls)
	return noun("store", "Look after a store", ls, a.storeDoctorCommand(), a.storeFsckCommand(), a.storeGCCommand())
}

type objectLine struct {
	Key      string    `json:"key"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// Text implements ui.Result.
func (o objectLine) Text() string {
	return fmt.Sprintf("%12d  %s  %s\n", o.Size, o.Modified.UTC().Format(time.RFC3339), o.Key)
}

var _ ui.Result = objectLine{}

func (a *app) list(ctx context.Context, f *taskFlags, prefix string) error {
	s, err := openStore(f.store)
	if err != nil {
		return err
	}
	for info, err := range s.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		a.out.Result(objectLine{info.Key, info.Size, info.Modified})
	}
	return nil
}

// urlFlag is a store named by an argument or by --store.
type urlFlag struct{ taskFlags }

func (f *urlFlag) registerURL(c *cobra.Command) *cobra.Command {
	f.registerStore(c)
	return c
}

func (f *urlFlag) open(args []string) (storage.Store, error) {
	if len(args) > 0 {
		if f.store != "" && f.store != os.Getenv("VEILSUM_STORE") {
			return nil, usage("the store is named twice, by --store and by an argument")
		}
		f.store = args[0]
	}
	return openStore(f.store)
}

func (a *app) storeDoctorCommand() *cobra.Command {
	f := &urlFlag{}
	return f.registerURL(verb("doctor [URL]", "Find out whether a store keeps its promises", `Everything rests on one promise of the store: of any number of writers to one
name exactly one wins, and each of them learns who did. There are servers that
answer "200 OK" and overwrite. Tries it on every path by which veilsum writes,
with racing writers; tries that damaged uploads are refused, that lists are
ordered and complete, ranges, deleting, the clock, and what else the driver
knows to go wrong: symbolic links and network file systems in a directory,
encryption that is none and retention that does not hold on an S3 server.

Writes small objects below veilsum-probe/ and removes them. Prints ok, warn or
FAIL for each check; with --json a line "type":"check" for each and a result.
Exit status 1 if a check fails: such a store must not be used. "task new" and "round
open" make the two most important of these checks themselves, each time.`,
		`  veilsum store doctor file:./store
  veilsum store doctor "s3://bucket/prefix?endpoint=127.0.0.1:7070&tls=false"`,
		cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error { return a.doctor(ctx, f, args) }))
}

func (a *app) doctor(ctx context.Context, f *urlFlag, args []string) error {
	s, err := f.open(args)
	if err != nil {
		return err
	}
	r := doctorResult{Store: s.String(), Checks: []storage.Finding{}}
	err = doctor.Examine(ctx, s, func(x storage.Finding) {
		r.Checks = append(r.Checks, x)
		switch x.Level {
		case storage.Warning:
			r.Warnings++
		case storage.Failure:
			r.Failures++
		}
		if a.json {
			a.out.Event("check", findingLine{x})
		}
	})
	r.Usable = err == nil
	a.out.Result(r)
	return err
}

// findingLine is one check.
type findingLine struct{ storage.Finding }

// Text implements ui.Result.
func (l findingLine) Text() string {
	return fmt.Sprintf("%-4s  %-22s  %s\n", l.Level, l.Check, l.Detail)
}

type doctorResult struct {
	Store    string            `json:"store"`
	Usable   bool              `json:"usable"`
	Warnings int               `json:"warnings"`
	Failures int               `json:"failures"`
	Checks   []storage.Finding `json:"checks"`
}

// Text implements ui.Result.
func (r doctorResult) Text() string {
	var b strings.Builder
	for _, x := range r.Checks {
		b.WriteString(findingLine{x}.Text())
	}
	switch {
	case r.Usable:
		fmt.Fprintf(&b, "%s can be used: %d checks, %d warnings\n", r.Store, len(r.Checks), r.Warnings)
	case r.Failures > 0:
		fmt.Fprintf(&b, "%s must NOT be used: %d of %d checks fail\n", r.Store, r.Failures, len(r.Checks))
	}
	return b.String()
}
