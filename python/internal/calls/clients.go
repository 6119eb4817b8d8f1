package calls

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// vehicleConfig is the file vehicle.json.
type vehicleConfig struct {
	ID              schema.VehicleID `json:"id"`
	DeviceSecret    string           `json:"device_secret"` // 64 hexadecimal digits
	MinBatchSize    int              `json:"min_batch_size"`
	NoiseMultiplier float64          `json:"noise_multiplier"`
}

// initClient makes a client's key if there is none, and its configuration once it has a pseudonym, as "veilsum client init" does.
func initClient(_ *call, q struct {
	State           string  `json:"state"`
	ID              string  `json:"id"`
	MinBatchSize    int     `json:"min_batch_size"`
	NoiseMultiplier float64 `json:"noise_multiplier"`
},
) (any, error) {
	name, err := inDir(q.State, identityFile)
	if err != nil {
		return nil, err
	}
	key, err := readKey(name)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = writeKey(name)
	}
	if err != nil || q.ID == "" {
		return public{schema.NewPublicKey(key)}, err
	}
	v := vehicleConfig{MinBatchSize: q.MinBatchSize, NoiseMultiplier: q.NoiseMultiplier}
	if err := v.ID.UnmarshalText([]byte(q.ID)); err != nil {
		return nil, mistake("id: %w", err)
	}
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return nil, err
	}
	v.DeviceSecret = hex.EncodeToString(secret[:])
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return public{schema.NewPublicKey(key)}, writeNew(filepath.Join(q.State, configFile), append(b, '\n'))
}

// readVehicle reads who a client is; its errors never quote the files.
func readVehicle(dir string) (client.Identity, client.Floor, error) {
	var id client.Identity
	key, err := readKey(filepath.Join(dir, identityFile))
	if err != nil {
		return id, client.Floor{}, err
	}
	b, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return id, client.Floor{}, err
	}
	var v vehicleConfig
	if json.Unmarshal(b, &v) != nil || len(v.DeviceSecret) != 2*len(id.DeviceSecret) {
		return id, client.Floor{}, mistake("%s is damaged", filepath.Join(dir, configFile))
	}
	if _, err := hex.Decode(id.DeviceSecret[:], []byte(v.DeviceSecret)); err != nil {
		return id, client.Floor{}, mistake("%s is damaged", filepath.Join(dir, configFile))
	}
	id.ID, id.Key = v.ID, key
	return id, client.Floor{MinBatchSize: v.MinBatchSize, NoiseMultiplier: v.NoiseMultiplier}, nil
}

// vehicle is an open client. mu guards all but id: a client is not safe for concurrent use.
type vehicle struct {
	id schema.VehicleID

	mu     sync.Mutex
	client *client.Client
	dir    *state.Dir
	closed bool
}

func (v *vehicle) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	return v.dir.Close()
}

// use runs a step of the client alone.
func (v *vehicle) use(step func() (any, error)) (any, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, mistake("the client is closed")
	}
	return step()
}

func openDir(name string, sync bool) (*state.Dir, error) {
	if sync {
		return state.Open(name)
	}
	return state.Open(name, state.WithoutSync())
}

func openClient(c *call, q struct {
	State string `json:"state"`
	Owner string `json:"owner"`
	Sync  bool   `json:"sync"`
},
) (any, error) {
	owner, err := readPublic(q.Owner)
	if err != nil {
		return nil, err
	}
	id, floor, err := readVehicle(q.State)
	if err != nil {
		return nil, err
	}
	d, err := openDir(q.State, q.Sync)
	if err != nil {
		return nil, err
	}
	v := &vehicle{id: id.ID, dir: d}
	if v.client, err = client.New(client.Config{State: d, Identity: id, Owner: owner, Floor: floor}); err != nil {
		d.Close()
		return nil, err
	}
	h, err := c.keep(v)
	if err != nil {
		d.Close()
		return nil, err
	}
	return map[string]any{"handle": h, "id": id.ID, "public_key": schema.NewPublicKey(id.Key)}, nil
}

type sealRequest struct {
	Client    int64    `json:"client"`
	Task      int64    `json:"task"` // of a store, or of a bundle
	Epoch     uint64   `json:"epoch"`
	DTypes    []string `json:"dtypes"` // of the buffers: one for each tensor, or one for all values
	ModelHash string   `json:"model_hash"`
	Model     bool     `json:"model"`    // the last buffer is the model
	Examples  int      `json:"examples"` // that the update was made from
	Carry     bool     `json:"carry"`    // answer with the report's bytes
}

type sealed struct {
	Report  schema.ReportID `json:"report_id"`
	Epoch   uint64          `json:"epoch"`
	Lane    uint32          `json:"lane"`
	Bytes   int64           `json:"bytes"`
	Clipped bool            `json:"clipped"`
	Fresh   bool            `json:"fresh"` // false: sealed before, the same bytes again
}

// seal makes this epoch's report, or finds that it waits in the outbox already.
func seal(c *call, q sealRequest) (any, error) {
	v, err := get[*vehicle](c.Library, q.Client)
	if err != nil {
		return nil, err
	}
	t, err := get[*task](c.Library, q.Task)
	if err != nil {
		return nil, err
	}
	u, err := c.update(t, q)
	if err != nil {
		return nil, err
	}
	defer clear(u.Values)
	return v.use(func() (any, error) {
		name := pipeline.RoundName{Task: t.id, Epoch: q.Epoch, Lane: schema.LaneOf(t.id, q.Epoch, v.id, t.plan.Task.Batch.Lanes)}
		w, err := v.waiting(name)
		if err != nil {
			return nil, err
		}
		if w != nil {
			return c.again(v, t, q, w)
		}
		s, err := v.client.Seal(c, t.store, t.id, q.Epoch, u)
		if err != nil {
			return nil, err
		}
		out := sealed{Report: s.Report, Epoch: s.Name.Epoch, Lane: s.Name.Lane, Bytes: s.Bytes, Clipped: s.Clipped, Fresh: true}
		if !q.Carry {
			return out, nil
		}
		// Earlier reports of the task were handed to the carrier, and their epochs are over for this client.
		if err := v.client.Discard(func(n pipeline.RoundName) bool { return n.Task == t.id && n.Epoch < q.Epoch }); err != nil {
			return nil, err
		}
		return out, c.export(v, s.File(), s.Bytes)
	})
}

// waiting returns the report of a round that waits in the outbox, nil if there is none.
func (v *vehicle) waiting(name pipeline.RoundName) (*client.Waiting, error) {
	all, err := v.client.Outbox()
	if err != nil {
		return nil, err
	}
	for _, w := range all {
		if w.Damaged == nil && w.Name == name {
			return &w, nil
		}
	}
	return nil, nil
}

// again answers with a report that was sealed before, if it is for this very round.
func (c *call) again(v *vehicle, t *task, q sealRequest, w *client.Waiting) (any, error) {
	r, err := pipeline.LoadDescriptor(c, t.store, t.plan, w.Name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(v.dir.Path(w.File))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rep, err := client.ReadCarried(f, w.Bytes+8)
	if err != nil {
		return nil, err
	}
	if rep.Header.RoundID != r.ID {
		return nil, fmt.Errorf("%w: this client has sealed for another round of epoch %d", pipeline.ErrUntrusted, q.Epoch)
	}
	out := sealed{Report: w.Report, Epoch: w.Name.Epoch, Lane: w.Name.Lane, Bytes: w.Bytes}
	if !q.Carry {
		return out, nil
	}
	return out, c.export(v, w.File, w.Bytes)
}

// export reads an outbox file into the answer.
func (c *call) export(v *vehicle, file string, bytes int64) error {
	b, err := c.grow(int(bytes) + 8)
	if err != nil {
		return err
	}
	w := &filler{b}
	if _, err := v.client.Export(file, w); err != nil {
		return err
	}
	if len(w.rest) > 0 {
		return client.ErrDamaged
	}
	return nil
}

// filler writes into memory of a fixed size.
type filler struct{ rest []byte }

func (f *filler) Write(b []byte) (int, error) {
	if len(b) > len(f.rest) {
		return 0, errors.New("python: a file grew while it was read")
	}
	f.rest = f.rest[copy(f.rest, b):]
	return len(b), nil
}

// update copies the lent buffers: sealing works in place.
func (c *call) update(t *task, q sealRequest) (client.Update, error) {
	bodies := c.bodies
	u := client.Update{ModelHash: schema.HashModel(nil), Examples: q.Examples}
	switch {
	case q.Model && q.ModelHash != "":
		return u, mistake("give the model or its hash, not both")
	case q.Model && len(bodies) > 0:
		u.ModelHash, bodies = schema.HashModel(bodies[len(bodies)-1]), bodies[:len(bodies)-1]
	case q.ModelHash != "":
		var err error
		if u.ModelHash, err = schema.ParseDigest(q.ModelHash); err != nil {
			return u, mistake("model_hash: %w", err)
		}
	}
	d := t.plan.Privacy.Values()
	sizes := []int{d}
	if len(bodies) > 1 || len(t.plan.Task.Tensors) == 1 {
		sizes = nil
		for _, x := range t.plan.Task.Tensors {
			n, err := x.Size()
			if err != nil {
				return u, err
			}
			sizes = append(sizes, n)
		}
	}
	if len(bodies) != len(sizes) || len(q.DTypes) != len(bodies) {
		return u, mistake("%d buffers of values with %d types: the task has %d tensors", len(bodies), len(q.DTypes), len(t.plan.Task.Tensors))
	}
	u.Values = make([]float32, 0, d)
	for i, b := range bodies {
		var err error
		if u.Values, err = appendValues(u.Values, b, q.DTypes[i], sizes[i]); err != nil {
			return u, mistake("buffer %d: %w", i, err)
		}
	}
	return u, nil
}

// appendValues reads little-endian values; float64 is rounded to float32, as a vehicle's own update is.
func appendValues(dst []float32, b []byte, dtype string, want int) ([]float32, error) {
	width := map[string]int{"float32": 4, "float64": 8}[dtype]
	if width == 0 {
		return nil, fmt.Errorf(`type %.20q: want "float32" or "float64"`, dtype)
	}
	if len(b) != want*width {
		return nil, fmt.Errorf("%d bytes, want %d values of %s", len(b), want, dtype)
	}
	for ; len(b) > 0; b = b[width:] {
		if width == 4 {
			dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		} else {
			dst = append(dst, float32(math.Float64frombits(binary.LittleEndian.Uint64(b))))
		}
	}
	return dst, nil
}

type delivery struct {
	Report  schema.ReportID `json:"report_id"`
	Epoch   uint64          `json:"epoch"`
	Lane    uint32          `json:"lane"`
	Fate    client.Fate     `json:"fate"`
	Bytes   int64           `json:"bytes"`
	Overdue bool            `json:"overdue"`
}

// upload delivers all that waits for the task, oldest first.
func upload(c *call, q struct {
	Client int64 `json:"client"`
	Task   int64 `json:"task"`
},
) (any, error) {
	v, err := get[*vehicle](c.Library, q.Client)
	if err != nil {
		return nil, err
	}
	t, err := get[*task](c.Library, q.Task)
	if err != nil {
		return nil, err
	}
	return v.use(func() (any, error) {
		all, err := v.client.Outbox()
		if err != nil {
			return nil, err
		}
		done := []delivery{}
		for _, w := range all {
			if w.Damaged != nil || w.Name.Task != t.id {
				continue
			}
			d, err := v.client.Deliver(c, t.store, t.plan, w.File, nil)
			if err != nil {
				return nil, err
			}
			done = append(done, delivery{d.Report, d.Name.Epoch, d.Name.Lane, d.Fate, d.Bytes, d.Overdue})
		}
		return done, nil
	})
}
