// Package ui is how our programs talk: results to standard output, everything else
// to standard error, for people as text and for programs as typed JSON lines.
//
// Both forms are a [Printer]. Progress is a status line on a terminal, nothing in a pipe, and
// typed lines in JSON; SIGUSR1 asks for a full line at any time.
package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Printer reports what a command does. It is safe for concurrent use.
type Printer interface {
	// Progress tells how far a named piece of work is; total 0 means unknown.
	Progress(what string, done, total int64)
	// Info says something a person may want to know.
	Info(format string, args ...any)
	// Warn says that something needs attention while the command goes on.
	Warn(format string, args ...any)
	// Result prints the answer. In text its Text method decides, in JSON its fields behind "type":"result".
	Result(v Result)
	// Event reports a step on the way, such as "round": in text like Info, in JSON its fields behind "type":kind.
	Event(kind string, v Result)
	// Fail prints the error that ends the command, and how to cure it.
	Fail(err error, hint string, code int)
	// Status prints the last progress in full, as asked for by SIGUSR1.
	Status()
	// Done removes a status line and returns the first error of standard output.
	Done() error
}

// Result is an answer that can print itself for people.
type Result interface {
	// Text returns lines for standard output, ending in a newline, or "".
	Text() string
}

// Text prints for people.
type Text struct {
	mu     sync.Mutex
	out    io.Writer
	errw   io.Writer
	live   bool // standard error is a terminal
	last   string
	shown  bool
	drawn  time.Time
	prefix string
	failed error // of standard output
}

// NewText returns a printer for people; program begins each line of standard error.
func NewText(program string, out, errw io.Writer) *Text {
	f, ok := errw.(*os.File)
	return &Text{out: out, errw: errw, live: ok && term.IsTerminal(int(f.Fd())), prefix: program + ": "}
}

// redraw is the least time between two drawings of the status line.
const redraw = 100 * time.Millisecond

// Progress implements Printer.
func (t *Text) Progress(what string, done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = fmt.Sprintf("%s %d", what, done)
	if total > 0 {
		t.last = fmt.Sprintf("%s %d of %d (%d%%) %s", what, done, total, 100*done/total, bar(done, total))
	}
	if t.live && (time.Since(t.drawn) >= redraw || done == total) {
		fmt.Fprintf(t.errw, "\r\033[K%s", t.last)
		t.shown, t.drawn = true, time.Now()
	}
}

func bar(done, total int64) string {
	const width = 24
	n := int(width * min(done, total) / total)
	return "[" + string(bytes.Repeat([]byte("#"), n)) + string(bytes.Repeat([]byte("."), width-n)) + "]"
}

func (t *Text) clear() {
	if t.shown {
		fmt.Fprint(t.errw, "\r\033[K")
		t.shown = false
	}
}

func (t *Text) line(kind, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	fmt.Fprintf(t.errw, t.prefix+kind+format+"\n", args...)
}

// Info implements Printer.
func (t *Text) Info(format string, args ...any) { t.line("", format, args...) }

// Warn implements Printer.
func (t *Text) Warn(format string, args ...any) { t.line("warning: ", format, args...) }

// Result implements Printer.
func (t *Text) Result(v Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	if _, err := io.WriteString(t.out, v.Text()); err != nil && t.failed == nil {
		t.failed = err
	}
}

// Event implements Printer.
func (t *Text) Event(_ string, v Result) { t.Info("%s", strings.TrimSuffix(v.Text(), "\n")) }

// Fail implements Printer.
func (t *Text) Fail(err error, hint string, _ int) {
	t.line("error: ", "%v", err)
	if hint != "" {
		t.line("hint: ", "%s", hint)
	}
}

// Status implements Printer.
func (t *Text) Status() {
	if t.last != "" {
		t.line("", "%s", t.last)
	}
}

// Done implements Printer.
func (t *Text) Done() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	return t.failed
}

// JSON prints typed lines: {"type":"progress|info|warning|result|error", …}.
// Everything goes to standard output, one object a line; fields are only ever added.
type JSON struct {
	mu     sync.Mutex
	out    io.Writer
	drawn  time.Time
	last   any
	failed error // of standard output
}

// NewJSON returns a printer for programs.
func NewJSON(out io.Writer) *JSON { return &JSON{out: out} }

type progressLine struct {
	Type  string `json:"type"`
	What  string `json:"what"`
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
}

type messageLine struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Code    int    `json:"exit_code,omitempty"`
}

func (j *JSON) emit(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(`{"type":"error","message":"cannot encode the result"}`)
	}
	j.write(b)
}

func (j *JSON) write(line []byte) {
	if _, err := j.out.Write(append(line, '\n')); err != nil && j.failed == nil {
		j.failed = err
	}
}

// Progress implements Printer; at most ten lines a second, and the last.
func (j *JSON) Progress(what string, done, total int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = progressLine{"progress", what, done, total}
	if time.Since(j.drawn) >= redraw || done == total {
		j.emit(j.last)
		j.drawn = time.Now()
	}
}

func (j *JSON) message(kind, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.emit(messageLine{Type: kind, Message: text})
}

// Info implements Printer.
func (j *JSON) Info(format string, args ...any) { j.message("info", fmt.Sprintf(format, args...)) }

// Warn implements Printer.
func (j *JSON) Warn(format string, args ...any) { j.message("warning", fmt.Sprintf(format, args...)) }

// Result implements Printer: the result's own fields behind the type.
func (j *JSON) Result(v Result) { j.Event("result", v) }

// Event implements Printer: the value's own fields behind the type.
func (j *JSON) Event(kind string, v Result) {
	j.mu.Lock()
	defer j.mu.Unlock()
	b, err := json.Marshal(v)
	if err != nil || len(b) < 2 || b[0] != '{' {
		j.emit(messageLine{Type: "error", Message: "cannot encode the result"})
		return
	}
	head := fmt.Appendf(nil, `{"type":%q`, kind)
	if len(b) > 2 {
		head = append(head, ',')
	}
	j.write(append(head, b[1:]...))
}

// Fail implements Printer.
func (j *JSON) Fail(err error, hint string, code int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.emit(messageLine{Type: "error", Message: err.Error(), Hint: hint, Code: code})
}

// Status implements Printer.
func (j *JSON) Status() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.last != nil {
		j.emit(j.last)
	}
}

// Done implements Printer.
func (j *JSON) Done() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}
