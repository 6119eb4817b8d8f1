package veilsum_test

import (
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/veilsum/veilsum"

// source is one parsed Go file.
type source struct {
	path    string // slash-separated, from the root of the module
	ast     *ast.File
	fset    *token.FileSet
	lines   int
	imports []string
}

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// at is the place of n, for a person to find it.
func (s *source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// folder is one package: the Go files of one folder.
type folder struct {
	dir string // "." is the root
	src []*source
}

func (f *folder) code() []*source {
	return slices.DeleteFunc(slices.Clone(f.src), (*source).test)
}

func (f *folder) tests() []*source {
	return slices.DeleteFunc(slices.Clone(f.src), func(s *source) bool { return !s.test() })
}

// name is the name of the package, or "" if the folder holds only tests.
func (f *folder) name() string {
	if code := f.code(); len(code) > 0 {
		return code[0].ast.Name.Name
	}
	return ""
}

// public tells whether others may import the package.
func (f *folder) public() bool {
	parts := strings.Split(f.dir, "/")
	return !slices.Contains(parts, "internal") && f.name() != "main" && f.name() != ""
}

func (f *folder) forTests() bool { return forTests(f.dir) }

func forTests(dir string) bool {
	base := path.Base(dir)
	return strings.HasSuffix(base, "test") && base != "test"
}

// below tells whether dir is one of the roots or lies under one.
func below(dir string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return dir == root || strings.HasPrefix(dir, root+"/")
	})
}

// ours returns the folder of an import path of this module.
func ours(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// foreign tells whether an import path belongs to another module.
func foreign(imported string) bool {
	host, _, _ := strings.Cut(imported, "/")
	_, own := ours(imported)
	return !own && strings.Contains(host, ".")
}

// parse reads one file; nil if it is no part of a package (//go:build ignore).
func parse(name string, text []byte) (*source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil || ignored(file) {
		return nil, err
	}
	s := &source{path: name, ast: file, fset: fset, lines: fset.File(file.Pos()).LineCount()}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		s.imports = append(s.imports, imported)
	}
	return s, nil
}

func ignored(file *ast.File) bool {
	for _, group := range file.Comments {
		for _, line := range group.List {
			if group.Pos() > file.Package || !constraint.IsGoBuild(line.Text) {
				continue
			}
			expr, err := constraint.Parse(line.Text)
			if err == nil && !expr.Eval(func(tag string) bool { return tag != "ignore" }) {
				return true
			}
		}
	}
	return false
}

// gather parses the Go files of a module by hand, as go list would be asked in
// vain: the cache of go test does not see what a child process reads.
func gather(t *testing.T, root fs.FS) []*folder {
	t.Helper()
	byDir := map[string]*folder{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(root, name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		s, err := parse(name, text)
		if err != nil || s == nil {
			return err
		}
		dir := path.Dir(name)
		if byDir[dir] == nil {
			byDir[dir] = &folder{dir: dir}
		}
		byDir[dir].src = append(byDir[dir].src, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []*folder
	for _, f := range byDir {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *folder) int { return strings.Compare(a.dir, b.dir) })
	return all
}

// enter skips what the go command skips, and other modules.
func enter(root fs.FS, dir string) error {
	base := path.Base(dir)
	if dir == "." {
		return nil
	}
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, dir+"/go.mod"); err == nil {
		return fs.SkipDir
	}
	return nil
}

// house is the module that this test lies in.
func house(t *testing.T) []*folder {
	t.Helper()
	all := gather(t, os.DirFS("."))
	if len(all) < 10 {
		t.Fatalf("found %d packages only: is the test run in the root of the module?", len(all))
	}
	return all
}
