package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// history is what the vehicle remembers of all rounds. It is written before
// the report it counts becomes visible in the outbox: a crash between the two
// loses a turn, never a charge.
type history struct {
	Scopes map[string]*scopeHistory `json:"scopes"` // by ScopeID
}

type scopeHistory struct {
	Participations int                     `json:"participations"`
	Tasks          map[string]*taskHistory `json:"tasks"` // by TaskID
}

type taskHistory struct {
	Reported  bool                     `json:"reported"`
	LastEpoch uint64                   `json:"last_epoch"`
	LastRound schema.RoundID           `json:"last_round"`
	Models    map[uint64]schema.Digest `json:"models"` // announced by descriptors that were verified, by epoch
}

const historyFile = "history.json"

func (c *Client) history() (*history, error) {
	h := &history{Scopes: map[string]*scopeHistory{}}
	b, err := c.state.Read(historyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, h); err != nil {
		return nil, fmt.Errorf("client: %s is damaged; a vehicle that forgot its participations must be enrolled anew: %w", c.state.Path(historyFile), err)
	}
	return h, nil
}

func (c *Client) save(h *history) error {
	b, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return c.state.Replace(historyFile, b)
}

func (h *history) of(r *pipeline.Round) (*scopeHistory, *taskHistory) {
	id := r.Task.Scope.ID().String()
	s := h.Scopes[id]
	if s == nil {
		s = &scopeHistory{Tasks: map[string]*taskHistory{}}
		h.Scopes[id] = s
	}
	t := s.Tasks[r.Name.Task.String()]
	if t == nil {
		t = &taskHistory{Models: map[uint64]schema.Digest{}}
		s.Tasks[r.Name.Task.String()] = t
	}
	return s, t
}

func (h *history) admit(r *pipeline.Round) error {
	s, t := h.of(r)
	p := r.Task.Participation
	switch {
	case t.Reported && r.Name.Epoch <= t.LastEpoch:
		return fmt.Errorf("%w: %d, last %d", ErrEpoch, r.Name.Epoch, t.LastEpoch)
	case t.Reported && r.Name.Epoch-t.LastEpoch < uint64(p.MinSeparation):
		return fmt.Errorf("%w: epochs %d and %d, at least %d apart", pipeline.ErrLimit, t.LastEpoch, r.Name.Epoch, p.MinSeparation)
	case p.Max > 0 && s.Participations >= p.Max:
		return fmt.Errorf("%w: %d participations", pipeline.ErrLimit, s.Participations)
	}
	return nil
}

// learnModel remembers which model a verified descriptor announced, and
// forgets those that no round accepts any more.
func (h *history) learnModel(r *pipeline.Round) {
	_, t := h.of(r)
	for e := range t.Models {
		if e < r.Descriptor.OldestModel {
			delete(t.Models, e)
		}
	}
	t.Models[r.Name.Epoch] = r.Descriptor.ModelHash
}

func (h *history) checkModel(r *pipeline.Round, model schema.Digest) error {
	_, t := h.of(r)
	for e, m := range t.Models {
		if m == model && e >= r.Descriptor.OldestModel && e <= r.Name.Epoch {
			return nil
		}
	}
	return fmt.Errorf("%w: %s; the round announces %s and accepts models since epoch %d", ErrModel, model.Short(), r.Descriptor.ModelHash.Short(), r.Descriptor.OldestModel)
}

func (h *history) count(r *pipeline.Round) {
	s, t := h.of(r)
	s.Participations++
	t.Reported, t.LastEpoch, t.LastRound = true, r.Name.Epoch, r.ID
}
