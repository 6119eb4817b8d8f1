package pipeline_test

import (
	"crypto/ed25519"
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

var rewrite = flag.Bool("rewrite", false, "write the output of the scenarios into testdata/rounds instead of comparing it")

// TestRounds plays the files of testdata/rounds: each block is a command, "----"
// and what the roles saw. Names stand for hashes: r3 is the report of vehicle 3 (v3), m0 the
// first manifest, t0 the first task. Every block ends with the objects that it
// created, changed or deleted in the store; a step that failed must say "store: unchanged".
func TestRounds(t *testing.T) {
	files, err := filepath.Glob("testdata/rounds/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatal(len(files), "scenario files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s differs (go test -rewrite shows it in git diff):\n%s", file, firstDifference(string(text), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := "(end)", "(end)"
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d\nwant: %s\n got: %s", i+1, a, b)
		}
	}
	return ""
}

// play runs the commands of a file and returns it with the output they gave.
func play(t *testing.T, text string) string {
	s := newScene(t)
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		head, _, isCommand := strings.Cut(block, "\n----")
		if !isCommand {
			out.WriteString(block + "\n") // a comment
			continue
		}
		lines := strings.Split(head, "\n")
		fmt.Fprintf(&out, "%s\n----\n%s", head, s.run(lines[len(lines)-1]))
	}
	return out.String()
}

// args are the words behind a command: "key=value" or a bare flag.
type args map[string]string

func (a args) has(key string) bool { _, ok := a[key]; return ok }

func (a args) int(key string, otherwise int) int {
	if !a.has(key) {
		return otherwise
	}
	n, err := strconv.Atoi(a[key])
	if err != nil {
		panic(fmt.Sprintf("%s=%s: %v", key, a[key], err))
	}
	return n
}

func (a args) float(key string, otherwise float64) float64 {
	if !a.has(key) {
		return otherwise
	}
	x, err := strconv.ParseFloat(a[key], 64)
	if err != nil {
		panic(err)
	}
	return x
}

// list reads "0-3,7".
func (a args) list(key string) []int {
	var all []int
	for part := range strings.SplitSeq(a[key], ",") {
		from, to, _ := strings.Cut(part, "-")
		if to == "" {
			to = from
		}
		x, err1 := strconv.Atoi(from)
		y, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil {
			panic("not a list: " + key + "=" + a[key])
		}
		for ; x <= y; x++ {
			all = append(all, x)
		}
	}
	return all
}

// scene is one play of a file.
type scene struct {
	t     *testing.T
	f     *pipelinetest.Fleet
	out   strings.Builder
	power *pipelinetest.Power
	tasks map[string]schema.Task
	// members and homes are the committee of each task, with its directories.
	members map[string][]ed25519.PrivateKey
	homes   map[string][]string
	round   *pipeline.Round
	rounds  map[string]*pipeline.Round

	names      map[string]string // by hexadecimal hash
	reports    map[string]schema.ReportID
	updates    map[schema.ReportID][]float32
	sealed     map[int][]byte // outbox files of reports that wait
	candidates map[string]schema.Digest
	manifests  map[string]schema.ManifestID
	hidden     map[string][]byte
	ledgers    map[string]map[string][]byte // copies of the ledger
}

func newScene(t *testing.T) *scene {
	return &scene{
		t: t, power: &pipelinetest.Power{Left: -1}, tasks: map[string]schema.Task{}, members: map[string][]ed25519.PrivateKey{}, homes: map[string][]string{}, rounds: map[string]*pipeline.Round{}, names: map[string]string{},
		reports: map[string]schema.ReportID{}, updates: map[schema.ReportID][]float32{}, sealed: map[int][]byte{},
		candidates: map[string]schema.Digest{}, manifests: map[string]schema.ManifestID{}, hidden: map[string][]byte{},
		ledgers: map[string]map[string][]byte{},
	}
}

func (s *scene) run(line string) string {
	s.t.Helper()
	words := strings.Fields(line)
	command, ok := commands[words[0]]
	if !ok {
		s.t.Fatalf("unknown command %q", line)
	}
	a := args{}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		a[key] = value
	}
	s.out.Reset()
	*s.power = pipelinetest.Power{Left: a.int("power", -1), After: a.has("after")}
	before := s.objects()
	command(s, a)
	s.power.Restore()
	s.difference(before)
	return s.scrub(s.out.String())
}

func (s *scene) objects() map[string]schema.Digest {
	if s.f == nil {
		return nil
	}
	return s.f.Objects()
}

// difference says what a command did to the store.
func (s *scene) difference(before map[string]schema.Digest) {
	after := s.objects()
	count := map[string]int{}
	for k, h := range after {
		old, ok := before[k]
		switch {
		case !ok:
			count["+ "+s.short(k)]++
		case old != h:
			count["! "+s.short(k)]++
		}
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			count["- "+s.short(k)]++
		}
	}
	if len(count) == 0 {
		s.say("store: unchanged")
	}
	s.sayObjects(count)
}

// sayObjects names the objects of one folder in one line.
func (s *scene) sayObjects(count map[string]int) {
	folders, parts := map[string][]string{}, map[string]int{}
	for k, n := range count {
		dir, file := path.Split(k)
		dir = fmt.Sprintf("%s|%d", dir, n)
		folders[dir], parts[dir] = append(folders[dir], file), n
	}
	for _, dir := range slices.Sorted(maps.Keys(folders)) {
		files := folders[dir]
		slices.SortFunc(files, natural)
		text, _, _ := strings.Cut(dir, "|")
		text += strings.Join(files, ",")
		if n := parts[dir]; n > 1 {
			text += fmt.Sprintf(" (%d objects each)", n)
		}
		s.say("store: %s", text)
	}
}

var (
	reportObject = regexp.MustCompile(`reports/../(\S+)/.*`)
	ledgerObject = regexp.MustCompile(`(/ledger/\w+/)0*(\d+)$`)
)

// short is an object's name without task, and one name for all objects of a report.
func (s *scene) short(key string) string {
	key = ledgerObject.ReplaceAllString(strings.TrimSuffix(key, ".json"), "$1$2")
	return reportObject.ReplaceAllString(s.scrub(key), "reports/$1")
}

func (s *scene) say(format string, a ...any) { fmt.Fprintf(&s.out, format+"\n", a...) }

// fail says an error.
func (s *scene) fail(who string, err error) { s.say("%s: error: %v", who, err) }

func (s *scene) name(h interface{ String() string }, name string) { s.names[h.String()] = name }

var hash = regexp.MustCompile(`[0-9a-f]{8,64}`)

// scrub puts names for hashes.
func (s *scene) scrub(text string) string {
	if s.f != nil {
		text = strings.ReplaceAll(text, s.f.Dir, "STATE")
	}
	return hash.ReplaceAllStringFunc(text, func(h string) string {
		for full, name := range s.names {
			if strings.HasPrefix(full, h) {
				return name
			}
		}
		if len(h) == 12 && strings.HasPrefix(h, "000000") {
			return strings.TrimLeft(h, "0") // an epoch
		}
		if strings.Trim(h, "0") == "" {
			return "(none)"
		}
		return "(hash)"
	})
}

// reportNames names reports, sorted, as "r0-r3,r7".
func (s *scene) reportNames(ids []schema.ReportID) string {
	var all []string
	for _, id := range ids {
		all = append(all, s.scrub(id.String()))
	}
	slices.SortFunc(all, natural)
	return strings.Join(all, ",")
}

func natural(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func (s *scene) refusals(all []schema.Refusal) string {
	var words []string
	for _, f := range all {
		words = append(words, s.scrub(f.Report.String())+" ("+f.Reason+")")
	}
	slices.SortFunc(words, natural)
	return strings.Join(words, ", ")
}

func (s *scene) now() time.Time { return s.f.Now() }
