// Package version tells what a program was built from.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/veilsum/veilsum/schema"
)

// Result is what a program was built from, so that the build can be repeated.
type Result struct {
	Version  string `json:"version"`
	Format   int    `json:"format"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified"`
	Flags    string `json:"flags,omitempty"`
	program  string
}

// New reads what is built into the program of the given name.
func New(program string) Result {
	v := Result{program: program, Version: "devel", Format: schema.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
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
func (v Result) Text() string {
	return fmt.Sprintf("%s %s format %d %s %s %s\n", v.program, v.Version, v.Format, v.Go, v.Platform, v.Flags)
}
