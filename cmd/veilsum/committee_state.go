package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/decryptor/record"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// stateFlags name a decryptor's two memories.
type stateFlags struct {
	state  string
	record string
}

func (f *stateFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.state, "state", "", "the decryptor's directory")
	c.Flags().StringVar(&f.record, "record", "", "directory of the record of what was signed, best on another disk; default STATE/record")
	must(c.MarkFlagRequired("state"))
}

// recordDir is where the record lies.
func (f *stateFlags) recordDir() string {
	if f.record == "" {
		return filepath.Join(f.state, "record")
	}
	return f.record
}

// memories are a decryptor's open directories; both are locked for this process.
type memories struct {
	state  *state.Dir
	shelf  *state.Dir
	record *record.Record
}

func (m *memories) close() {
	for _, d := range []*state.Dir{m.shelf, m.state} {
		if d != nil {
			d.Close()
		}
	}
}

func (f *stateFlags) openMemories(own schema.PublicKey) (*memories, error) {
	m := &memories{}
	var err error
	if m.state, err = state.Open(f.state); err == nil {
		m.shelf, err = state.Open(f.recordDir())
	}
	if err == nil {
		m.record, err = record.Open(m.shelf, own)
	}
	if err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// memberKey reads a decryptor's identity, which lies in its directory unless a file is named.
func (a *app) memberKey(f *stateFlags, file string) (ed25519.PrivateKey, error) {
	if file == "" {
		file = filepath.Join(f.state, identityFile)
	}
	key, err := a.readKey(file)
	if errors.Is(err, os.ErrNotExist) {
		err = withHint(err, `"veilsum committee init --state DIR" makes a decryptor`)
	}
	return key, err
}

// openMember opens a decryptor and first erases what has expired: that must
// depend on nothing but this directory and this clock.
func (a *app) openMember(s *stateFlags, f *taskFlags) (*decryptor.Decryptor, func(), error) {
	_, owner, err := f.ids()
	if err != nil {
		return nil, nil, err
	}
	key, err := a.memberKey(s, "")
	if err != nil {
		return nil, nil, err
	}
	m, err := s.openMemories(schema.NewPublicKey(key))
	if err != nil {
		return nil, nil, err
	}
	d, err := decryptor.New(decryptor.Config{State: m.state, Key: key, Owner: owner, Record: m.record})
	if err != nil {
		m.close()
		return nil, nil, err
	}
	n, err := d.Erase()
	if err != nil {
		a.out.Warn("%v", err)
	}
	if n > 0 {
		a.out.Info("erased %d expired round keys", n)
	}
	return d, m.close, nil
}

func (a *app) committeeStatusCommand() *cobra.Command {
	f := &stateFlags{}
	c := verb("status", "Show what a decryptor signed last", `Prints what the record says of each task: how many keys, checks, votes and answers were
signed, and the last of each. It needs no store and no key, and works while "committee serve"
runs. Note the head somewhere else: a record with another head than the one you noted, and
fewer entries, is an older one.`,
		"  veilsum committee status --state d0 --record /mnt/other/d0", cobra.NoArgs, func(context.Context, []string) error {
			raw, err := os.ReadFile(filepath.Join(f.recordDir(), record.File))
			if errors.Is(err, os.ErrNotExist) {
				return withHint(fmt.Errorf("%w: no record at %s", pipeline.ErrNotReady, f.recordDir()), "it is made with the first round key; check --state and --record")
			}
			if err != nil {
				return err
			}
			r, err := record.Parse(raw)
			if err != nil {
				return err
			}
			a.out.Result(newRecordResult(r))
			return nil
		})
	f.register(c)
	return c
}

type recordResult struct {
	Decryptor schema.PublicKey `json:"decryptor"`
	Head      schema.Digest    `json:"head"`
	Entries   int              `json:"entries"`
	Last      []lastSigned     `json:"last"`
}

// lastSigned is the newest entry of one kind in one task.
type lastSigned struct {
	record.Entry
	Count int `json:"count"`
}

func newRecordResult(r *record.Record) recordResult {
	res := recordResult{Decryptor: r.Decryptor(), Head: r.Head(), Entries: len(r.Entries()), Last: []lastSigned{}}
	type row struct {
		task schema.TaskID
		kind record.Kind
	}
	at := map[row]int{}
	for _, e := range r.Entries() {
		k := row{e.Task, e.Kind}
		i, ok := at[k]
		if !ok {
			i = len(res.Last)
			at[k] = i
			res.Last = append(res.Last, lastSigned{})
		}
		res.Last[i] = lastSigned{e, res.Last[i].Count + 1}
	}
	return res
}

// Text implements ui.Result.
func (r recordResult) Text() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "decryptor %s\nrecord    %d entries, head %s\n", r.Decryptor, r.Entries, r.Head)
	for _, l := range r.Last {
		fmt.Fprintf(b, "task %s  %5d x %-6s  last round %d-%d  %s", l.Task.Short(), l.Count, l.Kind, l.Epoch, l.Lane, time.Unix(l.Time, 0).UTC().Format(time.RFC3339))
		if !l.List.IsZero() {
			fmt.Fprintf(b, "  list %s", l.List.Short())
		}
		fmt.Fprintln(b)
	}
	return b.String()
}
