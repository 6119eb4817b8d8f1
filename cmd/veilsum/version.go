package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/schema"
)

func (a *app) versionCommand() *cobra.Command {
	return verb("version", "Print version, build and format", `Prints what this binary was built from, so that a build can be repeated, and
the format version that it reads and writes.`, "  veilsum version --json", cobra.NoArgs, func(context.Context, []string) error {
		a.out.Result(newVersion())
		return nil
	})
}

type versionResult struct {
	Version  string `json:"version"`
	Format   int    `json:"format"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified"`
	Flags    string `json:"flags,omitempty"`
}

func newVersion() versionResult {
	v := versionResult{Version: "devel", Format: schema.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	var flags []string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Revision = s.Value
		case s.Key == "vcs.modified":
			v.Modified = s.Value == "true"
		case strings.HasPrefix(s.Key, "-") || s.Key == "CGO_ENABLED":
			flags = append(flags, s.Key+"="+s.Value)
		}
	}
	v.Flags = strings.Join(flags, " ")
	return v
}

// Text implements ui.Result.
func (v versionResult) Text() string {
	return fmt.Sprintf("veilsum %s format %d %s %s %s\n", v.Version, v.Format, v.Go, v.Platform, v.Flags)
}
