package main

import (
	"archive/zip"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdUnzip unpacks testdata/old/NAME into the script's folder: unzip NAME.
func cmdUnzip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: unzip NAME")
	}
	r, err := zip.OpenReader(filepath.Join(packageDir, "testdata", "old", args[0]))
	ts.Check(err)
	defer r.Close()
	ts.Check(fs.WalkDir(r, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(r, name)
		if err != nil {
			return err
		}
		path := ts.MkAbs(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o600)
	}))
}

// packageDir is where the tests started.
var packageDir, _ = os.Getwd()
