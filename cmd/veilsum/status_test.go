package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/report"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
)

// hostile is a name that must come out as text.
const hostile = `<script>alert("x")</script><img src=http://192.0.2.1/x>'&`

// statusFleet has a committed round, one that was aborted for a hostile reason, one that is open, and somebody's planted objects.
func statusFleet(t *testing.T) *pipelinetest.Fleet {
	t.Helper()
	task := pipelinetest.Task(100)
	task.Name, task.Scope.Name = hostile, "scope "+hostile
	f := pipelinetest.New(t, 5, task)
	f.Commit(1)
	if _, err := f.Collector.Abort(t.Context(), f.Store, f.Open(2), hostile); err != nil {
		t.Fatal(err)
	}
	r := f.Open(3)
	f.Report(r, 0)
	f.Report(r, 1)
	f.Put(pipeline.ReceiptKey(f.Name(4)), []byte("{}"))                  // a folder without descriptor
	f.Put(pipeline.DescriptorKey(f.Name(999_999_999_999)), []byte("{}")) // one that nobody signed
	return f
}

// TestStatusReads: the page says what the store holds, twice the same, and goes on when it changes.
func TestStatusReads(t *testing.T) {
	f := statusFleet(t)
	s := newStatusReader(f.Store, "store", schema.NewPublicKey(f.Owner), nil)
	for range 2 {
		d := s.read(t.Context())
		if len(d.Tasks) != 1 || len(d.Scopes) != 1 || len(d.Trouble) != 1 || !strings.Contains(d.Trouble[0], "999999999999-0/descriptor.json") {
			t.Fatalf("%+v", d)
		}
		task, scope := d.Tasks[0], d.Scopes[0]
		if scope.Spent <= 0 || scope.Spent > scope.Allowed || scope.Epochs != 1 || len(scope.Events) != 1 || scope.Events[0].State != "settled: committed" || scope.Events[0].Reports != 5 {
			t.Errorf("%+v", scope)
		}
		var states []string
		for _, r := range task.Rounds {
			states = append(states, r.Name+" "+r.State)
		}
		if got := strings.Join(states, ", "); got != "3-0 open, 2-0 void, 1-0 committed" {
			t.Error(got)
		}
		if r := task.Rounds[0]; r.Reports != 2 || r.Bytes < 1000 || r.Listed != 0 {
			t.Errorf("%+v", r)
		}
		if r := task.Rounds[2]; r.Reports != 5 || r.Listed != 5 || r.Checks != 4 || r.Votes != 4 || r.Answers != 4 {
			t.Errorf("%+v", r)
		}
		charges, err := pipeline.LoadCharges(t.Context(), f.Store, f.Plan.Task.Scope, f.Plan.Task.Owner)
		if err != nil {
			t.Fatal(err)
		}
		if left, err := charges.RoundsLeft(f.Plan); err != nil || task.Left != left || left < 1 || task.Hidden != 0 {
			t.Errorf("%d epochs left, want %d, %v; %d hidden", task.Left, left, err, task.Hidden)
		}
		for _, m := range task.Members {
			if m.Check != "1-0" || m.Vote != "1-0" || m.Answer != "1-0" {
				t.Errorf("%+v", m)
			}
		}
	}
	r, _ := f.Round(3)
	for i := 2; i < 5; i++ {
		f.Report(r, i)
	}
	if d := s.read(t.Context()); d.Tasks[0].Rounds[0].Reports != 5 {
		t.Errorf("%+v", d.Tasks[0].Rounds[0])
	}
	f.End(r)
	if d := s.read(t.Context()); d.Tasks[0].Rounds[0].State != "committed" || d.Scopes[0].Epochs != 2 {
		t.Errorf("%+v", d.Tasks[0].Rounds[0])
	}
}

// TestStatusSteps: each step of a round has its word.
func TestStatusSteps(t *testing.T) {
	f := pipelinetest.New(t, 5, pipelinetest.Task(100))
	s := newStatusReader(f.Store, "store", schema.NewPublicKey(f.Owner), []schema.TaskID{f.TaskID})
	want := func(state string) {
		t.Helper()
		if d := s.read(t.Context()); len(d.Trouble) > 0 || d.Tasks[0].Rounds[0].State != state {
			t.Errorf("want %s: %+v %v", state, d.Tasks[0].Rounds[0], d.Trouble)
		}
	}
	r := f.Open(1)
	want("open")
	for i := range f.Vehicles {
		f.Report(r, i)
	}
	list, _, err := f.Collector.Close(t.Context(), f.Store, r)
	must(err)
	want("frozen")
	all := []int{0, 1, 2, 3}
	f.Committee(all, checkList(t, f, r, list))
	want("checked")
	_, err = f.Collector.Propose(t.Context(), f.Store, r, list)
	must(err)
	want("proposed")
	f.Committee(all, voteFor(t, f, r))
	want("voted")
	f.Committee(all, answerFor(t, f, r))
	want("answered")
	_, err = f.Collector.Collect(t.Context(), f.Store, r, nil)
	must(err)
	want("committed")
}

// TestStatusPageHTTP: headers, methods, other hosts, and what a hostile name becomes.
func TestStatusPageHTTP(t *testing.T) {
	f := statusFleet(t)
	page := newStatusPage(newStatusReader(f.Store, "store", schema.NewPublicKey(f.Owner), nil).read, true)
	s := httptest.NewServer(page.handler())
	defer s.Close()
	ask := func(method, path, host, etag string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			r.Host = host
		}
		if etag != "" {
			r.Header.Set("If-None-Match", etag)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	resp, text := ask("GET", "/", "", "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Security-Policy") != statusCSP || resp.Header.Get("Refresh") == "" {
		t.Error(resp)
	}
	plain := strings.ReplaceAll(text, "http://www.w3.org/2000/svg", "")
	for _, bad := range []string{"<script", "<img", "http:", "https:", " src=", "url("} {
		if strings.Contains(strings.ReplaceAll(plain, "src=http://192.0.2.1/x&gt;", ""), bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, v := range f.Vehicles {
		if strings.Contains(text, v.ID.String()) {
			t.Error("the page names a vehicle")
		}
	}
	if strings.Count(text, "&lt;script&gt;alert") < 3 {
		t.Error("the names of task and scope and the reason are not there")
	}
	etag := resp.Header.Get("ETag")
	for _, x := range []struct {
		method, path, host, etag string
		want                     int
	}{
		{"GET", "/", "", etag, 304},
		{"HEAD", "/", "", "", 200},
		{"POST", "/", "", "", 405},
		{"PUT", "/", "", "", 405},
		{"DELETE", "/", "", "", 405},
		{"GET", "/metrics", "", "", 404},
		{"GET", "/../etc/passwd", "", "", 404},
		{"GET", "/favicon.ico", "", "", 204},
		{"GET", "/", "rebound.example", "", 421},
		{"GET", "/", "rebound.example:80", "", 421},
		{"GET", "/", "localhost:1", "", 200},
		{"GET", "/", "[::1]:80", "", 200},
	} {
		if resp, body := ask(x.method, x.path, x.host, x.etag); resp.StatusCode != x.want || x.want >= 300 && len(body) > 200 {
			t.Errorf("%+v: %s", x, resp.Status)
		}
	}
	if resp, _ := ask("GET", "/?still", "", ""); resp.Header.Get("Refresh") != "" {
		t.Error("it does not hold still")
	}
}

// TestStatusFlood: 2,000 requests cost the store two readings: one at first, and one when the time has come; while it is
// under way everybody gets the old page.
func TestStatusFlood(t *testing.T) {
	var reads atomic.Int32
	gate := make(chan struct{})
	p := newStatusPage(func(context.Context) report.Status {
		if reads.Add(1) == 2 {
			<-gate
		}
		return report.Status{Title: "x"}
	}, false)
	var mu sync.Mutex
	now := time.Now()
	p.now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	h := p.handler()
	flood := func() {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for range 50 {
					w := httptest.NewRecorder()
					h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
					if w.Code != 200 {
						t.Error(w.Code)
					}
				}
			})
		}
		wg.Wait()
	}
	flood()
	if n := reads.Load(); n != 1 {
		t.Error(n, "readings")
	}
	mu.Lock()
	now = now.Add(time.Hour)
	mu.Unlock()
	flood()
	close(gate)
	if n := reads.Load(); n > 2 {
		t.Error(n, "readings")
	}
}

// TestStatusBrowser loads the page in a real browser: it renders, nothing is complained of, and nothing is asked for but the page.
// VEILSUM_SCREENSHOTS names a folder for pictures to look at.
func TestStatusBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine")
	}
	f := statusFleet(t)
	page := newStatusPage(newStatusReader(f.Store, "file:./store", schema.NewPublicKey(f.Owner), nil).read, true).handler()
	var mu sync.Mutex
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		page.ServeHTTP(w, r)
	}))
	defer s.Close()
	browse := func(args ...string) (dom, log string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var out, errs bytes.Buffer
		c := exec.CommandContext(ctx, chromium, append([]string{
			"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--user-data-dir=" + t.TempDir(), "--enable-logging=stderr", "--log-level=0",
		}, args...)...)
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		return out.String(), errs.String()
	}
	dom, log := browse("--dump-dom", s.URL+"/?still")
	for _, want := range []string{"round goes on", "Committee: what each member signed last", "committed</span>", "&lt;script&gt;alert"} {
		if !strings.Contains(dom, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "CONSOLE") || strings.Contains(line, "Content Security Policy") {
			t.Error(line)
		}
	}
	for _, path := range asked {
		if path != "/" && path != "/favicon.ico" {
			t.Error("asked for", path)
		}
	}
	if folder := os.Getenv("VEILSUM_SCREENSHOTS"); folder != "" {
		for name, args := range map[string][]string{
			"wide": {"--window-size=1400,2000"}, "narrow": {"--window-size=360,3000"},
			"dark": {"--window-size=1400,2000", "--blink-settings=preferredColorScheme=0"},
		} {
			browse(append(args, "--hide-scrollbars", "--screenshot="+filepath.Join(folder, "status-"+name+".png"), s.URL+"/?still")...)
		}
	}
}

func checkList(t *testing.T, f *pipelinetest.Fleet, r *pipeline.Round, list schema.Digest) func(*decryptor.Decryptor) error {
	return func(d *decryptor.Decryptor) error { _, err := d.Check(t.Context(), f.Store, r, list, nil); return err }
}

func voteFor(t *testing.T, f *pipelinetest.Fleet, r *pipeline.Round) func(*decryptor.Decryptor) error {
	return func(d *decryptor.Decryptor) error { _, err := d.Vote(t.Context(), f.Store, r); return err }
}

func answerFor(t *testing.T, f *pipelinetest.Fleet, r *pipeline.Round) func(*decryptor.Decryptor) error {
	return func(d *decryptor.Decryptor) error { _, err := d.Answer(t.Context(), f.Store, r, nil); return err }
}
