package decryptor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy/ledger"
	"github.com/veilsum/veilsum/schema"
)

// memory is what a decryptor remembers beyond single rounds.
type memory struct {
	// Serials is the highest snapshot serial accepted, by ScopeID.
	Serials map[string]uint64 `json:"serials"`
	// Epochs is the last epoch accepted, by TaskID and lane.
	Epochs map[string]uint64 `json:"epochs"`
	// Signed is the largest checkpoint of a ledger that a vote named, in text form, by ScopeID.
	Signed map[string]string `json:"signed"`
	// Recorded tells that there is a record, which may not be made anew.
	Recorded bool `json:"recorded,omitempty"`
	// HandedOver are the committees with which this decryptor votes no more, by ScopeID.
	HandedOver map[string][]schema.Digest `json:"handed_over,omitempty"`
}

const memoryFile = "memory.json"

func (d *Decryptor) memory() (*memory, error) {
	m := &memory{Serials: map[string]uint64{}, Epochs: map[string]uint64{}, Signed: map[string]string{}}
	b, err := d.state.Read(memoryFile)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("decryptor: %s is damaged: %w", d.state.Path(memoryFile), err)
	}
	return m, nil
}

func laneOf(n pipeline.RoundName) string { return fmt.Sprintf("%s-%d", n.Task, n.Lane) }

// accept binds a round that is new to this decryptor: an epoch above the last
// in its lane and a snapshot not older than the last. The memory is durable
// before the round's own file says that it was accepted.
func (d *Decryptor) accept(r *pipeline.Round) error {
	m, err := d.memory()
	if err != nil {
		return err
	}
	lane := laneOf(r.Name)
	last, seen := m.Epochs[lane]
	if seen && r.Name.Epoch < last {
		return fmt.Errorf("%w: epoch %d after %d in lane %d", ErrForked, r.Name.Epoch, last, r.Name.Lane)
	}
	scope := r.Task.Scope.ID().String()
	if r.Snapshot.Serial < m.Serials[scope] {
		return fmt.Errorf("%w: serial %d after %d", ErrStale, r.Snapshot.Serial, m.Serials[scope])
	}
	m.Epochs[lane], m.Serials[scope] = r.Name.Epoch, r.Snapshot.Serial
	return d.memorize(m)
}

func (d *Decryptor) memorize(m *memory) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("decryptor: %w", err)
	}
	return d.state.Replace(memoryFile, b)
}

// signed returns the largest checkpoint of the scope's ledger that this decryptor ever voted for.
func (d *Decryptor) signed(scope schema.ScopeID) (ledger.Checkpoint, error) {
	m, err := d.memory()
	if err != nil {
		return ledger.Checkpoint{}, err
	}
	text, ok := m.Signed[scope.String()]
	if !ok {
		return ledger.Checkpoint{}, nil
	}
	c, err := ledger.ParseCheckpoint(text)
	if err != nil {
		return c, fmt.Errorf("decryptor: %s is damaged: %w", d.state.Path(memoryFile), err)
	}
	return c, nil
}

// remember keeps the checkpoint that the next vote must be on one line with.
func (d *Decryptor) remember(scope schema.ScopeID, c ledger.Checkpoint) error {
	m, err := d.memory()
	if err != nil {
		return err
	}
	m.Signed[scope.String()] = c.Text()
	return d.memorize(m)
}
