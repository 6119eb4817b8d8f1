package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/region"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// storesFlag reads --region NAME=STORE, as often as it is given.
type storesFlag struct{ given []string }

func (f *storesFlag) register(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.given, "region", nil, "a region's own store, as NAME=STORE; may be repeated")
}

// open opens the stores by the regions' names.
func (f *storesFlag) open(ctx context.Context) (map[string]storage.Store, error) {
	stores := map[string]storage.Store{}
	for _, g := range f.given {
		name, url, ok := strings.Cut(g, "=")
		if !ok || !schema.RegionName(name) || stores[name] != nil {
			return nil, usage("--region %q: want NAME=STORE, each region once", g)
		}
		s, err := openStore(url)
		if err == nil {
			err = pipeline.CheckFormat(ctx, s)
		}
		if err != nil {
			return nil, fmt.Errorf("region %s: %w", name, err)
		}
		stores[name] = s
	}
	return stores, nil
}

func (a *app) regionCheckCommand() *cobra.Command {
	f, stores := &roundFlags{}, &storesFlag{}
	c := f.register(verb("check", "Add a region's reports again, and compare with what it signed", `Reads, of every region whose store is given, all pieces of the reports on its list and adds
them again. A region whose sum is another one lied (exit status 5); so may one that does not show
the pieces. Anybody who can read both stores may do this, before or after the list is frozen;
"round close --verify" does it and leaves liars out.`,
		"  veilsum region check --region north=file:./north --epoch 1 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			o, r, err := f.round(ctx)
			if err != nil {
				return err
			}
			near, err := stores.open(ctx)
			if err != nil {
				return err
			}
			res := regionsResult{}
			res.Regions, err = a.verify(ctx, region.Root{Store: o.store, Regions: near}, r)
			if err != nil {
				return err
			}
			a.out.Result(res)
			return res.lies()
		}))
	stores.register(c)
	must(c.MarkFlagRequired("region"))
	return c
}

// regionLine is what the root thinks of a region.
type regionLine struct {
	Name     string           `json:"name"`
	Key      schema.PublicKey `json:"aggregator"`
	Deadline int64            `json:"deadline"`
	State    string           `json:"state"` // absent, ready, left out; verified, lies, hides
	Reports  int              `json:"reports"`
	Listed   int              `json:"reports_frozen"` // of them in the frozen list
	Refused  int              `json:"refused"`        // by the region
	Why      string           `json:"why,omitempty"`
}

func newRegionLine(s region.Standing) regionLine {
	l := regionLine{Name: s.Name, Key: s.Aggregator, Deadline: s.Deadline, State: string(s.State), Reports: len(s.Reports), Refused: len(s.Refused)}
	if s.Why != nil {
		l.Why = s.Why.Error()
	}
	return l
}

// text is the line for people.
func (l regionLine) text(width int) string {
	text := fmt.Sprintf("%-*s  %s", width, l.Name, l.State)
	if l.Reports > 0 {
		text += ", " + many(l.Reports, "report")
	}
	if l.Listed > 0 {
		text += fmt.Sprintf(", %d in the frozen list", l.Listed)
	}
	if l.Why != "" {
		text += ": " + l.Why
	}
	return text + "\n"
}

type regionsResult struct {
	Regions []regionLine `json:"regions"`
}

// Text implements ui.Result.
func (r regionsResult) Text() string { return regionLines(r.Regions) }

func regionLines(all []regionLine) string {
	width := 0
	for _, l := range all {
		width = max(width, len(l.Name))
	}
	b := &strings.Builder{}
	for _, l := range all {
		b.WriteString(l.text(width))
	}
	return b.String()
}

// The states that only adding again can tell.
const (
	regionVerified = "verified"
	regionLies     = "lies"
	regionHides    = "hides"
)

// lies returns an error that names who lied or shows no pieces.
func (r regionsResult) lies() error {
	names := r.named(regionLies, regionHides, string(region.LeftOut))
	if len(names) == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%w: %s", region.ErrLies, strings.Join(names, ", ")), `"veilsum round close --without NAME" leaves a region out of a list that is not frozen yet`)
}

// named lists the regions in these states.
func (r regionsResult) named(states ...string) (names []string) {
	for _, l := range r.Regions {
		if slices.Contains(states, l.State) {
			names = append(names, l.Name)
		}
	}
	return names
}

// verify adds again what the regions signed whose stores can be read.
func (a *app) verify(ctx context.Context, root region.Root, r *pipeline.Round) ([]regionLine, error) {
	all, err := root.Judge(ctx, r)
	if err != nil {
		return nil, err
	}
	lines := make([]regionLine, len(all))
	for i, s := range all {
		lines[i] = newRegionLine(s)
		if s.State != region.Ready || root.Regions[s.Name] == nil {
			continue
		}
		err := root.Verify(ctx, r, s, a.progress("reports of "+s.Name+" added"))
		var refused *pipeline.Refused
		switch {
		case err == nil:
			lines[i].State = regionVerified
		case errors.Is(err, region.ErrLies):
			lines[i].State, lines[i].Why = regionLies, err.Error()
		case errors.As(err, &refused):
			lines[i].State, lines[i].Why = regionHides, err.Error()
		default:
			return nil, err
		}
	}
	return lines, nil
}

// regionStatus is what the store alone shows of the round's regions.
func regionStatus(ctx context.Context, o *opened, r *pipeline.Round) ([]regionLine, error) {
	if len(r.Descriptor.Regions) == 0 {
		return nil, nil
	}
	all, err := region.Root{Store: o.store}.Judge(ctx, r)
	if err != nil {
		return nil, err
	}
	_, list, err := pipeline.FrozenList(ctx, o.store, r, r.Task.Batch.Min)
	var lines []regionLine
	for _, s := range all {
		l := newRegionLine(s)
		if l.Listed = pipeline.Listed(s.Reports, list); len(list) > 0 && l.Listed == 0 && s.State == region.Ready {
			l.State = "late"
		}
		lines = append(lines, l)
	}
	return lines, err
}
