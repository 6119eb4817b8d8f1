package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
	"github.com/veilsum/veilsum/storage/s3"
)

// openStore opens a store that exists: a mistyped directory must not look like
// an empty store.
func openStore(raw string) (storage.Store, error) {
	if path, ok := directory(raw); ok && path != "" && !strings.HasPrefix(path, "//") {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return nil, withHint(fmt.Errorf("no store at %s", path), "check --store; \"veilsum task new\" makes a store, and \"store doctor\" examines any empty directory")
		}
	}
	return createStore(raw)
}

// directory returns the path of a directory store, taken literally.
func directory(raw string) (path string, ok bool) {
	if path, ok := strings.CutPrefix(raw, "file:"); ok {
		return path, true
	}
	return raw, !strings.Contains(raw, ":")
}

// createStore opens a directory ("file:PATH" or a path), made if absent, or an
// S3 bucket ("s3://BUCKET/PREFIX?endpoint=HOST:PORT"). options are for the directory.
func createStore(raw string, options ...dir.Option) (storage.Store, error) {
	path, isDir := directory(raw)
	switch {
	case raw == "":
		return nil, &usageError{Err: fmt.Errorf("--store is required"), Hint: "--store file:DIR or --store s3://BUCKET/PREFIX?endpoint=HOST:PORT, or set VEILSUM_STORE"}
	case strings.HasPrefix(raw, "s3://"):
		config, err := s3.ParseURL(raw)
		if err != nil {
			return nil, &usageError{Err: err, Hint: "s3://BUCKET/PREFIX?endpoint=HOST:PORT&tls=true&region=REGION&retain=governance:DAYS; credentials come from the environment"}
		}
		return s3.Open(config, s3.RetainOnly(pipeline.Evidence))
	case isDir && path != "" && !strings.HasPrefix(path, "//"):
		return dir.Open(path, options...)
	}
	return nil, &usageError{Err: fmt.Errorf("--store %q: want file:DIR or s3://BUCKET", raw), Hint: "a directory is file:DIR with one colon, or its path: file:./store"}
}

// taskFlags name a task in a store, and the privacy owner's key that pins it.
type taskFlags struct {
	store string
	task  string
	owner string
}

func (f *taskFlags) register(c *cobra.Command) *cobra.Command {
	f.registerStore(c)
	c.Flags().StringVar(&f.task, "task", os.Getenv("VEILSUM_TASK"), "TaskID, 64 hexadecimal digits (VEILSUM_TASK)")
	c.Flags().StringVar(&f.owner, "owner", os.Getenv("VEILSUM_OWNER"), "pinned public key of the privacy owner, hexadecimal or a file (VEILSUM_OWNER)")
	return c
}

func (f *taskFlags) registerStore(c *cobra.Command) {
	c.Flags().StringVar(&f.store, "store", os.Getenv("VEILSUM_STORE"), "file:DIR or s3://BUCKET/PREFIX?endpoint=HOST:PORT (VEILSUM_STORE)")
}

// opened is a store with a verified task.
type opened struct {
	store storage.Store
	plan  *pipeline.Plan
	id    schema.TaskID
	owner schema.PublicKey
}

func (f *taskFlags) open(ctx context.Context) (*opened, error) {
	id, owner, err := f.ids()
	if err != nil {
		return nil, err
	}
	s, err := openStore(f.store)
	if err != nil {
		return nil, err
	}
	if err := pipeline.CheckFormat(ctx, s); err != nil {
		return nil, err
	}
	p, err := pipeline.LoadTask(ctx, s, id, owner)
	if err != nil {
		return nil, err
	}
	return &opened{store: s, plan: p, id: id, owner: owner}, nil
}

func (f *taskFlags) ids() (id schema.TaskID, owner schema.PublicKey, err error) {
	if f.task == "" {
		return id, owner, &usageError{Err: errors.New("--task is required"), Hint: `"veilsum task new" printed the TaskID; or set VEILSUM_TASK`}
	}
	id.Digest, err = schema.ParseDigest(f.task)
	if err != nil {
		return id, owner, &usageError{Err: fmt.Errorf("--task %q: %w", f.task, err), Hint: `"veilsum task new" printed it`}
	}
	owner, err = readPublic(f.owner)
	if u := (*usageError)(nil); errors.As(err, &u) {
		return id, owner, &usageError{Err: fmt.Errorf("--owner: %w", u.Err), Hint: u.Hint}
	}
	if err != nil {
		return id, owner, &usageError{Err: fmt.Errorf("--owner: %w", err), Hint: "the privacy owner's public key, which you got on a way you trust; never take it from the store"}
	}
	return id, owner, nil
}

// roundFlags name one round.
type roundFlags struct {
	taskFlags
	epoch uint64
	lane  uint32
	// oneLane tells whether --lane was given; nil in a command that is for one round in any case.
	oneLane func() bool
}

func (f *roundFlags) register(c *cobra.Command) *cobra.Command {
	f.taskFlags.register(c)
	c.Flags().Uint64Var(&f.epoch, "epoch", 0, "epoch of the round")
	c.Flags().Uint32Var(&f.lane, "lane", 0, "lane of the round")
	must(c.MarkFlagRequired("epoch"))
	return c
}

func (f *roundFlags) name(id schema.TaskID) pipeline.RoundName {
	return pipeline.RoundName{Task: id, Epoch: f.epoch, Lane: f.lane}
}

// round opens the store and loads the verified round.
func (f *roundFlags) round(ctx context.Context) (*opened, *pipeline.Round, error) {
	o, err := f.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	r, err := o.round(ctx, f.name(o.id))
	return o, r, err
}

// round loads a verified round.
func (o *opened) round(ctx context.Context, n pipeline.RoundName) (*pipeline.Round, error) {
	r, err := pipeline.LoadRound(ctx, o.store, o.plan, n)
	if errors.Is(err, pipeline.ErrNotReady) {
		err = withHint(err, `run this again later: the collector opens it with "veilsum round open"; or check --epoch and --lane`)
	}
	return r, err
}

// must reports a mistake in the program's own flag definitions, at start-up.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
