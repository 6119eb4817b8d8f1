package main

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/privacy/ledger"
)

// readRemembered reads the checkpoints that an earlier audit kept, three lines each;
// none if there is no file yet. What "budget show --remember" writes is such a file.
func readRemembered(name string) ([]ledger.Checkpoint, error) {
	if name == "" {
		return nil, nil
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []ledger.Checkpoint
	for text := string(b); text != "" || len(all) == 0; {
		lines := strings.SplitAfterN(text, "\n", 4)
		one := strings.Join(lines[:min(3, len(lines))], "")
		c, err := ledger.ParseCheckpoint(one)
		if err != nil {
			return nil, usage("--remember %s: %w", name, err)
		}
		if slices.ContainsFunc(all, func(x ledger.Checkpoint) bool { return x.Origin == c.Origin }) {
			return nil, usage("--remember %s: two checkpoints of %s", name, c.Origin)
		}
		all, text = append(all, c), text[len(one):]
	}
	return all, nil
}

// writeRemembered replaces the file whole by the checkpoints that were found, and those
// of ledgers that this audit did not look at.
func writeRemembered(name string, before, found []ledger.Checkpoint) error {
	if name == "" {
		return nil
	}
	all := slices.Clone(found)
	for _, c := range before {
		if !slices.ContainsFunc(found, func(x ledger.Checkpoint) bool { return x.Origin == c.Origin }) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b ledger.Checkpoint) int { return cmp.Compare(a.Origin, b.Origin) })
	var text strings.Builder
	for _, c := range all {
		text.WriteString(c.Text())
	}
	return writeFile(name, []byte(text.String()), 0o644, true)
}
