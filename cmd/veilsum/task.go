package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	_ "embed"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/arrowchild"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

//go:embed task.example.yaml
var exampleTask string

func (a *app) taskCommand() *cobra.Command {
	return noun("task", "The agreed parameters of many rounds", a.taskNewCommand(), a.taskShowCommand(), a.taskPlanCommand(), a.taskRenewCommand())
}

type taskNewFlags struct {
	taskFlags
	file, key, like string
	example, dryRun bool
}

func (a *app) taskNewCommand() *cobra.Command {
	f := &taskNewFlags{}
	c := verb("new", "Make, sign and publish a task", `Reads a task from YAML, derives modulus, sensitivity and noise, signs it with
the privacy owner's key and publishes it. Prints the TaskID, which every
other command takes as --task. --example prints a commented task to start
from; --like prints the tensors of an update file in the task's form;
--dry-run shows what would be signed and publishes nothing.`,
		`  veilsum task new --example > task.yaml
  veilsum task new --file task.yaml --key owner.pem --store file:./store`, cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.taskNew(ctx, f) })
	c.Flags().StringVarP(&f.file, "file", "f", "", "task file in YAML, - for standard input")
	c.Flags().StringVar(&f.key, "key", "", "the privacy owner's key file")
	c.Flags().StringVar(&f.like, "like", "", "print the tensors of this update file (Arrow) as YAML")
	c.Flags().BoolVar(&f.example, "example", false, "print a commented task file")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "derive and show, publish nothing")
	f.registerStore(c)
	return c
}

func (a *app) taskNew(ctx context.Context, f *taskNewFlags) error {
	switch {
	case f.example:
		_, err := io.WriteString(a.stdout, exampleTask)
		return err
	case f.like != "":
		return a.taskLike(ctx, f.like)
	}
	t, err := a.readTask(f.file)
	if err != nil {
		return err
	}
	key, err := a.readKey(f.key)
	if err != nil {
		return err
	}
	if own := schema.NewPublicKey(key); t.Owner.IsZero() {
		t.Owner = own
	} else if t.Owner != own {
		return usage("task.owner is %s, the key file is of %s", t.Owner, own)
	}
	done, err := pipeline.Complete(t)
	if err != nil {
		return err
	}
	signed, err := schema.SignBody(done, key)
	if err != nil {
		return err
	}
	return a.publishTask(ctx, f, signed)
}

// soleCommittee refuses a new task that brings a second committee into its scope.
func soleCommittee(ctx context.Context, s storage.Store, id schema.TaskID, t schema.Task) error {
	if _, err := s.Stat(ctx, pipeline.TaskKey(id)); err == nil {
		return nil // it is published again
	} else if !errors.Is(err, storage.ErrNotExist) {
		return err
	}
	other, err := pipeline.OtherCommittee(ctx, s, t)
	if err != nil || other == nil {
		return err
	}
	return withHint(fmt.Errorf("%w: task %s has another committee in the same scope", pipeline.ErrTask, other),
		`two committees could be shown two ledgers, so no decryptor would vote: "veilsum task renew" replaces one, another scope needs a budget of its own`)
}

func (a *app) publishTask(ctx context.Context, f *taskNewFlags, signed schema.Signed[schema.Task]) error {
	p, err := pipeline.NewPlan(signed.Body)
	if err != nil {
		return err
	}
	id := schema.NewTaskID(signed)
	r, err := newPlanResult(p, id) // refuses a task without any guarantee before it is published
	if err != nil {
		return err
	}
	if f.dryRun {
		a.out.Result(r)
		return nil
	}
	s, err := createStore(f.store)
	if err != nil {
		return err
	}
	if err := pipeline.Prepare(ctx, s); err != nil {
		return err
	}
	if err := soleCommittee(ctx, s, id, signed.Body); err != nil {
		return err
	}
	if _, err := s.PutOnce(ctx, pipeline.TaskKey(id), signed.Bytes()); err != nil {
		return err
	}
	for _, w := range r.Warnings {
		a.out.Warn("%s", w)
	}
	a.out.Result(taskResult{TaskID: id, Owner: signed.Body.Owner})
	return nil
}

type taskResult struct {
	TaskID schema.TaskID    `json:"task_id"`
	Owner  schema.PublicKey `json:"owner"`
}

// Text implements ui.Result.
func (r taskResult) Text() string { return r.TaskID.String() + "\n" }

// maxYAML bounds a task file; 16,384 tensors fit easily.
const maxYAML = 4 << 20

func (a *app) readTask(path string) (schema.Task, error) {
	var t schema.Task
	raw, err := a.readInput(path, maxYAML)
	if err != nil {
		return t, err
	}
	t = schema.Task{
		Privacy: schema.Privacy{TrustModel: "distributed", Mechanism: "discrete_gaussian", Kappa: 1, KappaInf: 1},
		Scope:   schema.Scope{Unit: "vehicle", Relation: "zero_out"},
		Batch:   schema.Batch{Lanes: 1}, Participation: schema.Participation{MinSeparation: 1}, Suite: 1,
	}
	if err := readYAML(raw, &t, "task file", `"veilsum task new --example" explains every field`); err != nil {
		return t, err
	}
	return t, refuseEmpty(raw)
}

// readYAML takes one document over what is there, and refuses unknown fields. A file without any is an io.EOF.
func readYAML(raw []byte, to any, name, hint string) error {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	switch err := dec.Decode(to); {
	case errors.Is(err, io.EOF):
		return &usageError{Err: fmt.Errorf("%s: %w", name, err), Hint: hint}
	case err != nil:
		return &usageError{Err: fmt.Errorf("%s: %s", name, strings.ReplaceAll(err.Error(), "\n", " ")), Hint: hint}
	}
	if err := dec.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return usage("%s: more than one document", name)
	}
	return nil
}

// refuseEmpty refuses "adaptive:" and "compression:" with nothing behind it, which YAML reads as if it were not there.
func refuseEmpty(raw []byte) error {
	var told struct {
		Privacy     struct{ Adaptive yaml.Node }
		Compression yaml.Node
	}
	switch err := yaml.Unmarshal(raw, &told); {
	case err != nil:
		return nil
	case told.Compression.Tag == "!!null":
		return usage("task file: compression is empty: give a kind and keep or ratio, or leave it out")
	case told.Privacy.Adaptive.Tag == "!!null":
		return usage("task file: privacy.adaptive is empty: write {} for all defaults, or leave it out for a constant clipping norm")
	}
	return nil
}

// readInput reads a file or, for "-", standard input.
func (a *app) readInput(path string, limit int64) ([]byte, error) {
	switch path {
	case "":
		return nil, &usageError{Err: errors.New("--file is required"), Hint: "pass a file, or - for standard input"}
	case "-":
		return readLimited(a.stdin, "standard input", limit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, path, limit)
}

func readLimited(r io.Reader, what string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = usage("%s: more than %d bytes", what, limit)
	}
	return b, err
}

func (a *app) taskLike(ctx context.Context, path string) error {
	tensors, err := arrowchild.ReadSchema(ctx, path)
	if err != nil {
		return usage("%w", err)
	}
	b, err := yaml.Marshal(map[string][]schema.Tensor{"tensors": tensors})
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(b)
	return err
}

func (a *app) taskShowCommand() *cobra.Command {
	f := &taskFlags{}
	return f.register(verb("show", "Verify and show a task", `Reads a task from the store, verifies it against --owner, recomputes every
derived parameter, and shows what a vehicle gives and what it costs. With
--json every field is shown.`, "  veilsum task show --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			o, err := f.open(ctx)
			if err != nil {
				return err
			}
			return a.showPlan(o.plan, o.id)
		}))
}
