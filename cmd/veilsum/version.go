package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/version"
)

func (a *app) versionCommand() *cobra.Command {
	return verb("version", "Print version, build and format", `Prints what this binary was built from, so that a build can be repeated, and
the format version that it reads and writes.`, "  veilsum version --json", cobra.NoArgs, func(context.Context, []string) error {
		a.out.Result(version.New("veilsum"))
		return nil
	})
}
