package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/cmd/internal/exit"
)

// TestKillLoop kills the processes of every role at random moments and starts
// them again, over whole rounds of one job, until so many were killed. Roles of a phase run at
// the same time; some rounds are aborted before the votes, and sometimes a vehicle that was
// killed never comes back. The test keeps its own record of all that was acknowledged
// (exit status 0 and what was printed) and reads the store's files by itself: no acknowledged
// report may be lost, no list but one opened in a round, no object be a part, and the budget
// must be charged once for each committed round.
func TestKillLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("starts hundreds of processes")
	}
	want := 20
	if slow() {
		want = 1000
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	k := &killer{rng: rand.New(rand.NewPCG(seed, 1)), usual: map[string]time.Duration{}, killed: map[string]int{}}
	began, jobs, rounds, committed := time.Now(), 0, 0, 0
	for ; k.kills() < want; jobs++ { // 20 rounds are what the budget of one affords
		k.job = newJob(t, filepath.Join(dir, fmt.Sprint("job", jobs)), "EPSILON=1000", "EPOCHS=1")
		k.acknowledged = map[string]string{}
		n, ok, err := k.life(20, want)
		if err != nil {
			t.Fatalf("seed %d, job %d, epoch %d: %v", seed, jobs, n, err)
		}
		rounds, committed = rounds+n, committed+ok
	}
	if slow() && len(k.killed) < 11 {
		t.Errorf("some steps were never killed: %v", k.killed)
	}
	t.Logf("seed %d: %d kills %v in %d rounds of %d jobs, %d committed: 0 of %d acknowledgements lost, 0 double openings, 0 partial objects, budget exact; %.0f s",
		seed, k.kills(), k.killed, rounds, jobs, committed, k.kept, time.Since(began).Seconds())
}

// life plays rounds of one job until enough processes were killed, and judges it.
func (k *killer) life(most, kills int) (rounds, committed int, err error) {
	for rounds < most && (rounds == 0 || k.kills() < kills) {
		rounds++
		abort := rounds%6 == 3
		if err := k.round(strconv.Itoa(rounds), abort); err != nil {
			return rounds, committed, err
		}
		if !abort {
			committed++
		}
	}
	k.kept += len(k.acknowledged)
	return rounds, committed, k.judge(rounds, committed)
}

// killer plays rounds with processes that it kills.
type killer struct {
	*job
	mu           sync.Mutex
	rng          *rand.Rand
	usual        map[string]time.Duration // how long a step takes that is left alone
	killed       map[string]int           // kills, by step
	acknowledged map[string]string        // "epoch step who" to what was printed
	reports      []string                 // acknowledged in this epoch
	kept         int                      // acknowledgements of earlier jobs
}

func (k *killer) kills() (n int) {
	for _, x := range k.killed {
		n += x
	}
	return n
}

// chance is true once in n.
func (k *killer) chance(n int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.rng.IntN(n) == 0
}

// delay is when to kill a step, from its start to its usual end.
func (k *killer) delay(verb string) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	usual := k.usual[verb]
	if usual == 0 {
		usual = 20 * time.Millisecond
	}
	return time.Duration(k.rng.Int64N(int64(usual) + 1))
}

// round plays one epoch, to its aggregate or until it is aborted before the votes.
func (k *killer) round(epoch string, abort bool) error {
	k.reports = nil
	words := strings.Fields("keys open seal close check sum propose vote answer collect")
	if abort {
		words = strings.Fields("keys open seal close check propose abort")
	}
	for _, word := range words {
		steps := k.steps(epoch, word)
		errs := make([]error, len(steps))
		var wg sync.WaitGroup
		for i, args := range steps {
			wg.Go(func() { errs[i] = k.persist(epoch, args, word == "seal" && i == 0) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return k.look(epoch, abort)
}

// persist runs a step until it ends by itself, and records what it said. A step
// that may give up sometimes does so when it was killed.
func (k *killer) persist(epoch string, args []string, mayGiveUp bool) error {
	verb := args[0] + " " + args[1]
	for {
		spare := k.chance(4) // let it run
		o, took, err := k.start(args, verb, spare)
		if err != nil {
			return err
		}
		switch {
		case o.exit == -1 && mayGiveUp && k.chance(4):
			return nil
		case o.exit == -1:
			continue
		case verb == "client seal" && o.exit == exit.Failed && strings.Contains(o.stdout, "epoch is not above the last one"):
			// A killed process had sealed already: what waits is sent, or nothing waits any more.
			args = []string{"client", "upload", "--state", args[len(args)-1]}
			verb = "client upload"
			continue
		case verb == "client upload" && o.exit == exit.Refused && strings.Contains(o.stdout, `"fate":"late"`):
			// It came back too late for an earlier round.
		case o.exit != exit.Done:
			return fmt.Errorf("%s: exit status %d: %s%s", strings.Join(args, " "), o.exit, o.stdout, o.stderr)
		}
		return k.record(epoch, args, o, took, spare)
	}
}

// start runs a step and kills it at a random moment, unless it is to be spared.
func (k *killer) start(args []string, verb string, spare bool) (outcome, time.Duration, error) {
	cmd := exec.Command(k.program, append(slices.Clone(args), "--json")...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = k.dir, k.env, 10*time.Second
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return outcome{}, 0, err
	}
	if !spare {
		timer := time.AfterFunc(k.delay(verb), func() { _ = cmd.Process.Kill() }) // it may have ended
		defer timer.Stop()
	}
	err := cmd.Wait()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return outcome{}, 0, err
	}
	o := outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if o.exit == -1 {
		k.mu.Lock()
		k.killed[verb]++
		k.mu.Unlock()
	}
	return o, time.Since(began), nil
}

// record keeps what a step acknowledged. Whoever is asked twice must not answer otherwise.
func (k *killer) record(epoch string, args []string, o outcome, took time.Duration, spared bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	verb, result := args[0]+" "+args[1], o.result()
	if spared {
		k.usual[verb] = (k.usual[verb]*3 + took) / 4
	}
	who := ""
	if i := slices.Index(args, "--state"); i >= 0 {
		who = args[i+1]
	}
	said, err := json.Marshal(result)
	if err != nil || result == nil {
		return fmt.Errorf("%s %s: exit status 0 without a result", verb, who)
	}
	key := strings.Join([]string{epoch, verb, who}, " ")
	if old, ok := k.acknowledged[key]; ok && old != string(said) {
		return fmt.Errorf("%s: acknowledged %s, and then %s", key, old, said)
	}
	k.acknowledged[key] = string(said)
	if id, ok := result["report_id"].(string); ok {
		k.reports = append(k.reports, id)
	}
	if ids, ok := result["reports"].([]any); ok {
		for _, id := range ids {
			k.reports = append(k.reports, fmt.Sprint(id))
		}
	}
	return nil
}

// body is what the files of a round say, as far as this test needs it.
type body struct {
	Status   string
	Manifest string
	Reports  json.RawMessage
}

func (k *killer) body(path string) (b body, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return b, err
	}
	signed := struct{ Body *body }{&b}
	return b, json.Unmarshal(raw, &signed)
}

// look reads the files of a round that has ended.
func (k *killer) look(epoch string, aborted bool) error {
	n, err := strconv.Atoi(epoch)
	if err != nil {
		return err
	}
	folders, err := filepath.Glob(filepath.Join(k.dir, "store/tasks/*/rounds", fmt.Sprintf("%012d-0", n)))
	if err != nil || len(folders) != 1 {
		return fmt.Errorf("%d rounds of this epoch (%v)", len(folders), err)
	}
	receipt, err := k.body(filepath.Join(folders[0], "receipt.json"))
	if err != nil {
		return err
	}
	answers, err := filepath.Glob(filepath.Join(folders[0], "answers", "*.json"))
	if err != nil {
		return err
	}
	if aborted {
		if receipt.Status != "void" || len(answers) != 0 {
			return fmt.Errorf("aborted, but the receipt says %q and there are %d answers", receipt.Status, len(answers))
		}
		return nil
	}
	if receipt.Status != "committed" || len(answers) < 3 {
		return fmt.Errorf("the receipt says %q with %d answers", receipt.Status, len(answers))
	}
	for _, a := range answers {
		if b, err := k.body(a); err != nil || b.Manifest != receipt.Manifest {
			return fmt.Errorf("an answer opens %q, the receipt %q (%v)", b.Manifest, receipt.Manifest, err)
		}
	}
	list, err := k.body(filepath.Join(folders[0], "manifests", receipt.Manifest+".json"))
	if err != nil {
		return err
	}
	var listed []string
	if err := json.Unmarshal(list.Reports, &listed); err != nil || len(listed) < 4 {
		return fmt.Errorf("the list has %d reports (%v)", len(listed), err)
	}
	for _, id := range k.reports {
		// A vehicle that gave up in an earlier round sends that round's report when it comes back.
		headers, err := filepath.Glob(filepath.Join(folders[0], "../*/reports", id[:2], id, "header"))
		if err != nil || len(headers) != 1 {
			return fmt.Errorf("acknowledged report %s is in the store %d times (%v)", id, len(headers), err)
		}
		if strings.HasPrefix(headers[0], folders[0]+"/") && !slices.Contains(listed, id) {
			return fmt.Errorf("acknowledged report %s is not in the list", id)
		}
	}
	return k.keptVotes(epoch)
}

// keptVotes compares votes with what the members said, who may have been killed after it.
func (k *killer) keptVotes(epoch string) error {
	for member := range 3 {
		key := fmt.Sprintf("%s committee vote d%d", epoch, member)
		again, err := k.do("committee", "vote", "--epoch", epoch, "--state", fmt.Sprintf("d%d", member))
		if err != nil {
			return err
		}
		if said, err := json.Marshal(again); err != nil || string(said) != k.acknowledged[key] {
			return fmt.Errorf("%s: acknowledged %s, and then %s (%v)", key, k.acknowledged[key], said, err)
		}
	}
	return nil
}

// judge looks at the whole job in the end.
func (k *killer) judge(rounds, committed int) error {
	if _, err := k.do("audit", "--pieces"); err != nil {
		return err
	}
	budget, err := k.do("budget", "show")
	if err != nil {
		return err
	}
	ledger, _ := budget["ledger"].(map[string]any)
	// The opening, and for each round its reservation and its end.
	if n := float64(1 + 2*rounds); budget["epochs_charged"] != float64(committed) || ledger["size"] != n || ledger["unsigned"] != 0.0 {
		return fmt.Errorf("%d rounds, %d committed, but the budget is %v", rounds, committed, budget)
	}
	return k.wholeObjects()
}
