package vehicle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/tensors"
)

// Sealing is what [Program.Seal] is asked for.
type Sealing struct {
	Epoch    uint64
	Update   string   // file or folder; "-" is raw float32 on standard input
	Parts    []string // NAME=FILE for each tensor, instead of Update
	Values   string   // file of local records for a task of statistics, instead of Update; "-" is JSON on standard input
	Model    string   // file that the update starts from; "" if the round has none
	Examples int      // that the update was made from; 0 if not given
	NoUpload bool
}

// Seal makes this epoch's report and sends it.
func (p *Program) Seal(ctx context.Context, w Where, x Sealing) (int, error) {
	s, err := p.open(ctx, w)
	if err != nil {
		return 0, err
	}
	defer s.close()
	if err := s.floor.Check(s.plan); err != nil { // before anything private is read
		return 0, err
	}
	values, err := s.read(ctx, x)
	if err != nil {
		return 0, err
	}
	var model []byte
	if x.Model != "" {
		if model, err = os.ReadFile(x.Model); err != nil {
			return 0, err
		}
	}
	r, err := s.welcome(ctx, x.Epoch)
	if err != nil {
		return 0, err
	}
	u := client.Update{Values: values, ModelHash: schema.HashModel(model), Examples: x.Examples}
	if err := s.client.Learn(ctx, s.store, r, u.ModelHash); err != nil {
		return 0, err
	}
	sealed, err := s.client.SealRound(r, u)
	if errors.Is(err, client.ErrEpoch) && s.waiting() {
		return 0, exit.WithHint(err, "this vehicle's report waits in the outbox: \"%s upload\" sends it", p.Name)
	}
	if errors.Is(err, client.ErrExamples) {
		return 0, exit.WithHint(err, "--examples N says from how many the update was made; up to %d count", s.plan.Task.MaxExamples)
	}
	if err != nil {
		return 0, err
	}
	if sealed.Clipped && !p.JSON { // for this vehicle's screen only, never for a machine to forward
		p.Out.Info("the update was longer than the clipping norm and was scaled down (known to this vehicle only)")
	}
	res := sealResult{Report: sealed.Report, Bytes: sealed.Bytes, Lane: sealed.Name.Lane, File: s.state.Path(sealed.File())}
	code := exit.Done
	if !x.NoUpload {
		d, err := s.client.Deliver(ctx, s.store, s.plan, sealed.File(), p.sent())
		if err != nil {
			return 0, exit.WithHint(err, "the report is safe in the outbox: \"%s upload\" sends the rest", p.Name)
		}
		res.File, res.Uploaded, res.Fate = "", d.Bytes > 0, d.Fate
		code = s.warn(d)
	}
	p.Out.Result(res)
	return code, nil
}

// read reads the update, in the task's order.
func (s *session) read(ctx context.Context, x Sealing) (values []float32, err error) {
	want := s.plan.Task.Tensors
	if s.plan.Statistics != nil || x.Values != "" {
		return s.answer(ctx, x)
	}
	switch {
	case (x.Update == "") == (len(x.Parts) == 0):
		return nil, &exit.Usage{Err: errors.New("give the update by --update or by --tensor"), Hint: "--update FILE holds all tensors, --tensor NAME=FILE one of them"}
	case len(x.Parts) > 0:
		values, err = readParts(x.Parts, want)
	case x.Update == "-":
		values, err = tensors.ReadRaw(s.Stdin, want)
	case tensors.Known(x.Update) || s.ReadUpdate == nil || isFolder(x.Update):
		values, err = tensors.Read(x.Update, want)
	default:
		if values, err = s.ReadUpdate(ctx, x.Update, want); err == nil {
			err = tensors.CheckFinite(values, want)
		}
	}
	if errors.Is(err, tensors.ErrFile) || errors.Is(err, tensors.ErrMismatch) || errors.Is(err, tensors.ErrNotFinite) {
		return nil, &exit.Usage{Err: err, Hint: `"veilsum task show --json" lists the task's tensors`}
	}
	return values, err
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func readParts(given []string, want []schema.Tensor) ([]float32, error) {
	var parts []tensors.Part
	for _, g := range given {
		name, path, ok := strings.Cut(g, "=")
		if !ok {
			return nil, &exit.Usage{Err: fmt.Errorf("--tensor %q", g), Hint: "--tensor NAME=FILE.npy"}
		}
		parts = append(parts, tensors.Part{Name: name, Path: path})
	}
	return tensors.ReadParts(parts, want)
}

// maxSnapshot is the longest enrollment snapshot, in bytes, that is fetched only to tell early that a vehicle is not
// in it: some 20,000 vehicles. Over a thin link a longer one would cost more than it saves.
const maxSnapshot = 1 << 20

// welcome loads the vehicle's round and refuses a report that could not count:
// sealing it would spend the vehicle's turn in this epoch for nothing.
func (s *session) welcome(ctx context.Context, epoch uint64) (*pipeline.Round, error) {
	name := pipeline.RoundName{Task: s.task, Epoch: epoch, Lane: schema.LaneOf(s.task, epoch, s.id.ID, s.plan.Task.Batch.Lanes)}
	r, err := pipeline.LoadDescriptor(ctx, s.store, s.plan, name)
	if err != nil {
		return nil, err
	}
	if err := pipeline.Ended(ctx, s.store, r); err != nil {
		return nil, err
	}
	if g, ok := s.store.(*remote.Store); ok {
		return r, g.Login(ctx, name, r.ID)
	}
	if err := s.enrolled(ctx, r); err != nil {
		return nil, err
	}
	_, n, err := pipeline.FrozenCandidates(ctx, s.store, r)
	if err == nil && n > 0 {
		err = exit.WithHint(fmt.Errorf("round %s is closed: its list is frozen", r.Name), "wait for the next epoch")
	}
	return r, err
}

func (s *session) enrolled(ctx context.Context, r *pipeline.Round) error {
	info, err := s.store.Stat(ctx, pipeline.SnapshotKey(r.Descriptor.Snapshot))
	if err != nil || info.Size > maxSnapshot {
		return err
	}
	snap, err := pipeline.LoadSnapshot(ctx, s.store, s.plan, r.Descriptor.Snapshot)
	if err != nil {
		return err
	}
	if key, ok := snap.Key(s.id.ID); !ok || key != schema.NewPublicKey(s.id.Key) {
		return exit.WithHint(fmt.Errorf("vehicle %s is not in the round's enrollment snapshot with this key", s.id.ID),
			"the authority enrolls it (\"veilsum fleet enroll\"); rounds opened afterwards take its reports")
	}
	return nil
}

// waiting tells whether reports wait in the outbox.
func (s *session) waiting() bool {
	files, err := s.client.Pending()
	return err == nil && len(files) > 0
}

type sealResult struct {
	Report   schema.ReportID `json:"report_id"`
	Lane     uint32          `json:"lane"`
	Bytes    int64           `json:"bytes"`
	Uploaded bool            `json:"uploaded"`
	Fate     client.Fate     `json:"fate,omitempty"`
	File     string          `json:"file,omitempty"`
}

// Text implements ui.Result.
func (r sealResult) Text() string {
	if r.File == "" {
		return fmt.Sprintf("%s %s, %d bytes, lane %d\n", r.Report, outcome(r.Fate), r.Bytes, r.Lane)
	}
	return fmt.Sprintf("%s in %s, %d bytes, lane %d\n", r.Report, r.File, r.Bytes, r.Lane)
}
