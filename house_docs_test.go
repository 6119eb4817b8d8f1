package veilsum_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// packageDocs wants one package comment, whose first sentence starts as go doc has
// it: "Package x ", or for a program "Command x " or "X ".
func packageDocs(all []*folder) (broken []string) {
	for _, f := range all {
		code := f.code()
		if len(code) == 0 {
			continue
		}
		begins := []string{"Package " + f.name() + " "}
		if f.name() == "main" {
			command := path.Base(f.dir)
			begins = []string{"Command " + command + " ", strings.ToUpper(command[:1]) + command[1:] + " "}
		}
		var found []string
		for _, s := range code {
			if s.ast.Doc != nil {
				found = append(found, s.ast.Doc.Text())
			}
		}
		good := func(text string) bool {
			return slices.ContainsFunc(begins, func(begin string) bool { return strings.HasPrefix(text, begin) })
		}
		if len(found) != 1 || !good(found[0]) {
			broken = append(broken, fmt.Sprintf("%s: has %d package comments, wants one that starts with %q", f.dir, len(found), begins[0]))
		}
	}
	return broken
}

// exportedDocs wants a comment on each exported name, also in internal packages:
// functions and types by their name, values and methods of interfaces at all.
func exportedDocs(all []*folder) (broken []string) {
	for _, f := range all {
		if f.name() == "main" {
			continue
		}
		for _, s := range f.code() {
			for _, decl := range s.ast.Decls {
				for _, n := range undocumented(decl) {
					broken = append(broken, fmt.Sprintf("%s: %s has no comment that starts with it", s.at(n), n.Name))
				}
			}
		}
	}
	return broken
}

func undocumented(decl ast.Decl) (names []*ast.Ident) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if exported(decl) && !startsWith(decl.Doc, decl.Name) {
			names = append(names, decl.Name)
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() && !startsWith(spec.Doc, spec.Name) && !(len(decl.Specs) == 1 && startsWith(decl.Doc, spec.Name)) {
					names = append(names, spec.Name)
				}
				if inner, ok := spec.Type.(*ast.InterfaceType); ok && spec.Name.IsExported() {
					names = append(names, silentMethods(inner)...)
				}
			case *ast.ValueSpec:
				if decl.Doc.Text() == "" && spec.Doc.Text() == "" && spec.Comment.Text() == "" {
					names = append(names, visible(spec.Names)...)
				}
			}
		}
	}
	return names
}

func visible(names []*ast.Ident) []*ast.Ident {
	return slices.DeleteFunc(slices.Clone(names), func(n *ast.Ident) bool { return !n.IsExported() })
}

func silentMethods(of *ast.InterfaceType) (names []*ast.Ident) {
	for _, m := range of.Methods.List {
		// An embedded interface has no name and is documented where it is declared.
		if m.Doc.Text() == "" && m.Comment.Text() == "" {
			names = append(names, visible(m.Names)...)
		}
	}
	return names
}

// exported tells whether others can call the function.
func exported(decl *ast.FuncDecl) bool {
	if !decl.Name.IsExported() || decl.Recv == nil {
		return decl.Name.IsExported()
	}
	expr := decl.Recv.List[0].Type
	for {
		switch x := expr.(type) {
		case *ast.StarExpr:
			expr = x.X
		case *ast.IndexExpr:
			expr = x.X
		case *ast.IndexListExpr:
			expr = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// startsWith tells whether a comment starts with the name that it is about.
func startsWith(comment *ast.CommentGroup, name *ast.Ident) bool {
	text := comment.Text()
	for _, article := range []string{"", "A ", "An ", "The ", "Deprecated: "} {
		if rest, ok := strings.CutPrefix(text, article+name.Name); ok && regexp.MustCompile(`^[\s,.:(']`).MatchString(rest) {
			return true
		}
	}
	return false
}

// examples wants an example whose output is checked in each public package that
// exports a name. Programs and helpers of tests are shown by the tests.
func examples(all []*folder) (broken []string) {
	for _, f := range all {
		if !f.public() || f.forTests() || !exportsNames(f) {
			continue
		}
		var files []*ast.File
		for _, s := range f.tests() {
			files = append(files, s.ast)
		}
		checked := func(e *doc.Example) bool { return e.Output != "" || e.EmptyOutput }
		if !slices.ContainsFunc(doc.Examples(files...), checked) {
			broken = append(broken, f.dir+": has no Example with an Output")
		}
	}
	return broken
}

func exportsNames(f *folder) bool {
	return slices.ContainsFunc(f.code(), func(s *source) bool {
		return slices.ContainsFunc(s.ast.Decls, func(decl ast.Decl) bool {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				return exported(fn)
			}
			return decl.(*ast.GenDecl).Tok != token.IMPORT && len(exposed(decl)) > 0
		})
	})
}

// fileSizes allows 400 lines, 500 in a test; what a program wrote is not read.
func fileSizes(all []*folder) (broken []string) {
	for _, f := range all {
		for _, s := range f.src {
			most := 400
			if s.test() {
				most = 500
			}
			if s.lines > most && !ast.IsGenerated(s.ast) {
				broken = append(broken, fmt.Sprintf("%s: has %d lines, %d are allowed", s.path, s.lines, most))
			}
		}
	}
	return broken
}

// functionSizes allows 80 lines, and no more than 50 in 95 of 100 functions.
func functionSizes(all []*folder) (broken []string) {
	var functions int
	var long []string
	for _, f := range all {
		for _, s := range f.src {
			if ast.IsGenerated(s.ast) {
				continue
			}
			for _, decl := range s.ast.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				functions++
				lines := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1
				line := fmt.Sprintf("%s: %s has %d lines", s.at(fn), fn.Name.Name, lines)
				if lines > 50 {
					long = append(long, line)
				}
				if lines > 80 {
					broken = append(broken, line+", 80 are allowed")
				}
			}
		}
	}
	if 20*len(long) > functions {
		for _, line := range long {
			broken = append(broken, fmt.Sprintf("%s, as %d of %d have more than 50", line, len(long), functions))
		}
	}
	return broken
}

func properNames(all []*folder) (broken []string) {
	for _, f := range all {
		if slices.Contains([]string{"util", "utils", "common", "types", "helpers", "misc", "base"}, f.name()) {
			broken = append(broken, f.dir+": a package is one noun")
		}
	}
	return broken
}
