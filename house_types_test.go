package veilsum_test

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"
)

// ownTypes is rule 6: whoever uses pipeline, privacy or secagg is not bound to the
// modules that they use. It reads the syntax only, so a type that an exported variable
// gets from a function of another module counts as that module's.
func ownTypes(all []*folder) (broken []string) {
	for _, f := range all {
		if !f.public() || !below(f.dir, "pipeline", "privacy", "secagg") {
			continue
		}
		for _, s := range f.code() {
			names := foreignNames(s)
			for _, decl := range s.ast.Decls {
				for _, part := range exposed(decl) {
					ast.Inspect(part, func(n ast.Node) bool {
						if sel, ok := n.(*ast.SelectorExpr); ok {
							if x, ok := sel.X.(*ast.Ident); ok && names[x.Name] != "" {
								broken = append(broken, fmt.Sprintf("%s: exposes %s.%s of %s", s.at(n), x.Name, sel.Sel.Name, names[x.Name]))
							}
						}
						return true
					})
				}
			}
		}
	}
	return broken
}

var majorVersion = regexp.MustCompile(`/v\d+$`)

// foreignNames returns the names by which a file knows packages of other modules.
// Of a path without a given name it takes all names that people use for it.
func foreignNames(s *source) map[string]string {
	names := map[string]string{}
	for i, spec := range s.ast.Imports {
		imported := s.imports[i]
		if !foreign(imported) {
			continue
		}
		if spec.Name != nil {
			names[spec.Name.Name] = imported
			continue
		}
		base := majorVersion.ReplaceAllString(imported, "")
		base = base[strings.LastIndex(base, "/")+1:]
		for _, name := range []string{base, strings.TrimPrefix(base, "go-"), strings.TrimSuffix(base, "-go"), strings.ReplaceAll(base, "-", "")} {
			names[name] = imported
		}
	}
	return names
}

// exposed returns the parts of a declaration that users of the package depend on.
func exposed(decl ast.Decl) (parts []ast.Node) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if exported(decl) {
			parts = append(parts, decl.Type)
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				parts = append(parts, exposedType(spec)...)
			case *ast.ValueSpec:
				parts = append(parts, exposedValue(spec)...)
			}
		}
	}
	return parts
}

func exposedType(spec *ast.TypeSpec) (parts []ast.Node) {
	if !spec.Name.IsExported() {
		return nil
	}
	if spec.TypeParams != nil {
		parts = append(parts, spec.TypeParams)
	}
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		return append(parts, spec.Type)
	}
	parts = append(parts, spec.Name)
	for _, field := range fields.Fields.List {
		if len(field.Names) == 0 || len(visible(field.Names)) > 0 { // an embedded one gives its methods
			parts = append(parts, field.Type)
		}
	}
	return parts
}

func exposedValue(spec *ast.ValueSpec) (parts []ast.Node) {
	for i, name := range spec.Names {
		switch {
		case !name.IsExported():
		case spec.Type != nil:
			parts = append(parts, spec.Type)
		case i < len(spec.Values):
			parts = append(parts, spec.Values[i])
		default: // of an iota, or of a call with several results
			parts = append(parts, name)
			for _, value := range spec.Values {
				parts = append(parts, value)
			}
		}
	}
	return parts
}
