package main

import (
	"debug/buildinfo"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxBytes is the most that the stripped program may take: every byte goes over a satellite link with every update.
const maxBytes = 8_000_000

// releaseTags are those of .ci/release/build; the scripts pass with them, too: go test -tags nolibrarynoise,nethttpomithttp2 .
const releaseTags = "nolibrarynoise,nethttpomithttp2"

// TestSmall builds the program as a release does, for both machines, and looks at what is in it.
func TestSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program twice")
	}
	for _, arch := range []string{"amd64", "arm64"} {
		path := filepath.Join(t.TempDir(), program)
		build(t, path, ".", []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + arch}, "-trimpath", "-tags="+releaseTags, "-ldflags=-s -w")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("linux/%s: %d bytes", arch, info.Size())
		if info.Size() > maxBytes {
			t.Errorf("linux/%s: %d bytes, at most %d", arch, info.Size(), maxBytes)
		}
		b, err := buildinfo.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var modules []string
		for _, m := range b.Deps {
			modules = append(modules, m.Path)
			for _, banned := range []string{"github.com/apache/arrow", "github.com/minio/minio-go", "github.com/spf13/cobra", "github.com/prometheus/client_golang"} {
				if strings.HasPrefix(m.Path, banned) {
					t.Errorf("linux/%s carries %s", arch, m.Path)
				}
			}
		}
		if !slices.Contains(modules, "github.com/tuneinsight/lattigo/v5") {
			t.Error("the list of modules is not that of the program:", modules)
		}
	}
}
