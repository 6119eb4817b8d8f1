package veilsum_test

import (
	"os"
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
