package engine_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen: a JVM that starts on a busy machine, or a whole job.
const patience = 5 * time.Minute

// process is a program that runs, what it has printed and what it logs.
type process struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer // complete when ended is closed
	ended  chan struct{}
	err    error // how it ended

	mu   sync.Mutex
	log  []string
	more chan struct{} // closed, and replaced, with each line
}

// start runs a program in a process group of its own: the signals of a terminal are not for it.
func start(t testing.TB, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), ended: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout = dir, env, &p.stdout
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 10 * time.Second
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go p.follow(stderr)
	return p
}

// follow keeps the log until the program has ended.
func (p *process) follow(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.log = append(p.log, lines.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	p.err = p.cmd.Wait()
	close(p.ended)
}

// find returns the groups of the first line that matches, and a channel that closes with the next line.
func (p *process) find(pattern *regexp.Regexp) (groups []string, more <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		if groups := pattern.FindStringSubmatch(line); groups != nil {
			return groups, nil
		}
	}
	return nil, p.more
}

// await waits for a line that matches and returns its first group.
func (p *process) await(t testing.TB, pattern string) string {
	t.Helper()
	limit := time.After(patience)
	for wanted := regexp.MustCompile(pattern); ; {
		groups, more := p.find(wanted)
		if groups != nil {
			return groups[len(groups)-1]
		}
		select {
		case <-more:
		case <-p.ended:
			t.Fatalf("%s ended (%v) without %q: %s", p.cmd.Path, p.err, pattern, p.text())
		case <-limit:
			t.Fatalf("%s does not say %q: %s", p.cmd.Path, pattern, p.text())
		}
	}
}

// wait waits for the end.
func (p *process) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s goes on and on: %s", p.cmd.Path, p.text())
	}
	return p.err
}

// text is the whole log.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// relative is a running process of this machine.
type relative struct {
	pid, parent int
	command     string
}

func (r relative) String() string { return fmt.Sprintf("%d %.200s", r.pid, r.command) }

// marked returns the running processes that have the variable in their environment.
func marked(variable string) (all []relative) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil || !slices.Contains(strings.Split(string(env), "\x00"), variable) {
			continue // it has ended, or is none of ours
		}
		if r, ok := running(filepath.Dir(file)); ok {
			all = append(all, r)
		}
	}
	return all
}

// running reads a process in /proc; a zombie has ended.
func running(dir string) (r relative, ok bool) {
	stat, err := os.ReadFile(dir + "/stat")
	_, rest, found := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if err != nil || !found || len(fields) < 2 || fields[0] == "Z" {
		return r, false
	}
	command, err := os.ReadFile(dir + "/cmdline")
	if err != nil {
		return r, false
	}
	r.command = strings.ReplaceAll(string(command), "\x00", " ")
	if r.pid, err = strconv.Atoi(filepath.Base(dir)); err != nil {
		return r, false
	}
	r.parent, err = strconv.Atoi(fields[1])
	return r, err == nil
}

// descendants returns root and what it has started, root first.
func descendants(root int, all []relative) (line []relative) {
	wanted := []int{root}
	for i := 0; i < len(wanted); i++ {
		for _, r := range all {
			if r.pid == wanted[i] {
				line = append(line, r)
			}
			if r.parent == wanted[i] {
				wanted = append(wanted, r.pid)
			}
		}
	}
	return line
}

// ancestor tells whether pid is root or was started, over any number of others, by it.
func ancestor(root, pid int, all []relative) bool {
	return slices.ContainsFunc(descendants(root, all), func(r relative) bool { return r.pid == pid })
}
