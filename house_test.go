package veilsum_test

import (
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// rules are the rules of the house; CONTRIBUTING.md tells why they are there. Do
// not add an exception just to make the test pass.
var rules = []struct {
	name   string
	broken func([]*folder) []string // one line for each place that breaks the rule
	bad    map[string]string        // files that break it, each by itself
}{
	{"a pillar knows no other pillar", layers, map[string]string{
		"secagg/a.go":         `package secagg; import _ "github.com/veilsum/veilsum/schema"`,
		"secagg/a_test.go":    `package secagg_test; import _ "github.com/veilsum/veilsum/privacy"`,
		"storage/mem/a.go":    `package mem; import _ "github.com/veilsum/veilsum/pipeline"`,
		"pipeline/a.go":       `package pipeline; import _ "github.com/veilsum/veilsum/cmd/internal/ui"`,
		"internal/other/a.go": `package other; import _ "github.com/veilsum/veilsum/internal/sampler"`,
		"cmd/one/a.go":        `package main; import _ "github.com/veilsum/veilsum/cmd/two/internal/ui"`,
		"cmd/internal/x/a.go": `package x; import _ "github.com/veilsum/veilsum/cmd/two/internal/ui"`,
		"attic/a.go":          `package attic; import _ "github.com/veilsum/veilsum/secagg"`,
	}},
	{"drivers are chosen by the caller", drivers, map[string]string{
		"pipeline/a.go":    `package pipeline; import _ "github.com/veilsum/veilsum/storage/dir"`,
		"storage/mem/a.go": `package mem; import _ "github.com/veilsum/veilsum/storage/s3"`,
	}},
	{"a module of others has one place", confined, map[string]string{
		"secagg/a.go":                `package secagg; import _ "github.com/tuneinsight/lattigo/v5/ring"`,
		"pipeline/collector/a.go":    `package collector; import _ "github.com/apache/arrow/go/v17/arrow"`,
		"storage/a_test.go":          `package storage_test; import _ "github.com/minio/minio-go/v7"`,
		"pipeline/gateway/a.go":      `package gateway; import _ "github.com/spf13/cobra"`,
		"schema/a.go":                `package schema; import _ "go.yaml.in/yaml/v3"`,
		"internal/sampler/a.go":      `package sampler; import _ "golang.org/x/exp/constraints"`,
		"secagg/committee/a_test.go": `package committee; import _ "github.com/tuneinsight/lattigo/v5/mhe"`,
	}},
	{"the program of a vehicle stays small", smallClient, map[string]string{
		"privacy/a.go":         `package privacy; import _ "github.com/minio/minio-go/v7"`,
		"pipeline/client/a.go": `package client; import _ "github.com/apache/arrow/go/v17/arrow"`,

		"cmd/veilsum-vehicle/a.go": `package main; import _ "github.com/spf13/cobra"`,
	}},
	{"helpers of tests stay in tests", testHelpers, map[string]string{
		"privacy/a.go":           `package privacy; import _ "github.com/veilsum/veilsum/privacy/privacytest"`,
		"cmd/veilsum/command.go": `package main; import _ "github.com/veilsum/veilsum/pipeline/pipelinetest"`,
	}},
	{"randomness comes from crypto/rand", noMathRand, map[string]string{
		"privacy/a.go":     `package privacy; import _ "math/rand"`,
		"cmd/veilsum/a.go": `package main; import _ "math/rand/v2"`,
	}},
	{"only main ends the process", noExit, map[string]string{
		"pipeline/a.go":      `package pipeline; import "os"; func stop() { os.Exit(1) }`,
		"pipeline/a_test.go": `package pipeline; import "os"; func stop() { os.Exit(1) }`,
		"cmd/veilsum/a.go":   `package main; import "log"; func stop() { log.Fatal(1) }`,
		"storage/a_test.go":  `package storage; import "os"; func ExampleStore() { os.Exit(1) }`,
	}},
	{"no type of others in an exported signature", ownTypes, map[string]string{
		"secagg/a.go":   `package secagg; import "example.com/x/ring/v5"; func Add(p *ring.Poly) {}`,
		"secagg/b.go":   `package secagg; import r "example.com/ring"; type Sum struct { Poly []r.Poly; own int }`,
		"privacy/c.go":  `package privacy; import "example.com/go-noise"; type Noise = noise.Noise`,
		"privacy/d.go":  `package privacy; import "example.com/noise"; var Default = noise.New()`,
		"pipeline/e.go": `package pipeline; import "example.com/x"; type T struct{}; func (*T) M() (x.Y, error) { return 0, nil }`,
		"pipeline/f.go": `package pipeline; import "example.com/x"; type T interface { M(f func(map[string]x.Y)) }`,
		"pipeline/g.go": `package pipeline; import "example.com/x"; type T[P x.Y] struct{}`,
	}},
	{"every package says what it is", packageDocs, map[string]string{
		"schema/a.go":           "package schema",
		"storage/mem/a.go":      "// This package stores.\npackage mem",
		"storage/s3/a.go":       "// Package dir stores.\npackage s3",
		"cmd/veilsum/a.go":      "// Package main does.\npackage main",
		"internal/sampler/a.go": "//go:build linux\n\npackage sampler",
	}},
	{"every exported name is documented", exportedDocs, map[string]string{
		"schema/a.go":   "package schema\nfunc Open() {}",
		"schema/b.go":   "package schema\ntype T struct{}",
		"schema/c.go":   "package schema\n// T is one.\ntype T struct{}\nfunc (t *T[P]) Do() {}",
		"schema/d.go":   "package schema\nvar Err = 1",
		"schema/e.go":   "package schema\n// Opens it.\nfunc Open() {}",
		"schema/f.go":   "package schema\nconst (\n\tA = 1\n)",
		"schema/g.go":   "package schema\n// T is one.\ntype T interface { Do() }",
		"schema/h.go":   "package schema\n// T is\n\ntype T struct{}",
		"schema/i.go":   "package schema\n//nolint\nfunc Open() {}",
		"secagg/x/j.go": "package x\nfunc New() {}",
	}},
	{"every public package shows an example", examples, map[string]string{
		"schema/a.go":      "package schema\n// Open opens.\nfunc Open() {}",
		"storage/mem/a.go": "package mem\n// Open opens.\nfunc Open() {}",
	}},
	{"a file can be read in one sitting", fileSizes, map[string]string{
		"schema/a.go":      "package schema\n" + strings.Repeat("// x\n", 400),
		"schema/a_test.go": "package schema\n" + strings.Repeat("// x\n", 500),
	}},
	{"a function fits on a screen", functionSizes, map[string]string{
		"schema/a.go":      "package schema\nfunc f() {\n" + strings.Repeat("\n", 51) + "}",
		"schema/a_test.go": "package schema\nfunc f() {\n" + strings.Repeat("\n", 81) + "}",
	}},
	{"a package is no drawer for what is left", properNames, map[string]string{
		"pipeline/util/a.go": "package util",
		"pipeline/a/a.go":    "package common",
	}},
}

func TestHouse(t *testing.T) {
	all := house(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, line := range r.broken(all) {
				t.Error(line)
			}
		})
	}
}

// TestRulesBite breaks each rule: one that finds nothing in a bad house would find
// nothing in ours either.
func TestRulesBite(t *testing.T) {
	for _, r := range rules {
		for name, text := range r.bad {
			t.Run(r.name+"/"+name, func(t *testing.T) {
				all := gather(t, fstest.MapFS{
					"pipeline/client/client.go": {Data: []byte("package client\nimport _ \"" + module + "/privacy\"\n")},
					"privacy/privacy.go":        {Data: []byte("package privacy\n")},
					name:                        {Data: []byte(text)},
				})
				found := r.broken(all)
				named := func(line string) bool { // a file or a package
					return strings.HasPrefix(line, name+":") || strings.HasPrefix(line, path.Dir(name)+":")
				}
				if !slices.ContainsFunc(found, named) {
					t.Errorf("found %q", found)
				}
			})
		}
	}
}
