package veilsum_test

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

var pillars = []string{"privacy", "secagg", "schema", "storage"}

// joined names the tests that may join two pillars, and why.
var joined = map[string]string{
	"secagg/vectorstest": "schema: the known answers cover the whole wire, headers and signatures too",
}

// layers is rule 1: cmd -> pipeline -> pillars -> internal/sampler, and nobody -> cmd.
func layers(all []*folder) (broken []string) {
	for _, f := range all {
		for _, s := range f.src {
			for _, imported := range s.imports {
				dir, own := ours(imported)
				if own && !mayUse(f.dir, dir) && !(s.test() && mayTest(f.dir, dir)) {
					broken = append(broken, fmt.Sprintf("%s: %s must not import %s", s.path, f.dir, dir))
				}
			}
		}
	}
	return broken
}

// mayTest tells what the tests of a package may use beyond that.
func mayTest(from, to string) bool {
	_, join := joined[from]
	return join && below(to, pillars...) || from == "." && below(to, append([]string{"pipeline"}, pillars...)...) // snippets of the README
}

// mayUse tells whether the package from may import the package to, by their places.
func mayUse(from, to string) bool {
	top, _, _ := strings.Cut(from, "/")
	hall := append([]string{"pipeline"}, pillars...)
	switch {
	case from == to: // an external test package
		return true
	case top == "cmd":
		parts := strings.SplitN(from, "/", 3) // each program is alone, but for what cmd/internal gives to all
		return below(to, append(hall, "cmd/internal")...) || len(parts) > 1 && below(to, "cmd/"+parts[1])
	case slices.Contains([]string{"engine", "python", "examples"}, top):
		return below(to, append(hall, top)...)
	case top == "pipeline":
		return below(to, hall...)
	case slices.Contains(pillars, top):
		return below(to, top, "internal/sampler")
	}
	return false
}

// drivers is rule 2: the pipeline and the pillars see the storage.Store interface.
func drivers(all []*folder) (broken []string) {
	for _, f := range all {
		if below(f.dir, "cmd", "examples", "python") {
			continue
		}
		for _, s := range f.code() {
			for _, imported := range s.imports {
				if dir, own := ours(imported); own && below(dir, "storage/s3", "storage/dir") && !below(f.dir, dir) {
					broken = append(broken, fmt.Sprintf("%s: takes the driver %s; take a storage.Store", s.path, dir))
				}
			}
		}
	}
	return broken
}

// places is rule 3: the folders where a module of others may be named.
var places = map[string][]string{
	"github.com/tuneinsight/lattigo": {"secagg/internal", "secagg/secaggbench"},
	"github.com/apache/arrow":        {"schema/arrowipc"},
	"github.com/apache/arrow-go":     {"schema/arrowipc"},
	"github.com/minio/minio-go":      {"storage/s3"},
	"github.com/spf13/cobra":         {"cmd"},
	"github.com/spf13/pflag":         {"cmd"},
	"github.com/prometheus":          {"cmd"},
	"go.opentelemetry.io":            {"cmd"},
	"golang.org/x/term":              {"cmd"},
	"go.yaml.in/yaml":                {"cmd"},
	"filippo.io":                     {"cmd"},
	// Slow, and its samplers are for scalars: only the local noise mechanisms.
	"github.com/google/differential-privacy": {"privacy"},
}

func confined(all []*folder) (broken []string) {
	for _, f := range all {
		for _, s := range f.src {
			for _, imported := range s.imports {
				for root, allowed := range places {
					if below(imported, root) && !below(f.dir, allowed...) {
						broken = append(broken, fmt.Sprintf("%s: %s is for %v only", s.path, imported, allowed))
					}
				}
			}
			if below(f.dir, "schema") && !below(f.dir, "schema/arrowipc") || f.dir == "storage" || f.dir == "internal/sampler" {
				broken = append(broken, onlyStandard(s)...)
			}
		}
	}
	return broken
}

func onlyStandard(s *source) (broken []string) {
	for _, imported := range s.imports {
		if foreign(imported) && !s.test() {
			broken = append(broken, fmt.Sprintf("%s: imports %s, but this package is for the standard library only", s.path, imported))
		}
	}
	return broken
}

// carried names the modules of others that a vehicle's program may link: each
// of them is sent by satellite with every update of the program.
var carried = []string{
	"github.com/tuneinsight/lattigo/v5/ring",
	"github.com/google/differential-privacy/go/v2/noise",
	"golang.org/x/sync/errgroup",
	"golang.org/x/mod/sumdb",     // a Task names the first checkpoint of its ledger
	"gonum.org/v1/gonum/mathext", // small, and google's noise links it anyway
	"gonum.org/v1/gonum/dsp/fourier",
}

// small names what must reach none but carried modules, and what it may reach beside them.
var small = map[string][]string{
	"pipeline/client":     nil,
	"cmd/veilsum-vehicle": {"golang.org/x/term"}, // whether standard error is a terminal
}

// smallClient is rule 4: what a vehicle's program reaches holds neither arrow nor minio-go nor cobra.
func smallClient(all []*folder) (broken []string) {
	for root, also := range small {
		broken = append(broken, reaches(all, root, append(also, carried...))...)
	}
	return broken
}

// reaches names each import of a module that is not allowed, in root and all of ours below it.
func reaches(all []*folder, root string, allowed []string) (broken []string) {
	byDir := map[string]*folder{}
	for _, f := range all {
		byDir[f.dir] = f
	}
	via := map[string]string{root: root}
	for queue := []string{root}; len(queue) > 0; queue = queue[1:] {
		f := byDir[queue[0]]
		if f == nil {
			broken = append(broken, queue[0]+": no such package")
			continue
		}
		for _, s := range f.code() {
			for _, imported := range s.imports {
				dir, own := ours(imported)
				if own && via[dir] == "" {
					via[dir] = via[f.dir] + " -> " + dir
					queue = append(queue, dir)
				}
				if foreign(imported) && !below(imported, allowed...) {
					broken = append(broken, fmt.Sprintf("%s: %s may not carry %s, which it reaches by %s", s.path, root, imported, via[f.dir]))
				}
			}
		}
	}
	return broken
}

// testHelpers is rule 5: only test files and other helpers import a ...test package.
func testHelpers(all []*folder) (broken []string) {
	for _, f := range all {
		for _, s := range f.code() {
			for _, imported := range s.imports {
				if dir, own := ours(imported); own && forTests(dir) && !f.forTests() {
					broken = append(broken, fmt.Sprintf("%s: imports %s outside of a test", s.path, dir))
				}
			}
		}
	}
	return broken
}

// noMathRand is the other half of rule 5.
func noMathRand(all []*folder) (broken []string) {
	for _, f := range all {
		if below(f.dir, "pipeline/fleetsim") || f.forTests() {
			continue
		}
		for _, s := range f.code() {
			for _, imported := range s.imports {
				if below(imported, "math/rand", "golang.org/x/exp/rand") {
					broken = append(broken, fmt.Sprintf("%s: imports %s", s.path, imported))
				}
			}
		}
	}
	return broken
}

// noExit forbids every way to end the process but that of main, so that deferred
// calls run and a caller can act on an error.
func noExit(all []*folder) (broken []string) {
	ends := []string{"os.Exit", "syscall.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "log.Panic", "log.Panicf", "log.Panicln"}
	for _, f := range all {
		for _, s := range f.src {
			ast.Inspect(s.ast, func(n ast.Node) bool {
				if decl, ok := n.(*ast.FuncDecl); ok && f.mayExit(s, decl.Name.Name) {
					return false
				}
				call := selector(n)
				if slices.Contains(ends, call) && !(s.test() && strings.HasPrefix(call, "log.")) { // as people write examples
					broken = append(broken, fmt.Sprintf("%s: %s outside of main", s.at(n), call))
				}
				return true
			})
		}
	}
	return broken
}

func (f *folder) mayExit(s *source, function string) bool {
	return f.name() == "main" && function == "main" || s.test() && function == "TestMain"
}

// selector returns "x.y" for the expression x.y, else "".
func selector(n ast.Node) string {
	if sel, ok := n.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return x.Name + "." + sel.Sel.Name
		}
	}
	return ""
}
