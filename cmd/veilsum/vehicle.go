package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/arrowchild"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// A vehicle's directory holds identity.pem, vehicle.json and the client's state.
const (
	identityFile = "identity.pem"
	vehicleFile  = "vehicle.json"
)

type vehicleConfig struct {
	ID           schema.VehicleID `json:"id"`
	DeviceSecret string           `json:"device_secret"` // 64 hexadecimal digits
	// The vehicle's floor: a task below it is refused.
	MinBatchSize    int     `json:"min_batch_size"`
	NoiseMultiplier float64 `json:"noise_multiplier"`
}

func initVehicle(dir string, id schema.VehicleID) (ed25519.PrivateKey, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := newKeyFile(filepath.Join(dir, identityFile), false)
	if err != nil {
		return nil, err
	}
	return key, writeVehicle(dir, vehicleConfig{ID: id})
}

// writeVehicle writes the configuration with a fresh device secret.
func writeVehicle(dir string, v vehicleConfig) error {
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return err
	}
	v.DeviceSecret = hex.EncodeToString(secret[:])
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, vehicleFile), append(b, '\n'), 0o600, false)
}

type clientFlags struct {
	taskFlags
	epoch    uint64
	state    string
	update   string
	model    string
	noUpload bool
	ca       string
	buckets  []string
}

func (a *app) clientCommand() *cobra.Command {
	return noun("client", "A vehicle's side of a round", a.clientInitCommand(), a.clientSealCommand(), a.clientUploadCommand())
}

func (a *app) clientSealCommand() *cobra.Command {
	f := &clientFlags{}
	c := f.register(verb("seal", "Seal an update and upload the report", `Clips, encodes and seals the update of this epoch into one report, writes it
to the outbox of --state, and uploads it. From then on the vehicle's
participation is counted. An interrupted upload goes on with "client upload".
The update is an Arrow file with one column per tensor of the task
("arrow.fixed_shape_tensor", one row), written by a program on this machine.
--store may be an upload gateway, https://HOST:PORT ("veilsum serve").`,
		"  veilsum client seal --state vehicles/ID --update update.arrow --model model.bin --epoch 1 --store file:./store --task $TASK --owner owner.pub",
		cobra.NoArgs, func(ctx context.Context, _ []string) error { return a.clientSeal(ctx, f) }))
	c.Flags().Uint64Var(&f.epoch, "epoch", 0, "epoch of the round")
	c.Flags().StringVar(&f.update, "update", "", "update file (Arrow)")
	c.Flags().StringVar(&f.model, "model", "", "the model file that the update starts from; empty if the round has none")
	c.Flags().BoolVar(&f.noUpload, "no-upload", false, "leave the report in the outbox")
	must(c.MarkFlagRequired("epoch"))
	must(c.MarkFlagRequired("update"))
	return c
}

func (f *clientFlags) register(c *cobra.Command) *cobra.Command {
	f.taskFlags.register(c)
	c.Flags().StringVar(&f.state, "state", "", "the vehicle's directory")
	c.Flags().StringVar(&f.ca, "ca", "", "certificates (PEM) that vouch for a gateway, --store https://HOST:PORT; default the system's")
	c.Flags().StringArrayVar(&f.buckets, "bucket", nil, "HOST:PORT of the gateway's S3 store, to which pieces may go straight (\"veilsum serve --presign\")")
	must(c.MarkFlagRequired("state"))
	return c
}

// openVehicle opens the state directory and builds the client.
func (f *clientFlags) openVehicle(a *app, owner schema.PublicKey) (*client.Client, *state.Dir, error) {
	id, floor, err := a.readVehicle(f.state)
	if err != nil {
		return nil, nil, err
	}
	dir, err := state.Open(f.state)
	if err != nil {
		return nil, nil, err
	}
	c, err := client.New(client.Config{State: dir, Identity: id, Owner: owner, Floor: floor})
	if err != nil {
		dir.Close()
		return nil, nil, err
	}
	return c, dir, nil
}

// readVehicle reads the identity; its errors never quote the files.
func (a *app) readVehicle(dir string) (client.Identity, client.Floor, error) {
	key, err := a.readKey(filepath.Join(dir, identityFile))
	if err != nil {
		return client.Identity{}, client.Floor{}, withHint(err, `--state is a vehicle's directory, as "fleet enroll --new" makes them`)
	}
	b, err := os.ReadFile(filepath.Join(dir, vehicleFile))
	if errors.Is(err, os.ErrNotExist) {
		return client.Identity{}, client.Floor{}, withHint(err, `"veilsum client init --id PSEUDONYM" writes it once the authority has enrolled the vehicle`)
	}
	if err != nil {
		return client.Identity{}, client.Floor{}, err
	}
	var v vehicleConfig
	id := client.Identity{Key: key}
	if json.Unmarshal(b, &v) != nil || len(v.DeviceSecret) != 64 {
		return id, client.Floor{}, usage("%s is damaged", filepath.Join(dir, vehicleFile))
	}
	if _, err := hex.Decode(id.DeviceSecret[:], []byte(v.DeviceSecret)); err != nil {
		return id, client.Floor{}, usage("%s is damaged", filepath.Join(dir, vehicleFile))
	}
	id.ID = v.ID
	return id, client.Floor{MinBatchSize: v.MinBatchSize, NoiseMultiplier: v.NoiseMultiplier}, nil
}

func (a *app) clientSeal(ctx context.Context, f *clientFlags) error {
	o, err := f.open(ctx, a)
	if err != nil {
		return err
	}
	values, err := arrowchild.ReadUpdate(ctx, f.update, o.plan.Task.Tensors)
	if errors.Is(err, arrowipc.ErrMismatch) || errors.Is(err, arrowipc.ErrFile) {
		return &usageError{Err: err, Hint: `"veilsum task show --json" lists the task's tensors, "veilsum task new --like FILE" those of a file`}
	}
	if err != nil {
		return err
	}
	var model []byte
	if f.model != "" {
		if model, err = os.ReadFile(f.model); err != nil {
			return err
		}
	}
	c, dir, err := f.openVehicle(a, o.owner)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := f.welcome(ctx, a, o); err != nil {
		return err
	}
	sealed, err := c.Seal(ctx, o.store, o.id, f.epoch, client.Update{Values: values, ModelHash: schema.HashModel(model)})
	if errors.Is(err, client.ErrEpoch) && f.waiting(c) {
		return withHint(err, "this vehicle's report waits in the outbox: \"veilsum client upload\" sends it")
	}
	if err != nil {
		return err
	}
	if sealed.Clipped && !a.json { // for this vehicle's screen only, never for a machine to forward
		a.out.Info("the update was longer than the clipping norm and was scaled down (known to this vehicle only)")
	}
	res := sealResult{Report: sealed.Report, Bytes: sealed.Bytes, Lane: sealed.Name.Lane, File: dir.Path(sealed.File())}
	if !f.noUpload {
		if _, err := c.Upload(ctx, o.store, sealed.File(), a.uploadProgress()); err != nil {
			return withHint(err, "the report is safe in the outbox: \"veilsum client upload\" sends the rest")
		}
		res.File, res.Uploaded = "", true
	}
	a.out.Result(res)
	return nil
}

// welcome refuses a report that could not count: sealing it would spend the
// vehicle's turn in this epoch for nothing.
func (f *clientFlags) welcome(ctx context.Context, a *app, o *opened) error {
	id, _, err := a.readVehicle(f.state)
	if err != nil {
		return err
	}
	if far, ok := o.store.(*remote.Store); ok {
		return f.welcomedBy(ctx, far, o, id.ID)
	}
	lane := schema.LaneOf(o.id, f.epoch, id.ID, o.plan.Task.Batch.Lanes)
	r, err := pipeline.LoadRound(ctx, o.store, o.plan, pipeline.RoundName{Task: o.id, Epoch: f.epoch, Lane: lane})
	if err != nil {
		return err
	}
	if key, ok := r.Snapshot.Key(id.ID); !ok || key != schema.NewPublicKey(id.Key) {
		return notEnrolled(id.ID)
	}
	if err := pipeline.Ended(ctx, o.store, r); err != nil {
		return err
	}
	_, n, err := pipeline.FrozenCandidates(ctx, o.store, r)
	if err == nil && n > 0 {
		err = withHint(fmt.Errorf("round %s is closed: its list is frozen", r.Name), "wait for the next epoch")
	}
	return err
}

// waiting tells whether reports wait in the outbox.
func (f *clientFlags) waiting(c *client.Client) bool {
	files, err := c.Pending()
	return err == nil && len(files) > 0
}

func (a *app) uploadProgress() func(done, total int64) {
	return func(done, total int64) { a.out.Progress("bytes sent", done, total) }
}

type sealResult struct {
	Report   schema.ReportID `json:"report_id"`
	Lane     uint32          `json:"lane"`
	Bytes    int64           `json:"bytes"`
	Uploaded bool            `json:"uploaded"`
	File     string          `json:"file,omitempty"`
}

// Text implements ui.Result.
func (r sealResult) Text() string {
	if r.Uploaded {
		return fmt.Sprintf("%s uploaded, %d bytes, lane %d\n", r.Report, r.Bytes, r.Lane)
	}
	return fmt.Sprintf("%s in %s, %d bytes, lane %d\n", r.Report, r.File, r.Bytes, r.Lane)
}

func (a *app) clientUploadCommand() *cobra.Command {
	f := &clientFlags{}
	return f.register(verb("upload", "Send the reports that wait in the outbox", `Sends what the store lacks of each report in the outbox, the header last, and
forgets reports whose round's keys have expired. It may be interrupted at any point.`,
		"  veilsum client upload --state vehicles/ID --store file:./store --task $TASK --owner owner.pub", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return a.clientUpload(ctx, f) }))
}

func (a *app) clientUpload(ctx context.Context, f *clientFlags) error {
	o, err := f.open(ctx, a)
	if err != nil {
		return err
	}
	c, dir, err := f.openVehicle(a, o.owner)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := c.Discard(func(n pipeline.RoundName) bool { return expired(ctx, o, n) }); err != nil {
		return err
	}
	files, err := c.Pending()
	if err != nil {
		return err
	}
	res := uploadResult{Reports: []schema.ReportID{}}
	for _, file := range files {
		id, err := c.Upload(ctx, o.store, file, a.uploadProgress())
		if err != nil {
			return err
		}
		res.Reports = append(res.Reports, id)
	}
	a.out.Result(res)
	return nil
}

// expired tells that a round of this task can no longer take a report. A
// round that cannot be read now keeps its report.
func expired(ctx context.Context, o *opened, n pipeline.RoundName) bool {
	if n.Task != o.id {
		return false
	}
	r, err := pipeline.LoadDescriptor(ctx, o.store, o.plan, n)
	return err == nil && time.Now().Unix() >= r.Descriptor.KeyExpiry
}

type uploadResult struct {
	Reports []schema.ReportID `json:"reports"`
}

// Text implements ui.Result.
func (r uploadResult) Text() string {
	if len(r.Reports) == 0 {
		return "nothing to send\n"
	}
	s := ""
	for _, id := range r.Reports {
		s += id.String() + " uploaded\n"
	}
	return s
}
