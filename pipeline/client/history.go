package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// ErrHistory: the vehicle's memory of what it gave is damaged or gone. It must
// not go on: it could give more than the task allows, or twice in an epoch.
var ErrHistory = errors.New("client: history is damaged")

// history is what the vehicle remembers of all rounds. Its file is replaced
// whole; a report in the outbox is sent only if the history counts it.
type history struct {
	Scopes map[string]*scopeHistory `json:"scopes"` // by ScopeID
}

type scopeHistory struct {
	Participations int                     `json:"participations"`
	Tasks          map[string]*taskHistory `json:"tasks"` // by TaskID
}

type taskHistory struct {
	Reported   bool                     `json:"reported"`
	LastEpoch  uint64                   `json:"last_epoch"`
	LastRound  schema.RoundID           `json:"last_round"`
	LastReport schema.ReportID          `json:"last_report"`
	Models     map[uint64]schema.Digest `json:"models"` // announced by descriptors that were verified, by epoch
}

const historyFile = "history.json"

// hashed is a file of what the vehicle remembers: a flipped bit in a number would still be JSON, so the
// body carries its hash. That is against worn flash, not against an attacker,
// who has the vehicle's key anyway.
type hashed struct {
	Body   json.RawMessage `json:"body"`
	SHA256 schema.Digest   `json:"hash"` // H(what; body), what is "history" or "releases"
}

// closeBody writes the file of a body.
func closeBody(what string, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if b, err = json.Marshal(hashed{Body: b, SHA256: schema.Hash(what, b)}); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return b, nil
}

// openBody returns the body of what closeBody wrote.
func openBody(what string, file []byte) ([]byte, error) {
	var o hashed
	if err := strict(file, &o); err != nil {
		return nil, err
	}
	if schema.Hash(what, o.Body) != o.SHA256 {
		return nil, errors.New("its hash is wrong")
	}
	return o.Body, nil
}

func (c *Client) history() (*history, error) { return readHistory(c.state) }

func readHistory(d *state.Dir) (*history, error) {
	b, err := d.Read(historyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return newHistory(d)
	}
	if err != nil {
		return nil, err
	}
	h, err := decodeHistory(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w; a vehicle that forgot its participations must be enrolled anew", ErrHistory, d.Path(historyFile), err)
	}
	return h, nil
}

// newHistory starts a vehicle that gave nothing yet. The history is written before
// the first report, so a report without a history shows that it was lost.
func newHistory(d *state.Dir) (*history, error) {
	names, err := outboxNames(d)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("%w: %s is gone, but %d reports wait; a vehicle that forgot its participations must be enrolled anew", ErrHistory, d.Path(historyFile), len(names))
	}
	return &history{Scopes: map[string]*scopeHistory{}}, nil
}

// decodeHistory accepts what encodeHistory writes, and the body alone, which was the whole file before it
// had a hash.
func decodeHistory(b []byte) (*history, error) {
	h := &history{}
	if !bytes.HasPrefix(b, []byte(`{"scopes":`)) {
		var err error
		if b, err = openBody("history", b); err != nil {
			return nil, err
		}
	}
	if err := strict(b, h); err != nil {
		return nil, err
	}
	if h.Scopes == nil {
		return nil, errors.New("no scopes")
	}
	for id, s := range h.Scopes {
		if s == nil || s.Tasks == nil || s.Participations < 0 {
			return nil, fmt.Errorf("scope %.8q", id)
		}
		for id, t := range s.Tasks {
			if t == nil || t.Models == nil {
				return nil, fmt.Errorf("task %.8q", id)
			}
		}
	}
	return h, nil
}

// strict reads one JSON value without unknown fields.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows")
	}
	return nil
}

func encodeHistory(h *history) ([]byte, error) { return closeBody("history", h) }

// begin makes the history's file if there is none.
func (c *Client) begin() error {
	_, err := c.state.Read(historyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return c.save(&history{Scopes: map[string]*scopeHistory{}})
	}
	return err
}

func (c *Client) save(h *history) error {
	b, err := encodeHistory(h)
	if err != nil {
		return err
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

// task returns what is remembered of a task, in whatever scope; nil if nothing is.
func (h *history) task(id schema.TaskID) *taskHistory {
	for _, s := range h.Scopes {
		if t := s.Tasks[id.String()]; t != nil {
			return t
		}
	}
	return nil
}

// counts tells whether the report of a header was counted. Before a vehicle seals again it
// clears what was not, so a file of an older epoch was.
func (h *history) counts(x schema.Header) bool {
	t := h.task(x.TaskID)
	return t != nil && t.Reported && (x.Epoch < t.LastEpoch || x.Epoch == t.LastEpoch && x.RoundID == t.LastRound)
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

// checkModel returns the newest epoch that announced the model.
func (h *history) checkModel(r *pipeline.Round, model schema.Digest) (epoch uint64, err error) {
	_, t := h.of(r)
	found := false
	for e, m := range t.Models {
		if m == model && e >= r.Descriptor.OldestModel && e <= r.Name.Epoch {
			epoch, found = max(epoch, e), true
		}
	}
	if found {
		return epoch, nil
	}
	return 0, fmt.Errorf("%w: %s; the round announces %s and accepts models since epoch %d", ErrModel, model.Short(), r.Descriptor.ModelHash.Short(), r.Descriptor.OldestModel)
}

func (h *history) count(r *pipeline.Round, id schema.ReportID) {
	s, t := h.of(r)
	s.Participations++
	t.Reported, t.LastEpoch, t.LastRound, t.LastReport = true, r.Name.Epoch, r.ID, id
}
