package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	inCode   = regexp.MustCompile("`veilsum ([a-z]+(?: [a-z]+)?)([^`]*)`")
	onPrompt = regexp.MustCompile(`(?m)^\$ veilsum ([a-z]+(?: [a-z]+)?)([^#|\n]*)`)
	oneFlag  = regexp.MustCompile(`--[a-z-]+`)
)

// TestOperatingCommands: every command and flag on the pages for people exists. What stands in the blocks marked sh is played by TestDocsWalk.
func TestOperatingCommands(t *testing.T) {
	for page, least := range map[string]int{
		"OPERATING.md": 20, "README.md": 20, "docs/OPERATOR.md": 15, "docs/AUDITOR.md": 4, "docs/LIBRARY.md": 0, "docs/MIGRATE.md": 4,
	} {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		found := slices.Concat(inCode.FindAllStringSubmatch(string(text), -1), onPrompt.FindAllStringSubmatch(string(text), -1))
		for _, m := range found {
			checkCommand(t, page, m)
		}
		if len(found) < least {
			t.Error(page, len(found), "commands found")
		}
	}
}

// checkCommand looks up m, the whole text, the command and what is behind it.
func checkCommand(t *testing.T, page string, m []string) {
	t.Helper()
	root := newApp(strings.NewReader(""), os.Stdout, os.Stderr).rootCommand()
	c, rest, err := root.Find(strings.Fields(m[1]))
	if err != nil || c == root || len(rest) > 0 && !c.Runnable() || c.HasSubCommands() && len(rest) > 0 {
		t.Errorf("%s: %s: no such command", page, m[0])
		return
	}
	for _, f := range oneFlag.FindAllString(m[2], -1) {
		if c.Flag(strings.TrimPrefix(f, "--")) == nil {
			t.Errorf("%s: %s: no flag %s", page, m[0], f)
		}
	}
}
