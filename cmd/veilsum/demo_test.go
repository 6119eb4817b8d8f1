package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/fleetsim"
	"github.com/veilsum/veilsum/privacy/canary"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/storage/dir"
)

// demoTest runs "veilsum demo" with the arguments and returns its exit status and output.
func demoTest(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"demo"}, args...), strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// lines decodes typed JSON lines by their type.
func lines(t *testing.T, text string) map[string][]map[string]any {
	t.Helper()
	all := map[string][]map[string]any{}
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		var v map[string]any
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			t.Fatalf("%q: %v", sc.Text(), err)
		}
		kind, _ := v["type"].(string)
		all[kind] = append(all[kind], v)
	}
	return all
}

// byHand is GUARANTEE.md section 1 again, on its own: rounds Gaussian releases
// of noise multiplier z, the best of a fine grid of orders.
func byHand(rounds int, z, delta float64) float64 {
	rho, best := float64(rounds)/(2*z*z), math.Inf(1)
	for a := 1.001; a < 400; a *= 1.00002 {
		best = min(best, a*rho+math.Log(1-1/a)-(math.Log(delta)+math.Log(a))/(a-1))
	}
	return best
}

func TestDemoJSON(t *testing.T) {
	out := filepath.Join(t.TempDir(), "demo")
	code, stdout, stderr := demoTest(t, "--json", "--vehicles", "40", "--rounds", "2", "--out", out)
	if code != 0 || stderr != "" {
		t.Fatalf("exit status %d, standard error %q, output %s", code, stderr, stdout)
	}
	all := lines(t, stdout)
	if len(all["round"]) != 2 || len(all["result"]) != 1 || len(all["error"]) != 0 {
		t.Fatalf("%d round lines, %d results", len(all["round"]), len(all["result"]))
	}
	if last := strings.TrimSpace(stdout[strings.LastIndex(strings.TrimSpace(stdout), "\n")+1:]); !strings.HasPrefix(last, `{"type":"result","accuracy":`) {
		t.Errorf("the last line is %s", last)
	}
	r := all["result"][0]
	number := func(name string) float64 {
		v, ok := r[name].(float64)
		if !ok {
			t.Fatalf("result has no number %q: %v", name, r)
		}
		return v
	}
	if number("vehicles") != 40 || number("rounds") != 2 || number("delta") != 1e-5 {
		t.Errorf("result %v", r)
	}
	if a, p := number("accuracy"), number("accuracy_plain"); a <= 0 || a > 1 || p < 0.5 || p > 1 {
		t.Errorf("accuracy %g, without privacy %g", a, p)
	}
	checkEpsilon(t, all["round"], number("noise_multiplier"))
	if e := number("epsilon"); e != all["round"][1]["epsilon"] || e > 7.5 {
		t.Errorf("epsilon %g, after the last round %v, allowed 7.5", e, all["round"][1]["epsilon"])
	}
	checkStore(t, out, r)
}

// checkEpsilon compares the ledger's epsilon after each round with the formula.
func checkEpsilon(t *testing.T, rounds []map[string]any, z float64) {
	t.Helper()
	for i, r := range rounds {
		got, want := r["epsilon"].(float64), byHand(i+1, z, 1e-5)
		if math.Abs(got-want) > 1e-6*want {
			t.Errorf("epsilon after %d rounds is %.9g, by hand %.9g", i+1, got, want)
		}
	}
}

// checkStore reads receipts and the last aggregate as an outsider who knows
// nothing but the owner's key.
func checkStore(t *testing.T, out string, result map[string]any) {
	t.Helper()
	ctx := context.Background()
	s, err := dir.Open(filepath.Join(out, "store"))
	if err != nil {
		t.Fatal(err)
	}
	var id schema.TaskID
	var owner schema.PublicKey
	if err := id.UnmarshalText([]byte(result["task"].(string))); err != nil {
		t.Fatal(err)
	}
	if err := owner.UnmarshalText([]byte(result["owner"].(string))); err != nil {
		t.Fatal(err)
	}
	plan, err := pipeline.LoadTask(ctx, s, id, owner)
	if err != nil {
		t.Fatal(err)
	}
	for epoch := uint64(1); epoch <= 2; epoch++ {
		round, err := pipeline.LoadRound(ctx, s, plan, pipeline.RoundName{Task: id, Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := pipeline.LoadReceipt(ctx, s, round)
		if err != nil || receipt.Status != schema.StatusCommitted || receipt.Reports != 32 {
			t.Fatalf("receipt %+v, %v; want 32 reports committed", receipt, err)
		}
		ids, err := pipeline.ListReports(ctx, s, round.Name)
		if err != nil || len(ids) < 32 || len(ids) == 40 {
			t.Errorf("%d whole reports in the store, %v; 32 in the list, some late, some never", len(ids), err)
		}
		if epoch == 2 {
			checkLast(t, result, receipt)
		}
	}
}

func checkLast(t *testing.T, result map[string]any, receipt schema.Receipt) {
	t.Helper()
	file, err := os.ReadFile(result["aggregate"].(string))
	if err != nil {
		t.Fatal(err)
	}
	a, err := arrowipc.OpenAggregate(file, receipt.Aggregate)
	if err != nil || len(a.Values) != 217 {
		t.Fatalf("aggregate of %d values: %v", len(a.Values), err)
	}
	page, err := os.ReadFile(result["report"].(string))
	if err != nil || !bytes.Contains(page, []byte(receipt.Aggregate.String())) {
		t.Errorf("the page does not name the last aggregate: %v", err)
	}
}

func TestDemoText(t *testing.T) {
	out := filepath.Join(t.TempDir(), "demo")
	args := []string{"--vehicles", "40", "--rounds", "2", "--epsilon", "100", "--out", out, "--store", "file:" + filepath.Join(out, "elsewhere")}
	code, stdout, stderr := demoTest(t, args...)
	if code != 0 {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	for _, want := range []string{"accuracy", "without privacy", "of 100 allowed", "no amplification by sampling", "217 values are few", filepath.Join(out, "report.html"), "elsewhere"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("output lacks %q:\n%s", want, stdout)
		}
	}
	if strings.Count(stderr, "accuracy") != 2 || !strings.Contains(stderr, "round  2/2") || !strings.Contains(stderr, "silent") {
		t.Errorf("round lines:\n%s", stderr)
	}
	code, _, stderr = demoTest(t, args...)
	if code != exitFailed || !strings.Contains(stderr, "--force") {
		t.Errorf("second run into the same folder: exit status %d: %s", code, stderr)
	}
	if code, _, stderr = demoTest(t, append(args[:4:4], "--rounds", "1", "--out", out, "--force")...); code != 0 {
		t.Errorf("with --force: exit status %d: %s", code, stderr)
	}
}

// --force must never remove what the demo did not make.
func TestDemoKeepsStrangeFiles(t *testing.T) {
	out := t.TempDir()
	kept := filepath.Join(out, "store")
	if err := os.WriteFile(kept, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := demoTest(t, "--out", out, "--force"); code != exitFailed || !strings.Contains(stderr, "exists") {
		t.Errorf("exit status %d: %s", code, stderr)
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != "mine" {
		t.Errorf("the file is %q, %v", b, err)
	}
}

func TestDemoRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "demo")
	for _, args := range [][]string{
		{"--data", "iris"},
		{"--rounds", "-1"},
		{"--epsilon", "-1"},
		{"--epsilon", "nan"},
		{"--vehicles", "5"},
		{"--vehicles", "-3"},
		{"--epsilon", "1e-9"},
		{"--store", "http://somewhere"},
		{"extra"},
	} {
		if code, _, stderr := demoTest(t, append(args, "--out", out)...); code != exitUsage || !strings.Contains(stderr, "error") {
			t.Errorf("%v: exit status %d: %s", args, code, stderr)
		}
		if _, err := os.Lstat(out); !os.IsNotExist(err) {
			t.Fatalf("%v: the folder was made: %v", args, err)
		}
	}
}

func TestDemoInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	stop := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte(`"round"`)) {
			cancel()
		}
		return out.Write(p)
	})
	code := run(ctx, []string{"demo", "--json", "--vehicles", "40", "--rounds", "3", "--out", filepath.Join(t.TempDir(), "demo")}, strings.NewReader(""), stop, &errs)
	all := lines(t, out.String())
	if code != exitInterrupted || len(all["round"]) != 1 || len(all["error"]) != 1 {
		t.Fatalf("exit status %d: %s", code, out.String())
	}
	if hint, _ := all["error"][0]["hint"].(string); !strings.Contains(hint, "--force") {
		t.Errorf("hint %q", hint)
	}
}

type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

// The sentence about sizes must hold: reports are shorter than float32 from the
// number of values on that it names, and longer well below it.
func TestDemoSizes(t *testing.T) {
	data, err := loadDemoData("inertial")
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := fleetsim.New(data.config, data.rows)
	if err != nil {
		t.Fatal(err)
	}
	task, err := demoTask(fleet, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	task.Committee = demoCommittee
	for i := range task.Committee.Size {
		task.Committee.Keys = append(task.Committee.Keys, schema.PublicKey{byte(i + 1)})
	}
	task.Collector, task.Authority, task.Owner = schema.PublicKey{11}, schema.PublicKey{12}, schema.PublicKey{13}
	from := smallestShorter(task)
	shorter := func(values int) bool {
		task.Tensors[0].Shape = []int{values}
		done, err := pipeline.Complete(task)
		if err != nil {
			t.Fatal(err)
		}
		p, err := pipeline.NewPlan(done)
		if err != nil {
			t.Fatal(err)
		}
		return p.Secagg.HeaderObjectBytes()+p.Secagg.Blocks()*p.Secagg.BlockBytes() < 4*values
	}
	if from < 1000 || shorter(from/2) {
		t.Errorf("from %d values on; at half of it reports are shorter already", from)
	}
	for values := from; values < 100*from; values += 1 + values/37 {
		if !shorter(values) {
			t.Fatalf("reports are not shorter at %d values, said to be from %d on", values, from)
		}
	}
}

// TestDemoAccuracy trains the default five times and holds the mean against the
// training without privacy. The noise differs from run to run: the difference of one
// run has a standard deviation of about one point, so the mean of five misses
// three points by chance less often than once in a million runs of this test.
func TestDemoAccuracy(t *testing.T) {
	if os.Getenv("VEILSUM_SLOW") == "" {
		t.Skip("about four minutes; set VEILSUM_SLOW=1")
	}
	difference := 0.0
	for seed := range 5 {
		code, stdout, stderr := demoTest(t, "--json", "--seed", string(rune('1'+seed)), "--out", filepath.Join(t.TempDir(), "demo"))
		if code != 0 {
			t.Fatalf("exit status %d: %s", code, stderr)
		}
		r := lines(t, stdout)["result"][0]
		private, plain := r["accuracy"].(float64), r["accuracy_plain"].(float64)
		t.Logf("seed %d: private %.4f, plain %.4f, epsilon %.4f, %.0f s", seed+1, private, plain, r["epsilon"], r["seconds"])
		difference += (private - plain) / 5
		if r["epsilon"].(float64) > 8 || r["delta"].(float64) != 1e-5 {
			t.Errorf("epsilon %v at delta %v", r["epsilon"], r["delta"])
		}
	}
	if difference < -0.03 {
		t.Errorf("mean difference %.4f", difference)
	}
}

// TestDemoCanaries: canaries change the size of the lists and nothing that is learned. With next to no
// noise every guess about them is right, so the attack works, and what it proves stays below a
// budget that large. A claim that is too small would be refuted by it.
func TestDemoCanaries(t *testing.T) {
	out := filepath.Join(t.TempDir(), "demo")
	args := []string{"--vehicles", "40", "--rounds", "2", "--epsilon", "900", "--out", out, "--canaries", "30"}
	code, stdout, stderr := demoTest(t, append(args, "--json")...)
	if code != 0 {
		t.Fatalf("exit status %d: %s %s", code, stdout, stderr)
	}
	all := lines(t, stdout)
	if n := all["round"][1]["reports"].(float64); n != 32+30 {
		t.Errorf("%v reports, want those of 32 vehicles and 30 canaries", n)
	}
	raw, err := json.Marshal(all["result"][0]["canaries"])
	if err != nil {
		t.Fatal(err)
	}
	var v canary.Verdict
	if err := json.Unmarshal(raw, &v); err != nil || v.Canaries != 30 || v.Guesses != 10 || v.Correct != 10 {
		t.Fatalf("%+v, %v: want 10 of 10 right", v, err)
	}
	if v.Claim.Epsilon > 900 || v.Err() != nil || !(v.OneRun > 0.5) || !(v.Tradeoff > v.OneRun) {
		t.Errorf("%+v", v)
	}
	if v, err = canary.Judge(v.Tally, canary.Claim{Epsilon: 1, Delta: 1e-5}, 0.95); err != nil || v.Err() == nil {
		t.Errorf("the same guesses do not refute epsilon 1: %+v, %v", v, err)
	}
	if _, err := os.Stat(filepath.Join(out, "state", "auditor", "coins.json")); err != nil {
		t.Error(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !bytes.Contains(page, []byte("ASSUMING a Gaussian trade-off")) {
		t.Errorf("the page does not tell of the canaries: %v", err)
	}
	if code, _, stderr := demoTest(t, "--out", filepath.Join(t.TempDir(), "demo"), "--canaries", "20", "--adaptive"); code != exitUsage || !strings.Contains(stderr, "exclude each other") {
		t.Errorf("--canaries with --adaptive: exit status %d: %s", code, stderr)
	}
	for _, n := range []string{"11", "125", "-1"} {
		if code, _, _ := demoTest(t, "--out", filepath.Join(t.TempDir(), "demo"), "--canaries", n); code != exitUsage {
			t.Errorf("--canaries %s: exit status %d", n, code)
		}
	}
}

// The canaries' line is text too, and the demo without noise to speak of exits with
// status 5 if the ledger counted less than the canaries prove.
func TestDemoCanaryText(t *testing.T) {
	d := &demoRun{canaries: demoCanaries{included: make([]bool, 48), scores: make([]float64, 48)}}
	for i := range 24 {
		d.canaries.included[i], d.canaries.scores[i] = true, 1
	}
	v, err := d.judge(1, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	if s := canaryText(v); !strings.Contains(s, "16 of 16 guesses right") || !strings.Contains(s, "ASSUMING a Gaussian trade-off") {
		t.Error(s)
	}
	if code, hint := explain(t.Context(), v.Err()); code != exitVerify || hint == "" {
		t.Errorf("exit status %d, hint %q", code, hint)
	}
}
