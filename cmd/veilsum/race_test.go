package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/veilsum/veilsum/cmd/internal/exit"
)

// race is what processes do at the same moment to one round.
type race struct {
	name  string
	from  string     // the step that it starts before
	steps [][]string // one process each
	abort bool       // one of them aborts: the round may end void
}

func races(j *job) []race {
	one := func(word string) []string { return j.steps("1", word)[0] }
	abort := []string{"round", "abort", "--epoch", "1", "--key", "collector.pem"}
	last := j.vehicles[len(j.vehicles)-1]
	return []race{
		{"two open", "round open", [][]string{one("open"), one("open")}, false},
		{"two close during an upload", "client upload", [][]string{one("close"), one("close"), {"client", "upload", "--state", last}}, false},
		{"two propose", "round propose", [][]string{one("propose"), one("propose")}, false},
		{"all vote", "committee vote", append(j.steps("1", "vote"), one("propose")), false},
		{"all answer and two collect", "committee answer", append(j.steps("1", "answer"), one("collect"), one("collect")), false},
		{"two collect", "round collect", [][]string{one("collect"), one("collect")}, false},
		{"propose and abort", "round propose", [][]string{one("propose"), abort}, true},
		{"two abort", "committee vote", [][]string{abort, abort}, true},
		{"all vote and one aborts", "committee vote", append(j.steps("1", "vote"), abort), true},
		{"collect and abort", "round collect", [][]string{one("collect"), abort}, true},
	}
}

// TestRacingProcesses lets two collectors, and whoever else acts then, run at the
// same moment on one round. Whoever says that it is done is right about it in the end, there is one receipt, the
// budget is what receipt and votes say, and a void round was not opened.
func TestRacingProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts hundreds of processes")
	}
	times := 1
	if slow() {
		times = 30
	}
	steps := faultSteps(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for n, x := range races(steps[0].from) {
		i := slices.IndexFunc(steps, func(s *faultStep) bool { return s.name == x.from })
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			rng, ends := rand.New(rand.NewPCG(seed, uint64(n))), map[string]int{}
			for range times {
				dir, err := filepath.EvalSymlinks(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				j := steps[i].from.copy(t, filepath.Join(dir, "job"))
				end, err := x.run(j, steps[i], rng)
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				ends[end]++
				os.RemoveAll(dir)
			}
			t.Logf("%v", ends)
		})
	}
}

// run lets the processes race, finishes the round, and returns how it ended.
func (x race) run(j *job, s *faultStep, rng *rand.Rand) (string, error) {
	outcomes := make([]outcome, len(x.steps))
	var wg sync.WaitGroup
	for i, args := range x.steps {
		late := time.Duration(rng.Int64N(int64(20 * time.Millisecond)))
		wg.Go(func() {
			<-time.After(late)
			outcomes[i] = j.run(args...)
		})
	}
	wg.Wait()
	for i, o := range outcomes {
		if x.steps[i][0] == "client" && o.exit == exit.Refused && strings.Contains(o.stdout, `"fate":"late"`) {
			continue // the list was frozen first
		}
		if !slices.Contains([]int{exit.Done, exit.Failed, exit.Decryptors, exit.NotReady}, o.exit) || o.exit != exit.Done && !strings.Contains(o.stdout, `"type":"error"`) {
			return "", fmt.Errorf("%s: exit status %d: %s%s", strings.Join(x.steps[i], " "), o.exit, o.stdout, o.stderr)
		}
	}
	status, err := x.finish(j, s)
	if err != nil {
		return "", fmt.Errorf("%w (the race ended with %+v)", err, outcomes)
	}
	for i, o := range outcomes {
		if err := honest(x.steps[i], o, status); err != nil {
			return "", err
		}
	}
	return fmt.Sprint(status.Receipt), nil
}

// roundStatus is the part of "round status" that these tests look at.
type roundStatus struct {
	Receipt   string
	Manifests int
	Votes     []int
	Answers   []int
}

// finish plays what is left. A round that was aborted may refuse that, no other.
func (x race) finish(j *job, s *faultStep) (st roundStatus, err error) {
	words := s.rest
	if x.from != "client upload" {
		words = append(strings.Fields(x.from)[1:], words...)
	}
	for _, word := range words {
		err = errors.Join(err, j.play(s.epoch, word))
	}
	o := j.run("round", "status", "--epoch", s.epoch)
	if e := json.Unmarshal([]byte(o.stdout), &st); e != nil {
		return st, fmt.Errorf("%w: %s", e, o.stdout)
	}
	if err != nil && (!x.abort || st.Receipt != "void") {
		return st, err
	}
	charged := 1
	if st.Receipt == "void" && len(st.Votes) == 0 {
		charged = 0
	}
	if st.Receipt != "void" && st.Receipt != "committed" || st.Receipt == "void" && len(st.Answers) > 0 || st.Manifests > 1 {
		return st, fmt.Errorf("the round ended with %+v", st)
	}
	budget, err := j.do("budget", "show")
	if err != nil || budget["epochs_charged"] != float64(charged) {
		return st, fmt.Errorf("%+v, but the budget is %v (%v)", st, budget, err)
	}
	_, err = j.do("audit", "--pieces")
	return st, err
}

// honest checks what a process said that was done.
func honest(args []string, o outcome, st roundStatus) error {
	if o.exit != exit.Done {
		return nil
	}
	want := map[string]string{"abort": "void", "collect": "committed"}[args[1]]
	if want != "" && want != st.Receipt {
		return fmt.Errorf("%s says that it is done, but the round is %s", strings.Join(args, " "), st.Receipt)
	}
	return nil
}
