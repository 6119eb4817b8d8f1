package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

func (a *app) fleetCommand() *cobra.Command {
	return noun("fleet", "Which vehicles may report, and a simulation of them", a.fleetEnrollCommand(), a.fleetRevokeCommand(), a.fleetListCommand(), a.fleetPaceCommand(), a.fleetSimulateCommand())
}

// fleetFlags name the authority and where the last snapshot is.
type fleetFlags struct {
	taskFlags
	key      string
	snapshot string
	create   int
	out      string
}

func (f *fleetFlags) register(c *cobra.Command) *cobra.Command {
	f.taskFlags.register(c)
	c.Flags().StringVar(&f.key, "key", "", "the enrollment authority's key file")
	c.Flags().StringVar(&f.snapshot, "snapshot", "", "snapshot to start from; default the one with the highest serial in the store")
	return c
}

func (a *app) fleetEnrollCommand() *cobra.Command {
	f := &fleetFlags{}
	c := f.register(verb("enroll [PUBLIC-KEY …]", "Add vehicles and sign a new snapshot", `Gives every public key a random pseudonym in the task's BudgetScope, signs a
new enrollment snapshot and prints "PSEUDONYM PUBLIC-KEY" for each, then the
snapshot's root, which "round open" takes. Keys come as arguments, one a line
on standard input with "-", or are made with --new N, each vehicle in its own
directory below --out (for trials: a real vehicle makes its own key with
"client init" and then learns its pseudonym).`,
		`  veilsum fleet enroll --new 10 --out vehicles --key authority.pem --store file:./store --task $TASK --owner owner.pub`,
		cobra.ArbitraryArgs, func(ctx context.Context, args []string) error { return a.fleetEnroll(ctx, f, args) }))
	c.Flags().IntVar(&f.create, "new", 0, "make this many vehicles with keys of their own")
	c.Flags().StringVar(&f.out, "out", "", "directory for the vehicles made by --new")
	return c
}

func (a *app) fleetEnroll(ctx context.Context, f *fleetFlags, args []string) error {
	keys, err := a.enrollees(args)
	if err != nil {
		return err
	}
	if len(keys) == 0 && f.create == 0 {
		return &usageError{Err: errors.New("nobody to enroll"), Hint: "pass public keys, - for standard input, or --new N --out DIR"}
	}
	if (f.create > 0) != (f.out != "") || f.create < 0 || f.create > schema.MaxVehicles {
		return usage("--new N and --out DIR go together")
	}
	o, last, err := f.openFleet(ctx)
	if err != nil {
		return err
	}
	key, err := f.authority(a, o) // before any vehicle is made
	if err != nil {
		return err
	}
	added, known := make([]schema.Enrolled, 0, len(keys)+f.create), last.byKey()
	for _, k := range keys {
		if e, ok := known[k]; ok {
			a.out.Info("%s is enrolled as %s already", k, e.ID)
			continue
		}
		e := schema.Enrolled{Key: k}
		if _, err := rand.Read(e.ID[:]); err != nil {
			return err
		}
		added = append(added, e)
	}
	for range f.create {
		e, err := newVehicle(f.out)
		if err != nil {
			return err
		}
		added = append(added, e)
	}
	if len(added) == 0 {
		a.out.Result(newFleetResult(last.snap, nil))
		return nil
	}
	return a.sign(ctx, o, last, append(slices.Clone(last.vehicles()), added...), added, key)
}

// authority reads the key and compares it with the task's.
func (f *fleetFlags) authority(a *app, o *opened) (ed25519.PrivateKey, error) {
	key, err := a.readKey(f.key)
	if err != nil {
		return nil, err
	}
	if own := schema.NewPublicKey(key); own != o.plan.Task.Authority {
		return nil, fmt.Errorf("%w: the task's authority is %s, this key is %s", pipeline.ErrKey, o.plan.Task.Authority, own)
	}
	return key, nil
}

func (a *app) enrollees(args []string) ([]schema.PublicKey, error) {
	words := args
	if len(args) == 1 && args[0] == "-" {
		words = nil
		for sc := bufio.NewScanner(a.stdin); sc.Scan(); {
			words = append(words, strings.Fields(sc.Text())...)
		}
	}
	var keys []schema.PublicKey
	for _, w := range words {
		k, err := readPublic(w)
		if err != nil {
			return nil, usage("%w", err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// fleetState is the newest snapshot; the first enrollment starts from none.
type fleetState struct{ snap *schema.Snapshot }

func (s fleetState) vehicles() []schema.Enrolled {
	if s.snap == nil {
		return nil
	}
	return s.snap.Vehicles()
}

func (s fleetState) byKey() map[schema.PublicKey]schema.Enrolled {
	m := map[schema.PublicKey]schema.Enrolled{}
	for _, e := range s.vehicles() {
		m[e.Key] = e
	}
	return m
}

func (s fleetState) serial() uint64 {
	if s.snap == nil {
		return 0
	}
	return s.snap.Serial
}

func (f *fleetFlags) openFleet(ctx context.Context) (*opened, fleetState, error) {
	o, err := f.open(ctx)
	if err != nil {
		return nil, fleetState{}, err
	}
	if f.snapshot != "" {
		root, err := schema.ParseDigest(f.snapshot)
		if err != nil {
			return nil, fleetState{}, usage("--snapshot: %w", err)
		}
		s, err := pipeline.LoadSnapshot(ctx, o.store, o.plan, root)
		return o, fleetState{s}, err
	}
	s, err := pipeline.NewestSnapshot(ctx, o.store, o.plan)
	if errors.Is(err, pipeline.ErrNotReady) {
		err = nil // the first to be enrolled
	}
	return o, fleetState{s}, err
}

func (a *app) sign(ctx context.Context, o *opened, last fleetState, vehicles, changed []schema.Enrolled, key ed25519.PrivateKey) error {
	snap, err := schema.NewSnapshot(o.plan.Task.Scope.ID(), last.serial()+1, vehicles, key)
	if err != nil {
		return usage("%w", err)
	}
	if _, err := o.store.PutOnce(ctx, pipeline.SnapshotKey(snap.Root()), snap.Bytes()); err != nil {
		return err
	}
	a.out.Result(newFleetResult(snap, changed))
	return nil
}

type fleetResult struct {
	Snapshot schema.Digest   `json:"snapshot"`
	Serial   uint64          `json:"serial"`
	Total    int             `json:"total"`
	Vehicles []enrolledEntry `json:"vehicles"`
}

type enrolledEntry struct {
	ID  schema.VehicleID `json:"id"`
	Key schema.PublicKey `json:"public_key"`
}

func newFleetResult(s *schema.Snapshot, show []schema.Enrolled) *fleetResult {
	r := &fleetResult{Snapshot: s.Root(), Serial: s.Serial, Total: len(s.Vehicles()), Vehicles: []enrolledEntry{}}
	for _, e := range show {
		r.Vehicles = append(r.Vehicles, enrolledEntry(e))
	}
	return r
}

// Text implements ui.Result.
func (r *fleetResult) Text() string {
	b := &strings.Builder{}
	for _, e := range r.Vehicles {
		fmt.Fprintf(b, "%s %s\n", e.ID, e.Key)
	}
	fmt.Fprintf(b, "snapshot %s\n", r.Snapshot)
	return b.String()
}

func (a *app) fleetRevokeCommand() *cobra.Command {
	f := &fleetFlags{}
	return f.register(verb("revoke PSEUDONYM …", "Remove vehicles and sign a new snapshot", `Signs a snapshot without the given vehicles. Rounds opened with it, and all
later ones, refuse their reports; decryptors refuse older snapshots from then on.`,
		"  veilsum fleet revoke 00112233445566778899aabbccddeeff --key authority.pem --store file:./store --task $TASK --owner owner.pub",
		cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error { return a.fleetRevoke(ctx, f, args) }))
}

func (a *app) fleetRevoke(ctx context.Context, f *fleetFlags, args []string) error {
	o, last, err := f.openFleet(ctx)
	if err != nil {
		return err
	}
	key, err := f.authority(a, o)
	if err != nil {
		return err
	}
	rest := slices.Clone(last.vehicles())
	var gone []schema.Enrolled
	for _, w := range args {
		var id schema.VehicleID
		if err := id.UnmarshalText([]byte(w)); err != nil {
			return usage("pseudonym %.40q: %w", w, err)
		}
		i := slices.IndexFunc(rest, func(e schema.Enrolled) bool { return e.ID == id })
		if i < 0 {
			return usage("vehicle %s is not enrolled", id)
		}
		gone, rest = append(gone, rest[i]), slices.Delete(rest, i, i+1)
	}
	return a.sign(ctx, o, last, rest, gone, key)
}

func (a *app) fleetListCommand() *cobra.Command {
	f := &fleetFlags{}
	return f.register(verb("list", "Show the enrolled vehicles", `Prints the vehicles of the newest snapshot (or of --snapshot) and its root.`,
		"  veilsum fleet list --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			_, last, err := f.openFleet(ctx)
			if err != nil {
				return err
			}
			if last.snap == nil {
				return withHint(fmt.Errorf("%w: no snapshot for this task's scope", pipeline.ErrNotReady), `"veilsum fleet enroll" makes the first`)
			}
			a.out.Result(newFleetResult(last.snap, last.vehicles()))
			return nil
		}))
}

// newVehicle makes a vehicle's directory below dir, named by its pseudonym.
func newVehicle(dir string) (schema.Enrolled, error) {
	var e schema.Enrolled
	if _, err := rand.Read(e.ID[:]); err != nil {
		return e, err
	}
	key, err := initVehicle(filepath.Join(dir, e.ID.String()), e.ID)
	if err == nil {
		e.Key = schema.NewPublicKey(key)
	}
	return e, err
}
