package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/internal/vehicle"
	"github.com/veilsum/veilsum/cmd/internal/version"
)

// verb is one command.
type verb struct {
	name, short, long, example string
	required                   []string // flags
	flags                      *flag.FlagSet
	do                         func(ctx context.Context, p *vehicle.Program) (int, error)
}

func newVerb(name, short, long, example string, required ...string) *verb {
	v := &verb{name: name, short: short, long: long, example: example, required: required}
	v.flags = flag.NewFlagSet(name, flag.ContinueOnError)
	v.flags.SetOutput(io.Discard) // mistakes are printed as all errors are
	return v
}

// where adds the flags that name the vehicle, its store and its task.
func (v *verb) where() *vehicle.Where {
	w := &vehicle.Where{}
	v.flags.StringVar(&w.State, "state", "", "the vehicle's `DIR`")
	v.flags.StringVar(&w.Store, "store", os.Getenv("VEILSUM_STORE"), "`URL` of a gateway, https://HOST:PORT, or file:DIR (VEILSUM_STORE)")
	v.flags.StringVar(&w.CA, "ca", "", "`FILE` with the certificates that vouch for the gateway; default: the system's")
	v.flags.Func("bucket", "`HOST:PORT` of the gateway's S3 store, to which pieces may go straight", func(s string) error {
		w.Buckets = append(w.Buckets, s)
		return nil
	})
	v.flags.StringVar(&w.Task, "task", os.Getenv("VEILSUM_TASK"), "`ID` of the task, 64 hexadecimal digits (VEILSUM_TASK)")
	v.flags.StringVar(&w.Owner, "owner", os.Getenv("VEILSUM_OWNER"), "pinned public `KEY` of the privacy owner, hexadecimal or a file (VEILSUM_OWNER)")
	return w
}

func verbs() []*verb {
	return []*verb{initVerb(), sealVerb(), uploadVerb(), modelVerb(), statusVerb(), versionVerb()}
}

func initVerb() *verb {
	v := newVerb("init", "Make the vehicle's key, then give it its pseudonym", vehicle.InitHelp,
		`  veilsum-vehicle init --state v7
  veilsum-vehicle init --state v7 --id 00112233445566778899aabbccddeeff --min-batch-size 100`, "state")
	u := vehicle.Setup{}
	v.flags.StringVar(&u.State, "state", "", "the vehicle's `DIR`")
	v.flags.StringVar(&u.ID, "id", "", "the vehicle's `PSEUDONYM`, 32 hexadecimal digits")
	v.flags.IntVar(&u.Floor.MinBatchSize, "min-batch-size", 0, "refuse tasks with a smaller min_batch_size than `N`")
	v.flags.Float64Var(&u.Floor.NoiseMultiplier, "noise-multiplier", 0, "refuse tasks with a smaller noise_multiplier than `Z`")
	v.flags.Func("fields", "`NAMES` of the local values that statistics may ask for, separated by commas; default all", u.Allow)
	v.do = func(_ context.Context, p *vehicle.Program) (int, error) { return p.Init(u) }
	return v
}

func sealVerb() *verb {
	v := newVerb("seal", "Seal an update and upload the report", vehicle.SealHelp,
		"  veilsum-vehicle seal --state v7 --epoch 1 --update update.f32 --store https://gateway:8443 --task $TASK --owner owner.pub", "state", "epoch")
	w, x := v.where(), vehicle.Sealing{}
	v.flags.Uint64Var(&x.Epoch, "epoch", 0, "`N` of the round")
	v.flags.StringVar(&x.Update, "update", "", "update `FILE` or folder; - is raw float32 on standard input")
	v.flags.Func("tensor", "`NAME=FILE` of one tensor, instead of --update; once for each tensor", func(s string) error {
		x.Parts = append(x.Parts, s)
		return nil
	})
	v.flags.StringVar(&x.Values, "values", "", "`FILE` of local records in JSON, for a task of statistics; - is standard input")
	v.flags.IntVar(&x.Examples, "examples", 0, "how many examples (`N`) the update was made from, in a task with max_examples")
	v.flags.StringVar(&x.Model, "model", "", "the model `FILE` that the update starts from; empty if the round has none")
	v.flags.BoolVar(&x.NoUpload, "no-upload", false, "leave the report in the outbox")
	v.do = func(ctx context.Context, p *vehicle.Program) (int, error) { return p.Seal(ctx, *w, x) }
	return v
}

func uploadVerb() *verb {
	v := newVerb("upload", "Send the reports that wait in the outbox", vehicle.UploadHelp,
		"  veilsum-vehicle upload --state v7 --store https://gateway:8443 --task $TASK --owner owner.pub", "state")
	w := v.where()
	v.do = func(ctx context.Context, p *vehicle.Program) (int, error) { return p.Upload(ctx, *w) }
	return v
}

func modelVerb() *verb {
	v := newVerb("model", "Bring the vehicle's model to the newest release", vehicle.ModelHelp,
		"  veilsum-vehicle model --state v7 --model model.f32 --epoch 1 --store https://gateway:8443 --task $TASK --owner owner.pub", "state", "model")
	w, x := v.where(), vehicle.Loading{}
	v.flags.StringVar(&x.Model, "model", "", "`FILE` that holds the vehicle's model, replaced by the released one")
	v.flags.Uint64Var(&x.Epoch, "epoch", 0, "`N` of an open round; required with a gateway")
	v.do = func(ctx context.Context, p *vehicle.Program) (int, error) {
		v.flags.Visit(func(f *flag.Flag) { x.InRound = x.InRound || f.Name == "epoch" })
		return p.Model(ctx, *w, x)
	}
	return v
}

func statusVerb() *verb {
	v := newVerb("status", "Show what the vehicle gave and what waits", vehicle.StatusHelp, "  veilsum-vehicle status --state v7", "state")
	w := v.where()
	v.do = func(ctx context.Context, p *vehicle.Program) (int, error) { return p.Status(ctx, *w) }
	return v
}

func versionVerb() *verb {
	v := newVerb("version", "Print version, build and format", "Prints what this binary was built from, so that a build can be repeated, and\nthe format version that it reads and writes.",
		"  veilsum-vehicle version --json")
	v.do = func(_ context.Context, p *vehicle.Program) (int, error) {
		p.Out.Result(version.New(program))
		return exit.Done, nil
	}
	return v
}

// help ends with the exit statuses and an example, as all our programs' does.
func (v *verb) help(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n%s\n\nUsage:\n  %s %s [flags]\n\nFlags:\n", v.short, v.long, program, v.name)
	v.flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(&b, "  --%-24s %s\n", strings.TrimSpace(f.Name+" "+value), usage)
	})
	fmt.Fprintf(&b, "  --%-24s %s\n", "json", "print typed JSON lines instead of text")
	fmt.Fprintf(&b, "%s\n\nEXAMPLE\n%s\n", exit.Help, v.example)
	_, err := io.WriteString(out, b.String())
	return err
}

func overview(out io.Writer) error {
	var b strings.Builder
	b.WriteString(program + ` seals a vehicle's model update into one message that nobody can read alone, and
sends it to a gateway.

Usage:
  ` + program + ` COMMAND [flags]

Commands:
`)
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-9s %s\n", v.name, v.short)
	}
	fmt.Fprintf(&b, "\n\"%s COMMAND --help\" lists the flags.\n%s\n\nEXAMPLE\n%s\n", program, exit.Help, sealVerb().example)
	_, err := io.WriteString(out, b.String())
	return err
}
