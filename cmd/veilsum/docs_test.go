package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fenced is a block of a page: what language it says, and what is in it.
var fenced = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```\n")

// TestDocsWalk plays the blocks marked sh of docs/OPERATOR.md and then of docs/AUDITOR.md in one shell and one folder. Each line of a block
// marked text must be among what the sh block before it printed; … stands for anything.
func TestDocsWalk(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some 150 processes")
	}
	script, want := docsScript(t, "../../docs/OPERATOR.md", "../../docs/AUDITOR.md")
	if len(want) < 10 {
		t.Fatal(len(want), "blocks found")
	}
	c := exec.Command("sh", "-e", "-c", script)
	c.Dir = t.TempDir()
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "VEILSUM_STORE=", "VEILSUM_TASK=", "VEILSUM_OWNER=")
	out, err := c.CombinedOutput()
	printed := strings.Split(string(out), marker)
	if err != nil {
		t.Fatalf("%v in block %d:\n%s", err, len(printed)-1, printed[len(printed)-1])
	}
	for i, lines := range want {
		for _, line := range lines {
			if !matches(line, printed[i]) {
				t.Errorf("block %d does not print\n%s\nbut\n%s", i, line, printed[i])
			}
		}
	}
}

const marker = "-- next block --\n"

// docsScript joins the sh blocks of pages, and returns the lines that each of them must print.
func docsScript(t *testing.T, pages ...string) (script string, want [][]string) {
	t.Helper()
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
			switch m[1] {
			case "sh":
				script += m[2] + fmt.Sprintf("printf %%s '%s'\n", marker)
				want = append(want, nil)
			case "text":
				want[len(want)-1] = append(want[len(want)-1], strings.Split(strings.TrimSuffix(m[2], "\n"), "\n")...)
			}
		}
	}
	return script, want
}

// matches tells whether some line of out is the line wanted. Spaces count as one.
func matches(line, out string) bool {
	parts := strings.Split(strings.Join(strings.Fields(line), " "), "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	want := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
	for got := range strings.Lines(out) {
		if want.MatchString(strings.Join(strings.Fields(got), " ")) {
			return true
		}
	}
	return false
}

// TestDocsBlocks: a line that was not printed is missed, one with … is found, and a page in a language that nobody plays is noticed.
func TestDocsBlocks(t *testing.T) {
	out := "10 candidate reports in list abc\nleft     19 more\n"
	for line, found := range map[string]bool{
		"10 candidate reports in list …": true, "left 19 more": true, "left 1": false, "…": true, "candidate reports": false, "19. more": false,
	} {
		if matches(line, out) != found {
			t.Errorf("%q: found %v", line, !found)
		}
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if rest := fenced.ReplaceAllString(string(text), ""); strings.Contains(rest, "```") {
			t.Error(page, "has a block that does not end, or is indented")
		}
	}
}
