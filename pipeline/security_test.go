package pipeline_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTest = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	namedFile = regexp.MustCompile("`rounds/([a-z0-9_]+)\\.txt`")
	aTest     = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// TestClaimsNameTests: every test and scenario that SECURITY.md and STATES.md name
// exists, and every scenario is named by one of them.
func TestClaimsNameTests(t *testing.T) {
	tests, scenarios := map[string]bool{}, map[string]bool{}
	if err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if err == nil && strings.HasPrefix(e.Name(), ".") && e.Name() != ".." {
				return filepath.SkipDir
			}
			return err
		}
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range aTest.FindAllStringSubmatch(text(t, path), -1) {
				tests[m[1]] = true
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/rounds/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		scenarios[strings.TrimSuffix(filepath.Base(f), ".txt")] = false
	}
	named := 0
	for _, page := range []string{"../SECURITY.md", "STATES.md", "BATCH.md"} {
		for _, m := range namedTest.FindAllStringSubmatch(text(t, page), -1) {
			if named++; !tests[m[1]] && m[1] != "TestX" && m[1] != "FuzzX" {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
		for _, m := range namedFile.FindAllStringSubmatch(text(t, page), -1) {
			if _, ok := scenarios[m[1]]; !ok && m[1] != "x" {
				t.Errorf("%s names rounds/%s.txt, which does not exist", page, m[1])
			}
			scenarios[m[1]] = true
		}
	}
	for name, ok := range scenarios {
		if !ok {
			t.Errorf("rounds/%s.txt attacks no claim of SECURITY.md or STATES.md", name)
		}
	}
	if named < 50 {
		t.Errorf("only %d tests found in the pages", named)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
