package veilsum_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeSnippet keeps the README's Go code the code that compiles in example_test.go.
func TestReadmeSnippet(t *testing.T) {
	code := between(t, read(t, "example_test.go"), "// README begin\n", "// README end")
	snippet := between(t, read(t, "README.md"), "```go\n", "```\n")
	if got, want := strings.TrimSpace(snippet), strings.TrimSpace(code); got != want {
		t.Errorf("README.md shows\n%s\nexample_test.go has\n%s", got, want)
	}
}

// TestReadmeCommands checks that the two commands of a newcomer are there and exist.
func TestReadmeCommands(t *testing.T) {
	readme := read(t, "README.md")
	for _, want := range []string{"$ go run ./cmd/veilsum demo", "$ .ci/run test"} {
		if !strings.Contains(readme, want) {
			t.Errorf("README.md does not show %q", want)
		}
	}
	for _, file := range []string{"cmd/veilsum/demo.go", ".ci/run", "SECURITY.md", "secagg/PROTOCOL.md", "privacy/GUARANTEE.md", "CHANGELOG.md"} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks: what a page of this repository links to is there, and so is the heading that it means.
func TestLinks(t *testing.T) {
	links := 0
	err := filepath.WalkDir(".", func(page string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && page != "." && (e.Name() == "testdata" || e.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if filepath.Ext(page) != ".md" {
			return nil
		}
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, heading, _ := strings.Cut(m[1], "#")
			to := filepath.Join(filepath.Dir(page), file)
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if heading != "" && !slices.Contains(anchors(read(t, to)), heading) {
				t.Errorf("%s: %s has no heading %s", page, to, heading)
			}
		}
		return nil
	})
	if err != nil || links < 50 {
		t.Error(links, "links", err)
	}
}

var (
	title  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	silent = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns the names by which the headings of a page can be linked to.
func anchors(page string) (names []string) {
	for _, m := range title.FindAllStringSubmatch(page, -1) {
		names = append(names, strings.ReplaceAll(silent.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func between(t *testing.T, s, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(s, from)
	inside, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("%q to %q: not found", from, to)
	}
	return inside
}
