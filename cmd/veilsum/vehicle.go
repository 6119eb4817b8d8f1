package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/cmd/internal/vehicle"
	"github.com/veilsum/veilsum/cmd/veilsum/internal/arrowchild"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

const identityFile = vehicle.IdentityFile

// vehicle is this program as a vehicle's: it also reads Arrow, encrypted keys and S3 stores.
func (a *app) vehicle() *vehicle.Program {
	return &vehicle.Program{
		Name: "veilsum client", Out: a.out, JSON: a.json, Stdin: a.stdin,
		ReadKey:    a.readKey,
		NewKey:     func(path string) (ed25519.PrivateKey, error) { return a.newKey(path, nil, false) },
		OpenStore:  openStore,
		ReadUpdate: readArrow,
		ReadValues: readValues,
	}
}

// readArrow reads a file that schema/tensors does not know.
func readArrow(ctx context.Context, path string, want []schema.Tensor) ([]float32, error) {
	values, err := arrowchild.ReadUpdate(ctx, path, want)
	if errors.Is(err, arrowipc.ErrMismatch) || errors.Is(err, arrowipc.ErrFile) {
		return nil, &usageError{Err: err, Hint: `"veilsum task show --json" lists the task's tensors, "veilsum task new --like FILE" those of a file`}
	}
	return values, err
}

// initVehicle makes the directory of a vehicle whose pseudonym is known.
func initVehicle(dir string, id schema.VehicleID) (ed25519.PrivateKey, error) {
	if err := keyfile.MakeDir(dir); err != nil {
		return nil, err
	}
	key, err := newKeyFile(filepath.Join(dir, identityFile), false)
	if err != nil {
		return nil, err
	}
	return key, vehicle.WriteConfig(dir, id, client.Floor{})
}

// readVehicle reads a vehicle whose key is in clear.
func readVehicle(dir string) (client.Identity, client.Floor, error) {
	return (&vehicle.Program{Name: "veilsum client", ReadKey: keyfile.Read}).Identity(dir)
}

func (a *app) clientCommand() *cobra.Command {
	return noun("client", "A vehicle's side of a round", a.clientInitCommand(), a.clientSealCommand(), a.clientUploadCommand(), a.clientModelCommand(), a.clientStatusCommand())
}

// do runs a vehicle's verb, which gives the exit status of success.
func (a *app) do(step func(p *vehicle.Program) (int, error)) (err error) {
	a.code, err = step(a.vehicle())
	return err
}

func registerWhere(c *cobra.Command, w *vehicle.Where) *cobra.Command {
	c.Flags().StringVar(&w.State, "state", "", "the vehicle's directory")
	c.Flags().StringVar(&w.Store, "store", os.Getenv("VEILSUM_STORE"), "file:DIR, s3://BUCKET/PREFIX?endpoint=HOST:PORT, or a gateway, https://HOST:PORT (VEILSUM_STORE)")
	c.Flags().StringVar(&w.CA, "ca", "", "file with the certificates that vouch for the gateway; default: the system's")
	c.Flags().StringArrayVar(&w.Buckets, "bucket", nil, "HOST:PORT of the gateway's S3 store, to which pieces may go straight (\"veilsum serve --presign\")")
	c.Flags().StringVar(&w.Task, "task", os.Getenv("VEILSUM_TASK"), "TaskID, 64 hexadecimal digits (VEILSUM_TASK)")
	c.Flags().StringVar(&w.Owner, "owner", os.Getenv("VEILSUM_OWNER"), "pinned public key of the privacy owner, hexadecimal or a file (VEILSUM_OWNER)")
	must(c.MarkFlagRequired("state"))
	return c
}

func (a *app) clientInitCommand() *cobra.Command {
	u := vehicle.Setup{}
	c := verb("init", "Make a vehicle's key, then give it its pseudonym", vehicle.InitHelp,
		`  veilsum client init --state v7
  veilsum client init --state v7 --id 00112233445566778899aabbccddeeff --min-batch-size 100`, cobra.NoArgs,
		func(context.Context, []string) error {
			return a.do(func(p *vehicle.Program) (int, error) { return p.Init(u) })
		})
	c.Flags().StringVar(&u.State, "state", "", "the vehicle's directory")
	c.Flags().StringVar(&u.ID, "id", "", "the vehicle's pseudonym, 32 hexadecimal digits")
	c.Flags().IntVar(&u.Floor.MinBatchSize, "min-batch-size", 0, "refuse tasks with a smaller min_batch_size")
	c.Flags().Float64Var(&u.Floor.NoiseMultiplier, "noise-multiplier", 0, "refuse tasks with a smaller noise_multiplier")
	c.Flags().Func("fields", "names of the local values that statistics may ask for, separated by commas (default all)", u.Allow)
	must(c.MarkFlagRequired("state"))
	return c
}

func (a *app) clientSealCommand() *cobra.Command {
	w, x := vehicle.Where{}, vehicle.Sealing{}
	c := registerWhere(verb("seal", "Seal an update and upload the report", vehicle.SealHelp+`
Any other file is Arrow, written by a program on this machine: one column per
tensor of the task ("arrow.fixed_shape_tensor"), one row.
--values may also be .csv with a head line, or .arrow: a table with one row for
each record. Columns named "p:CLASS" are the probabilities of a prediction.`,
		"  veilsum client seal --state vehicles/ID --update update.arrow --model model.bin --epoch 1 --store file:./store --task $TASK --owner owner.pub",
		cobra.NoArgs, func(ctx context.Context, _ []string) error {
			return a.do(func(p *vehicle.Program) (int, error) { return p.Seal(ctx, w, x) })
		}), &w)
	c.Flags().Uint64Var(&x.Epoch, "epoch", 0, "epoch of the round")
	c.Flags().StringVar(&x.Update, "update", "", "update file or folder; - is raw float32 on standard input")
	c.Flags().StringArrayVar(&x.Parts, "tensor", nil, "NAME=FILE of one tensor, instead of --update; once for each tensor")
	c.Flags().StringVar(&x.Values, "values", "", "file of local records for a task of statistics: .json, .jsonl, .csv or .arrow; - is JSON on standard input")
	c.Flags().StringVar(&x.Model, "model", "", "the model file that the update starts from; empty if the round has none")
	c.Flags().IntVar(&x.Examples, "examples", 0, "how many examples the update was made from, in a task with max_examples")
	c.Flags().BoolVar(&x.NoUpload, "no-upload", false, "leave the report in the outbox")
	must(c.MarkFlagRequired("epoch"))
	return c
}

func (a *app) clientUploadCommand() *cobra.Command {
	w := vehicle.Where{}
	return registerWhere(verb("upload", "Send the reports that wait in the outbox", vehicle.UploadHelp,
		"  veilsum client upload --state vehicles/ID --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return a.do(func(p *vehicle.Program) (int, error) { return p.Upload(ctx, w) })
		}), &w)
}

func (a *app) clientModelCommand() *cobra.Command {
	w, x := vehicle.Where{}, vehicle.Loading{}
	var c *cobra.Command
	c = registerWhere(verb("model", "Bring the vehicle's model to the newest release", vehicle.ModelHelp,
		"  veilsum client model --state vehicles/ID --model model.f32 --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			x.InRound = c.Flags().Changed("epoch")
			return a.do(func(p *vehicle.Program) (int, error) { return p.Model(ctx, w, x) })
		}), &w)
	c.Flags().StringVar(&x.Model, "model", "", "file that holds the vehicle's model, replaced by the released one")
	c.Flags().Uint64Var(&x.Epoch, "epoch", 0, "epoch of an open round")
	must(c.MarkFlagRequired("model"))
	return c
}

func (a *app) clientStatusCommand() *cobra.Command {
	w := vehicle.Where{}
	return registerWhere(verb("status", "Show what the vehicle gave and what waits", vehicle.StatusHelp,
		"  veilsum client status --state vehicles/ID", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			return a.do(func(p *vehicle.Program) (int, error) { return p.Status(ctx, w) })
		}), &w)
}
