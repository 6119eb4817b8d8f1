package vehicle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/veilsum/veilsum/cmd/internal/exit"
	"github.com/veilsum/veilsum/cmd/internal/keyfile"
	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/schema"
)

// Loading is what [Program.Model] is asked for.
type Loading struct {
	Model   string // file that holds the vehicle's model, replaced by the released one
	Epoch   uint64 // of an open round, which may name the release and lets a vehicle through a gateway
	InRound bool   // Epoch was given
}

// Model brings the vehicle's model to the newest release, by a delta where there is one.
func (p *Program) Model(ctx context.Context, w Where, x Loading) (int, error) {
	if x.Model == "" {
		return 0, exit.Usagef("--model is required: the file that holds the vehicle's model, or shall hold it")
	}
	s, err := p.open(ctx, w)
	if err != nil {
		return 0, err
	}
	defer s.close()
	bound, err := s.bound(ctx, x)
	if err != nil {
		return 0, err
	}
	have, err := readModel(x.Model, s.plan.Task.MaxModelBytes())
	if err != nil {
		return 0, err
	}
	f, err := s.client.Fetch(ctx, s.store, s.plan, s.task, have, bound)
	if err != nil {
		return 0, err
	}
	if f.Spoiled {
		p.Out.Warn("the delta was not what was signed for; the whole model was read instead")
	}
	// First the promise to take nothing older, then the model: a power cut between leaves an older model and a vehicle that asks again.
	if err := s.client.Accept(f); err != nil {
		return 0, err
	}
	if f.Bytes > 0 || have == nil {
		if err := keyfile.Write(x.Model, f.Model, 0o644, true); err != nil {
			return 0, err
		}
	}
	b := f.Release
	p.Out.Result(modelResult{
		Serial: b.Serial, Release: f.ID, Model: b.Model, Size: b.Size, Read: f.Bytes, Delta: f.ByDelta, Rounds: len(b.Rounds),
		Epsilon: float64(b.Spent.Epsilon), AtDelta: float64(b.Spent.Delta), File: x.Model,
	})
	return exit.Done, nil
}

// bound returns the release that a round names, and logs in to the round if the store is a gateway.
func (s *session) bound(ctx context.Context, x Loading) (*schema.ReleaseRef, error) {
	g, behind := s.store.(*remote.Store)
	if !x.InRound {
		if behind {
			return nil, &exit.Usage{Err: errors.New("--epoch is required with a gateway"), Hint: "it gives models to vehicles that are enrolled in an open round"}
		}
		return nil, nil
	}
	n := pipeline.RoundName{Task: s.task, Epoch: x.Epoch, Lane: schema.LaneOf(s.task, x.Epoch, s.id.ID, s.plan.Task.Batch.Lanes)}
	r, err := pipeline.LoadDescriptor(ctx, s.store, s.plan, n)
	if err == nil && behind {
		err = g.Login(ctx, n, r.ID)
	}
	if err != nil {
		return nil, err
	}
	return r.Descriptor.Release, nil
}

// readModel reads the model that the vehicle has; nil if there is none, or one that no release can start from.
func readModel(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() > most {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if b == nil && err == nil {
		b = []byte{}
	}
	return b, err
}

type modelResult struct {
	Serial  uint64        `json:"serial"`
	Release schema.Digest `json:"release_id"`
	Model   schema.Digest `json:"model"`
	Size    int64         `json:"size"`
	Read    int64         `json:"bytes_read"` // of the model or the delta; 0: the vehicle had it
	Delta   bool          `json:"by_delta"`
	Rounds  int           `json:"rounds"` // whose receipts were verified, since the release before
	Epsilon float64       `json:"epsilon_spent"`
	AtDelta float64       `json:"delta"`
	File    string        `json:"file"`
}

// Text implements ui.Result.
func (r modelResult) Text() string {
	how := fmt.Sprintf("%d bytes read", r.Read)
	switch {
	case r.Read == 0:
		how = "nothing to read"
	case r.Delta:
		how += fmt.Sprintf(", a delta of %.1f %%", 100*float64(r.Read)/float64(r.Size))
	}
	return fmt.Sprintf("release %d in %s: %s, %s\nmade of %d verified rounds since the release before; the scope has spent epsilon %.4g at delta %g\n",
		r.Serial, r.File, r.Model.Short(), how, r.Rounds, r.Epsilon, r.AtDelta)
}
