// Package arrowchild reads Arrow files in a process of its own that may die of them.
//
// The Arrow reader can be made to allocate without bound by a few damaged bytes, and
// no recover stops that: an update file that a power cut tore would end the
// program. So [ReadUpdate] and [ReadSchema] start this program again with the hidden command
// [Command], whose memory is limited; what it cannot read, or dies of, is an error here.
// The limit holds on Linux; elsewhere the child only keeps the parent alive.
package arrowchild

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// Command is the argument with which the program runs as the child: [Main].
const Command = "read-arrow-file"

const (
	// maxAnswer bounds the answer without the values.
	maxAnswer = 16 << 20
	maxStderr = 4 << 10
)

// ErrDied: reading the file ended the child. It comes with [arrowipc.ErrFile].
var ErrDied = errors.New("the reader of Arrow files died")

type request struct {
	Path    string          `json:"path"`
	Tensors []schema.Tensor `json:"tensors,omitempty"` // absent: tell the file's own
	Records bool            `json:"records,omitempty"` // tell the rows of a table
}

// answer is what the child says first, behind its length; values follow as little-endian float32.
type answer struct {
	Error    string          `json:"error,omitempty"`
	Mismatch bool            `json:"mismatch,omitempty"` // the error wraps arrowipc.ErrMismatch
	File     bool            `json:"file,omitempty"`     // the error wraps arrowipc.ErrFile
	Errno    syscall.Errno   `json:"errno,omitempty"`    // of a disk that fails: not the file's fault
	Tensors  []schema.Tensor `json:"tensors,omitempty"`
	Values   int             `json:"values"`
	// Records are the rows of a table, values by the names of their columns.
	Records []map[string]any `json:"records,omitempty"`
}

// ReadUpdate does what [arrowipc.ReadUpdate] does, in a child.
func ReadUpdate(ctx context.Context, path string, want []schema.Tensor) ([]float32, error) {
	total := 0
	for _, t := range want {
		n, err := t.Size()
		if err != nil {
			return nil, err
		}
		total += n
	}
	var values []float32
	err := ask(ctx, request{Path: path, Tensors: want}, func(a answer, r io.Reader) (err error) {
		if a.Values != total {
			return fmt.Errorf("%w: %d values, %d expected", arrowipc.ErrFile, a.Values, total)
		}
		values, err = readValues(r, total)
		return err
	})
	return values, err
}

// ReadSchema does what [arrowipc.ReadSchema] does, in a child.
func ReadSchema(ctx context.Context, path string) ([]schema.Tensor, error) {
	var tensors []schema.Tensor
	err := ask(ctx, request{Path: path}, func(a answer, _ io.Reader) error {
		tensors = a.Tensors
		return nil
	})
	return tensors, err
}

// ReadRecords reads the rows of a table of numbers and texts without nulls, as [arrowipc.ReadTable] does, in a
// child. A column of fixed-size lists gives a list in each row. The rows take at most 16 MiB of JSON.
func ReadRecords(ctx context.Context, path string) ([]map[string]any, error) {
	var rows []map[string]any
	err := ask(ctx, request{Path: path, Records: true}, func(a answer, _ io.Reader) error {
		rows = a.Records
		return nil
	})
	return rows, err
}

// ask runs a child to its end.
func ask(ctx context.Context, q request, use func(answer, io.Reader) error) error {
	path, err := filepath.Abs(q.Path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil { // not the file's fault
		return err
	}
	q.Path = path
	c, out, stderr, err := start(ctx, q)
	if err != nil {
		return fmt.Errorf("start the reader of Arrow files: %w", err)
	}
	a, err := readAnswer(out)
	if err == nil && a.Error == "" {
		err = use(a, out)
	}
	if err != nil {
		c.Process.Kill() // so that Wait ends; it may be gone
	}
	end := c.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && a.Error != "":
		return a.told()
	case err != nil || end != nil:
		return fmt.Errorf("%w: %s is damaged, or made to do harm: %w (%s)", arrowipc.ErrFile, path, ErrDied, stderr.first(end))
	}
	return nil
}

func (a answer) told() error {
	switch {
	case a.Mismatch:
		return &told{arrowipc.ErrMismatch, a.Error}
	case a.File:
		return &told{arrowipc.ErrFile, a.Error}
	case a.Errno != 0:
		return &told{a.Errno, a.Error}
	}
	return errors.New(a.Error)
}

// told is an error of the child in its own words.
type told struct {
	is   error
	text string
}

// Error implements error.
func (t *told) Error() string { return t.text }

// Unwrap returns the sentinel error, or what the system said.
func (t *told) Unwrap() error { return t.is }

func start(ctx context.Context, q request) (*exec.Cmd, io.Reader, *head, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, nil, nil, err
	}
	in, err := json.Marshal(q)
	if err != nil {
		return nil, nil, nil, err
	}
	stderr := &head{}
	c := exec.CommandContext(ctx, program, Command)
	c.Stdin, c.Stderr = bytes.NewReader(in), stderr
	c.Env = []string{"GOTRACEBACK=none"} // no credentials, and nothing that changes the runtime
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	return c, out, stderr, c.Start()
}

func readAnswer(r io.Reader) (a answer, err error) {
	var size uint32
	if err := binary.Read(r, binary.LittleEndian, &size); err != nil {
		return a, err
	}
	if size > maxAnswer {
		return a, fmt.Errorf("answer of %d bytes", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return a, err
	}
	return a, json.Unmarshal(b, &a)
}

func readValues(r io.Reader, n int) ([]float32, error) {
	values, buf := make([]float32, n), make([]byte, 64<<10)
	for at := 0; at < n; {
		k := min(len(buf)/4, n-at)
		if _, err := io.ReadFull(r, buf[:4*k]); err != nil {
			return nil, err
		}
		for i := range k {
			values[at+i] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*i:]))
		}
		at += k
	}
	return values, nil
}

// head keeps the beginning of what the child complains of.
type head struct{ bytes.Buffer }

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), max(maxStderr-h.Len(), 0))])
	return len(p), nil
}

// first is the first line, or else how the child ended.
func (h *head) first(end error) string {
	line, _, _ := strings.Cut(h.String(), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return fmt.Sprint(end)
	}
	return line
}
