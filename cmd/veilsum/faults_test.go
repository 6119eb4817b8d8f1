package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/faulttest"
	"github.com/veilsum/veilsum/storage/doctor"
)

// slow tells that every call is to be tried, which takes minutes.
func slow() bool { return os.Getenv("VEILSUM_SLOW") == "1" }

// traced skips a test where the program cannot be traced, and says what runs in its place.
func traced(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts hundreds of processes")
	}
	if err := faulttest.Available(); err != nil {
		t.Skipf("%v: file system calls are not tested one by one here; TestKillLoop kills at random moments, "+
			"TestAnySchedule and TestCrashAtEachOperation at each write of an object or state file", err)
	}
	t.Log("file system calls are counted and hit by ptrace")
}

// TestEachCall kills each step of each role at each of its file system calls, and
// lets each of them fail, EIO everywhere and ENOSPC where space is needed. A step that
// met a fault says so (exit status 1, the fault in the message) or did its work in spite of it.
// Afterwards the step is repeated and the round goes on: it must end as if nothing had
// happened, in one receipt, with each object once, the same budget, and all evidence
// verified; what a step acknowledged stays. VEILSUM_SLOW=1 tries every call, otherwise some of each kind.
func TestEachCall(t *testing.T) {
	traced(t)
	steps := faultSteps(t)
	unchanged := sealSteps(t, steps)
	t.Run("steps", func(t *testing.T) {
		for _, s := range steps {
			t.Run(s.name, func(t *testing.T) { t.Parallel(); s.test(t) })
		}
	})
	unchanged()
}

// test hits the step with its faults.
func (s *faultStep) test(t *testing.T) {
	began := time.Now()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	calls := s.hit(t, filepath.Join(dir, "count"), faulttest.Fault{}).Calls
	kinds := map[string]int{}
	for _, c := range calls {
		kinds[c.Name]++
	}
	faults, met := s.choose(calls), 0
	for i, f := range faults {
		r := s.hit(t, filepath.Join(dir, fmt.Sprint(i)), f)
		if _, hit := r.Hit(f); hit {
			met++
		}
	}
	for f := range s.beyond(len(calls)) { // a run may have some calls more than the one that was counted
		met++
		if _, hit := s.hit(t, filepath.Join(dir, "beyond"), f).Hit(f); !hit {
			break
		}
	}
	if met < len(faults)*9/10 {
		t.Errorf("only %d of %d faults were met: the calls are not counted well", met, len(faults))
	}
	t.Logf("%d calls %v; %d faults, %d different states to go on from, %.0f s", len(calls), kinds, met, len(s.seen), time.Since(began).Seconds())
}

// beyond kills at calls behind the last one that was counted.
func (s *faultStep) beyond(calls int) func(yield func(faulttest.Fault) bool) {
	return func(yield func(faulttest.Fault) bool) {
		for n := calls + 1; slow() && yield(faulttest.Kill(n)); n++ {
		}
	}
}

// choose returns the faults to try: all, or of the reservation some of each kind of
// call, and of other steps some of those that change files.
func (s *faultStep) choose(calls []faulttest.Call) (faults []faulttest.Fault) {
	byName := map[string][]int{}
	for i, c := range calls {
		n := i + 1
		if slow() {
			faults = append(faults, faulttest.Kill(n), faulttest.Fail(n, syscall.EIO))
		}
		if slow() && c.NeedsSpace() {
			faults = append(faults, faulttest.Fail(n, syscall.ENOSPC))
		}
		if !slow() && c == (faulttest.Call{Name: "read", Path: "up.arrow"}) { // by a child process, which tells it in its own words
			faults = append(faults, faulttest.Fail(n, syscall.EIO))
		}
		name := c.Name
		if s.name != "round propose" {
			name = map[bool]string{true: "writes", false: "reads"}[c.Write]
		}
		byName[name] = append(byName[name], n)
	}
	if slow() {
		return faults
	}
	for i, name := range slices.Sorted(maps.Keys(byName)) {
		all := byName[name]
		pick := func(part, of int) int { return all[(2*part+1)*len(all)/(2*of)] }
		faults = append(faults, faulttest.Fail(pick(1-i%2, 2), syscall.EIO))
		if name != "reads" {
			faults = append(faults, faulttest.Kill(pick(i%2, 2)))
		}
		if n := pick(0, 1); calls[n-1].NeedsSpace() {
			faults = append(faults, faulttest.Fail(n, syscall.ENOSPC))
		}
		if name == "writes" {
			faults = append(faults, faulttest.Kill(pick(0, 5)), faulttest.Kill(pick(4, 5)))
		}
	}
	return faults
}

// hit runs the step with a fault, checks how it fails, and how the round ends after it.
func (s *faultStep) hit(t *testing.T, dir string, f faulttest.Fault) *faulttest.Result {
	t.Helper()
	j := s.from.copy(t, dir)
	defer os.RemoveAll(dir)
	r, err := faulttest.Run(j.command(s.args, "."), f)
	if err != nil {
		t.Fatal(err)
	}
	call, hit := r.Hit(f)
	if !hit {
		if r.Exit != 0 {
			t.Fatalf("without a fault: exit status %d: %s%s", r.Exit, r.Stdout, r.Stderr)
		}
		return r
	}
	o := outcome{r.Exit, r.Stdout, r.Stderr}
	if err := sane(o, call, f); err != nil {
		t.Errorf("%v, %v: %v: %s%s", f, call, err, r.Stdout, r.Stderr)
	}
	var acknowledged map[string]any
	if o.exit == exit.Done {
		acknowledged = o.result()
	}
	if err := s.recovers(t, j, acknowledged); err != nil {
		t.Errorf("%v, %v (exit status %d): %v", f, call, o.exit, err)
	}
	return r
}

// command is a step whose calls below the directory sub of the job are counted.
func (j *job) command(args []string, sub string) faulttest.Command {
	return faulttest.Command{Path: j.program, Args: append(slices.Clone(args), "--json"), Dir: j.dir, Env: j.env, Root: filepath.Join(j.dir, sub)}
}

// tidiesProbes tells whether the call removes what a role put into the store to examine it: nothing rests on
// that, and who may not delete leaves it there.
func tidiesProbes(c faulttest.Call) bool {
	return strings.Contains(c.Path+"/", doctor.Folder) && (c.Name == "unlinkat" || c.Name == "fsync")
}

// sane checks what a step said that met a fault: it failed and named the fault,
// or, where it need not care, did its work in spite of it.
func sane(o outcome, call faulttest.Call, f faulttest.Fault) error {
	if f.Errno == 0 {
		if o.exit != -1 {
			return fmt.Errorf("exit status %d of a process that was killed", o.exit)
		}
		return nil
	}
	if o.exit == exit.Done {
		if call.Write && !(call.Name == "unlinkat" && temporary(call.Path)) && !tidiesProbes(call) {
			return fmt.Errorf("it says that it is done")
		}
		return nil // a look that failed and changed nothing, a file closed that was only read, a temporary file left
	}
	var last struct {
		Type, Message, Hint string
		Code                int `json:"exit_code"`
	}
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		return fmt.Errorf("the last line is no JSON: %w", err)
	}
	switch {
	case o.exit != exitFailed || last.Code != exitFailed || last.Type != "error":
		return fmt.Errorf("exit status %d", o.exit)
	case !strings.Contains(last.Message, f.Errno.Error()):
		return fmt.Errorf("the message does not name the fault")
	case f.Errno == syscall.ENOSPC && last.Hint == "":
		return fmt.Errorf("a full disk without a hint")
	}
	return nil
}

// recovers finishes the round, unless it was finished from the same state before.
func (s *faultStep) recovers(t *testing.T, j *job, acknowledged map[string]any) error {
	b, err := json.Marshal([]any{j.objects(t, "."), acknowledged})
	if err != nil {
		return err
	}
	s.mu.Lock()
	have, seen := s.seen[string(b)]
	s.mu.Unlock()
	if !seen {
		if have, err = s.finish(j, acknowledged); err != nil {
			return err
		}
		s.mu.Lock()
		s.seen[string(b)] = have
		s.mu.Unlock()
	}
	if have != s.want {
		return fmt.Errorf("the round ended with %+v, without a fault with %+v", have, s.want)
	}
	return nil
}
