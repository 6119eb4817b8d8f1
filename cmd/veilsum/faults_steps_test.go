package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/veilsum/veilsum/cmd/internal/exit"
)

// faultStep is one step of one role, what it starts from, and how the round goes on after it.
type faultStep struct {
	name  string
	args  []string
	epoch string
	rest  []string // words of play.sh after the step
	void  bool     // the round ends void: what the fault left of it differs, what is charged does not
	left  bool     // the step is not repeated
	from  *job     // never changed
	want  ending

	mu   sync.Mutex
	seen map[string]ending // how the round ended from each state of the disk
}

// ending is what may be said of a job whose round has ended.
type ending struct {
	Receipt string
	Reports int
	Votes   string
	Answers string
	Audit   string // objects that the audit checked, by kind
	Budget  string // without the ledger's hashes, which follow from random bytes
}

var sharedSteps struct {
	once  sync.Once
	steps []*faultStep
}

// faultSteps returns the steps; they are made once for all tests.
func faultSteps(t *testing.T) []*faultStep {
	t.Helper()
	sharedSteps.once.Do(func() {
		if _, err := built(); err != nil {
			t.Fatal(err)
		}
		dir, err := filepath.EvalSymlinks(buildDir)
		if err != nil {
			t.Fatal(err)
		}
		sharedSteps.steps = makeFaultSteps(t, dir)
	})
	if sharedSteps.steps == nil {
		t.Fatal("another test could not make the steps")
	}
	return sharedSteps.steps
}

// makeFaultSteps plays two rounds and stops before each step. The first member votes
// and answers first, and no round can end without it.
func makeFaultSteps(t *testing.T, dir string) (steps []*faultStep) {
	live := newJob(t, filepath.Join(dir, "live"))
	stop := func(name, epoch, rest string, args ...string) *faultStep {
		s := &faultStep{
			name: name, args: args, epoch: epoch, rest: strings.Fields(rest), seen: map[string]ending{},
			from: live.copy(t, filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))),
		}
		steps = append(steps, s)
		return s
	}
	play := func(epoch string, words ...string) {
		if err := live.play(epoch, words...); err != nil {
			t.Fatal(err)
		}
	}
	do := func(args ...string) {
		if _, err := live.do(args...); err != nil {
			t.Fatal(err)
		}
	}
	first := func(epoch, word string) []string { return live.steps(epoch, word)[0] }
	last := live.vehicles[len(live.vehicles)-1]

	stop("committee init", "4", "keys open seal close check propose vote answer collect", first("4", "keys")...)
	stop("round open", "1", "seal close check propose vote answer collect", first("1", "open")...)
	play("1", "open")
	for _, v := range live.vehicles[:4] {
		do(sealing("1", v)...)
	}
	stop("client seal", "1", "close check propose vote answer collect", sealing("1", last)...)
	do(append(sealing("1", last), "--no-upload")...)
	stop("client upload", "1", "close check propose vote answer collect", "client", "upload", "--state", last)
	do("client", "upload", "--state", last)
	stop("round close", "1", "check propose vote answer collect", first("1", "close")...)
	play("1", "close")
	stop("committee check", "1", "check propose vote answer collect", first("1", "check")...)
	play("1", "check")
	stop("batch sum", "1", "propose vote answer collect", first("1", "sum")...)
	stop("batch run", "1", "propose vote answer collect", "batch", "run", "--epoch", "1", "--fan-in", "4", "--workers", "1")
	stop("round propose", "1", "vote answer collect", first("1", "propose")...)
	play("1", "propose")
	stop("committee vote", "1", "vote answer collect", first("1", "vote")...)
	play("1", "vote")
	stop("committee answer", "1", "answer collect", first("1", "answer")...)
	play("1", "answer")
	stop("round collect", "1", "collect", append(first("1", "collect"), "--out", "mean.arrow")...)
	play("1", "collect")
	play("2", "open", "seal", "close", "check")
	stop("second propose", "2", "vote answer collect", first("2", "propose")...)
	abandoned := stop("propose and abort", "2", "abort abort", first("2", "propose")...)
	abandoned.void, abandoned.left = true, true
	play("2", "propose")
	stop("round abort", "2", "abort", first("2", "abort")...).void = true
	regional(t, live)
	play("3", "open-regions")
	stop("region sync", "3", "sync near-seal near-sum close check propose vote answer collect", first("3", "sync")...)
	play("3", "sync", "near-seal")
	stop("region sum", "3", "near-sum close check propose vote answer collect", first("3", "near-sum")...)
	for _, s := range steps {
		if err := s.prepare(s.from.copy(t, s.from.dir+"-plain")); err != nil {
			t.Fatal(err)
		}
	}
	return steps
}

// sealSteps remembers what the steps start from and returns how to check that nobody wrote there.
func sealSteps(t *testing.T, steps []*faultStep) (unchanged func()) {
	before := make([]map[string]string, len(steps))
	for i, s := range steps {
		before[i] = s.from.objects(t, ".")
	}
	return func() {
		for i, s := range steps {
			if !maps.Equal(before[i], s.from.objects(t, ".")) {
				t.Errorf("%s: somebody wrote in place into a file of the store", s.name)
			}
		}
	}
}

// prepare plays the step and the rest without a fault.
func (s *faultStep) prepare(j *job) (err error) {
	if s.left {
		if _, err := j.do(s.args...); err != nil {
			return err
		}
	}
	s.want, err = s.finish(j, nil)
	return err
}

// finish repeats the step, goes on to the end of the round, and tells how it ended.
// The step's own repetition must give what was acknowledged, if anything was.
func (s *faultStep) finish(j *job, acknowledged map[string]any) (ending, error) {
	if !s.left {
		if err := s.again(j, acknowledged); err != nil {
			return ending{}, err
		}
	}
	if err := j.play(s.epoch, s.rest...); err != nil {
		return ending{}, err
	}
	e, err := j.ending(s.epoch)
	if s.void {
		e.Reports, e.Audit = 0, ""
		e.Budget = e.Budget[:strings.Index(e.Budget, `"ledger"`)]
	}
	return e, err
}

func (s *faultStep) again(j *job, acknowledged map[string]any) error {
	o := j.run(s.args...)
	if s.name == "client seal" && o.exit == exitFailed && strings.Contains(o.stdout, "epoch is not above the last one") {
		o = j.run("client", "upload", "--state", s.args[len(s.args)-1]) // the turn is spent: what it left is sent
	} else if acknowledged != nil && s.name != "client upload" && !same(o.result(), acknowledged) {
		return fmt.Errorf("acknowledged %v, and then %v", acknowledged, o.result())
	}
	if o.exit != exit.Done {
		return fmt.Errorf("again: exit status %d: %s%s", o.exit, o.stdout, o.stderr)
	}
	return nil
}

func same(a, b map[string]any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// ending asks the program how an epoch's round ended, what the budget is, and
// whether all evidence verifies.
func (j *job) ending(epoch string) (e ending, err error) {
	status, err := j.do("round", "status", "--epoch", epoch)
	if err != nil {
		return e, err
	}
	audit, err := j.do(append([]string{"audit", "--pieces"}, j.nearStore()...)...)
	if err != nil {
		return e, err
	}
	budget, err := j.do("budget", "show")
	if err != nil {
		return e, err
	}
	if ledger, ok := budget["ledger"].(map[string]any); ok {
		delete(ledger, "root")
		delete(ledger, "checkpoint")
	}
	b, err := json.Marshal(budget) // keys in order: the ledger comes after what is charged
	if err != nil {
		return e, err
	}
	e = ending{Receipt: fmt.Sprint(status["receipt"]), Votes: fmt.Sprint(status["votes"]), Answers: fmt.Sprint(status["answers"]), Budget: string(b)}
	if n, ok := status["reports_proposed"].(float64); ok {
		e.Reports = int(n)
	}
	var kinds []string
	if all, ok := audit["objects"].(map[string]any); ok {
		for kind, n := range all {
			kinds = append(kinds, fmt.Sprint(kind, " ", n))
		}
	}
	slices.Sort(kinds)
	e.Audit = strings.Join(kinds, ", ")
	return e, nil
}
