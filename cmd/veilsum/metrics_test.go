package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"

	"github.com/veilsum/veilsum/pipeline/decryptor/watch"
)

// cmdScrape gets a page until it has the pattern, and writes it to a file: scrape URL FILE PATTERN.
func cmdScrape(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: scrape URL FILE PATTERN")
	}
	pattern := regexp.MustCompile("(?m)" + args[2])
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var text []byte
	for range 600 {
		if resp, err := http.Get(args[0]); err == nil {
			text, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			ts.Check(err)
		}
		if pattern.Match(text) {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
			return
		}
		<-tick.C
	}
	ts.Fatalf("no %q in %s", args[2], text)
}

// metricNames are the names of all metrics of ours that some role gives.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	gateway := newServeMetrics()
	gateway.watch(nil) // described, never asked
	names := map[string]bool{}
	for _, r := range []*prometheus.Registry{gateway.registry, newCommitteeMetrics(watch.Config{}).registry} {
		ch := make(chan *prometheus.Desc)
		go func() { r.Describe(ch); close(ch) }()
		for d := range ch {
			if m := regexp.MustCompile(`fqName: "(veilsum_[a-z_]+)"`).FindStringSubmatch(d.String()); m != nil {
				names[m[1]] = true
			}
		}
	}
	if len(names) < 20 {
		t.Fatal(len(names), "metrics found")
	}
	return names
}

// TestMetricsAreDocumented: OPERATING.md names every metric, and no other; names end as Prometheus' conventions say.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	names := metricNames(t)
	named := map[string]bool{}
	for _, m := range regexp.MustCompile("`(veilsum_[a-z_]+)").FindAllStringSubmatch(string(text), -1) {
		named[m[1]] = true
	}
	for name := range names {
		if !named[name] {
			t.Errorf("OPERATING.md does not name %s", name)
		}
	}
	for name := range named {
		if !names[name] {
			t.Errorf("OPERATING.md names %s, which nobody gives", name)
		}
	}
}

// alertFile is the form of a file of Prometheus' alerting rules, as far as ours uses it.
type alertFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// TestAlerts: the example rules parse, and ask for metrics that some role gives.
func TestAlerts(t *testing.T) {
	raw, err := os.ReadFile("../../examples/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f alertFile
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	names, seen := metricNames(t), map[string]bool{}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			asked := regexp.MustCompile(`veilsum_[a-z_]+`).FindAllString(r.Expr, -1)
			if r.Alert == "" || seen[r.Alert] || len(asked) == 0 || r.Annotations["summary"] == "" || strings.Count(r.Expr, "(") != strings.Count(r.Expr, ")") {
				t.Errorf("%+v", r)
			}
			seen[r.Alert] = true
			if r.For != "" {
				if _, err := time.ParseDuration(r.For); err != nil {
					t.Error(err)
				}
			}
			for _, name := range asked {
				if base := strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"); !names[name] && !names[base] {
					t.Errorf("%s asks for %s, which nobody gives; there are %v", r.Alert, name, slices.Sorted(maps.Keys(names)))
				}
			}
		}
	}
	if len(seen) < 5 {
		t.Error(len(seen), "rules")
	}
}

// TestLoopbackListen: without a host it is this machine, and others need a flag that says so.
func TestLoopbackListen(t *testing.T) {
	for address, public := range map[string]bool{"0": false, ":0": false, "127.0.0.1:0": false, "localhost:0": false, "0.0.0.0:0": true} {
		l, err := loopbackListen("--x", address, public, "--x-public")
		if err != nil {
			t.Error(address, err)
			continue
		}
		if got := l.Addr().String(); strings.HasPrefix(got, "127.0.0.1:") == public {
			t.Error(address, got)
		}
		l.Close()
	}
	for _, address := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0", "a:b:c", ""} {
		if l, err := loopbackListen("--x", address, false, "--x-public"); err == nil {
			t.Error(fmt.Sprintf("%q", address), l.Addr())
			l.Close()
		}
	}
}
