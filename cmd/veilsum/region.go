package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

func (a *app) regionCommand() *cobra.Command {
	return noun("region", "A region's side of a round, and what the root thinks of it", a.regionSyncCommand(), a.regionSumCommand(), a.regionCheckCommand())
}

// regionFlags name a round, the root's store and a region's own.
type regionFlags struct {
	roundFlags
	root string
}

func (f *regionFlags) register(c *cobra.Command) *cobra.Command {
	f.roundFlags.register(c)
	c.Flags().Lookup("store").Usage = "the region's own store, as file:DIR or s3://BUCKET/PREFIX?endpoint=HOST:PORT (VEILSUM_STORE)"
	c.Flags().StringVar(&f.root, "root", os.Getenv("VEILSUM_ROOT"), "the root's store, where committee and collector work (VEILSUM_ROOT)")
	return c
}

// rooted opens the round in the root's store, and the region's own with open.
func (f *regionFlags) rooted(ctx context.Context, open func(string) (storage.Store, error)) (*opened, *pipeline.Round, storage.Store, error) {
	if f.root == "" {
		return nil, nil, nil, &usageError{Err: errors.New("--root is required"), Hint: "the store that the collector and the committee use; or set VEILSUM_ROOT"}
	}
	at := f.roundFlags
	at.store = f.root
	o, r, err := at.round(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	near, err := open(f.store)
	if err == nil {
		err = pipeline.CheckFormat(ctx, near)
	}
	if err == nil && len(r.Descriptor.Regions) == 0 {
		err = usage("round %s has no regions", r.Name)
	}
	return o, r, near, err
}

func (a *app) regionSyncCommand() *cobra.Command {
	f := &regionFlags{}
	return f.register(verb("sync", "Copy a round from the root's store to the region's", `Copies, verified, what the region's vehicles and gateway need: task, enrollment
snapshot, round keys, model and descriptor; and once the round has ended its
manifest and receipt, which tell a vehicle what became of its report. Run it when
the round is open and again after its end; repeating it changes nothing.`,
		"  veilsum region sync --epoch 1 --store file:./north --root file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			o, r, near, err := f.rooted(ctx, func(url string) (storage.Store, error) { return createStore(url) })
			if err != nil {
				return err
			}
			s, err := region.Sync(ctx, near, o.store, r)
			if err != nil {
				return err
			}
			res := syncResult{RoundID: r.ID, Objects: len(s.Copied)}
			if s.End != nil {
				res.Receipt = s.End.Status
			}
			a.out.Result(res)
			return nil
		}))
}

type syncResult struct {
	RoundID schema.RoundID `json:"round_id"`
	Objects int            `json:"objects"`
	Receipt string         `json:"receipt,omitempty"` // committed or void, empty while the round goes on
}

// Text implements ui.Result.
func (r syncResult) Text() string {
	if r.Receipt != "" {
		return fmt.Sprintf("round %s has ended: %s; %d objects are in the region's store\n", r.RoundID.Short(), r.Receipt, r.Objects)
	}
	return fmt.Sprintf("round %s: %d objects are in the region's store\n", r.RoundID.Short(), r.Objects)
}

type regionSumFlags struct {
	regionFlags
	name, key string
	now       bool
	partials  bool
}

func (a *app) regionSumCommand() *cobra.Command {
	f := &regionSumFlags{}
	c := f.register(verb("sum", "Add the region's reports and send the root their sum", `Freezes the list of the reports in the region's store, verifies and adds them, and
gives the root's store the reports' headers, one partial sum, and last the statement signed
with the region's key, which commits the region. The pieces stay in the region. A report that
fails a check is left out (exit status 3). --partials starts from the partial sums that "batch"
left in the region's store: only where nobody else may write, since they are not signed. Killed at any point, run it again: once it is signed, the same statement is sent. Exit status
75 before the region's deadline, unless --now; 1 if the root's list was frozen without it.`,
		"  veilsum region sum --name north --key north.pem --epoch 1 --store file:./north --root file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.regionSum(ctx, f) }))
	c.Flags().StringVar(&f.name, "name", "", "name of the region in the round's descriptor")
	c.Flags().StringVar(&f.key, "key", "", "the region's key file")
	c.Flags().BoolVar(&f.now, "now", false, "do not wait for the region's deadline")
	c.Flags().BoolVar(&f.partials, "partials", false, "use the partial sums in the region's store, which nobody else may be able to write")
	must(c.MarkFlagRequired("name"))
	must(c.MarkFlagRequired("key"))
	return c
}

func (a *app) regionSum(ctx context.Context, f *regionSumFlags) error {
	key, err := a.readKey(f.key)
	if err != nil {
		return err
	}
	o, r, near, err := f.rooted(ctx, openStore)
	if err != nil {
		return err
	}
	if reg, ok := r.Region(f.name); ok && !f.now && time.Now().Unix() < reg.Deadline {
		return withHint(fmt.Errorf("%w: region %s takes reports until %s", pipeline.ErrNotReady, f.name, utc(reg.Deadline)), "--now sums what is there")
	}
	s, err := region.Sum(ctx, near, o.store, r, f.name, key, region.Options{Partials: f.partials, Progress: a.progress("reports added")})
	if errors.Is(err, pipeline.ErrKey) {
		return withHint(err, `"veilsum round status" lists the regions with their keys`)
	}
	if errors.Is(err, region.ErrLate) {
		return withHint(err, `the round goes on without the region's vehicles; "veilsum region sync" tells them once it has ended`)
	}
	if err != nil {
		return err
	}
	if len(s.Refused) > 0 {
		a.code = exitRefused
	}
	a.out.Result(regionSumResult{Region: s.Region, Statement: s.Statement, Partial: s.Partial, Reports: s.Reports, Refused: refusals(s.Refused), Bytes: s.Bytes})
	return nil
}

type regionSumResult struct {
	Region    string           `json:"region"`
	Statement schema.Digest    `json:"statement"`
	Partial   schema.Digest    `json:"partial"`
	Reports   int              `json:"reports"`
	Refused   []schema.Refusal `json:"refused"`
	Bytes     int64            `json:"bytes"` // that the root's store was given
}

// Text implements ui.Result.
func (r regionSumResult) Text() string {
	return fmt.Sprintf("region %s: %d reports, partial %s, %d bytes for the root\n", r.Region, r.Reports, r.Partial, r.Bytes) + refusalLines(r.Refused)
}

// regionsFile is what "round open --regions" reads.
type regionsFile struct {
	Regions []regionEntry `yaml:"regions"`
}

type regionEntry struct {
	Name       string `yaml:"name"`
	Aggregator string `yaml:"aggregator"`
	Deadline   string `yaml:"deadline"`
}

// readRegions reads a file of regions. A deadline is a time of RFC 3339 or as long from now; without one it is that of the round.
func (a *app) readRegions(path string, now, deadline time.Time) ([]schema.Region, error) {
	raw, err := a.readInput(path, 1<<20)
	if err != nil {
		return nil, err
	}
	var file regionsFile
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, &usageError{Err: fmt.Errorf("%s: %s", path, strings.ReplaceAll(err.Error(), "\n", " ")), Hint: "a list \"regions:\" of name, aggregator (public key or its file) and deadline (a time, or \"45m\" from now)"}
	}
	if len(file.Regions) == 0 {
		return nil, usage("%s: no regions", path)
	}
	all := make([]schema.Region, len(file.Regions))
	for i, x := range file.Regions {
		all[i] = schema.Region{Name: x.Name, Deadline: deadline.Unix()}
		if !schema.RegionName(x.Name) {
			return nil, usage("%s: region %.40q: want 1 to 32 of a-z, 0-9 and -", path, x.Name)
		}
		if all[i].Aggregator, err = readPublic(x.Aggregator); err != nil {
			return nil, usage("%s: region %s: aggregator: %w", path, x.Name, err)
		}
		if x.Deadline == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, x.Deadline)
		if d, e := time.ParseDuration(x.Deadline); e == nil {
			at, err = now.Add(d), nil
		}
		if err != nil {
			return nil, usage("%s: region %s: deadline %.40q: want a time such as 2027-01-31T12:00:00Z, or as long from now, such as 45m", path, x.Name, x.Deadline)
		}
		all[i].Deadline = at.Unix()
	}
	return all, nil
}
