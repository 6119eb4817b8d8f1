package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	inCode  = regexp.MustCompile("`veilsum ([a-z]+(?: [a-z]+)?)([^`]*)`")
	oneFlag = regexp.MustCompile(`--[a-z-]+`)
)

// TestOperatingCommands: every command and flag on the operator's page exists.
func TestOperatingCommands(t *testing.T) {
	text, err := os.ReadFile("../../OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range inCode.FindAllStringSubmatch(string(text), -1) {
		found++
		root := newApp(strings.NewReader(""), os.Stdout, os.Stderr).rootCommand()
		c, rest, err := root.Find(strings.Fields(m[1]))
		if err != nil || c == root || len(rest) > 0 && !c.Runnable() || c.HasSubCommands() && len(rest) > 0 {
			t.Errorf("%s: no such command", m[0])
			continue
		}
		for _, f := range oneFlag.FindAllString(m[2], -1) {
			if c.Flag(strings.TrimPrefix(f, "--")) == nil {
				t.Errorf("%s: no flag %s", m[0], f)
			}
		}
	}
	if found < 20 {
		t.Error(found, "commands found")
	}
}
