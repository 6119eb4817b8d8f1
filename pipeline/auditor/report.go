package auditor

import (
	"runtime/debug"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// ReportVersion is the version of [Report] in JSON; fields are only ever added within one.
const ReportVersion = 1

// Report is what an audit verified, up to the first flaw. It holds no secret
// and no time, so that two audits of one store give the same report.
type Report struct {
	Version  int              `json:"version"`
	Store    string           `json:"store"`
	Owner    schema.PublicKey `json:"owner"` // the pinned key, on which everything rests
	Complete bool             `json:"complete"`
	Flaw     *Flaw            `json:"flaw"`
	// Objects counts what was verified by kind.
	Objects map[string]int `json:"objects"`
	Tasks   []*Task        `json:"tasks"`
	Scopes  []*Scope       `json:"scopes"`
	// Notes are no flaws, but should be read.
	Notes    []Note   `json:"notes"`
	Software Software `json:"software"`
}

// Note is something about an object that is no flaw.
type Note struct {
	Object string `json:"object"`
	Text   string `json:"text"`
}

// Task is one audited task with the numbers that its privacy rests on, derived again.
type Task struct {
	ID     schema.TaskID  `json:"id"`
	Name   string         `json:"name"`
	Scope  schema.ScopeID `json:"scope"`
	Event  schema.Event   `json:"event"` // what every epoch costs, in integer units
	Rounds []*Round       `json:"rounds"`
	// Releases are the models that the vehicles got, in their order; absent if there are none.
	Releases []*Release `json:"releases,omitempty"`

	ClippingNorm  schema.Real          `json:"clipping_norm"` // of all rounds, or of the first with Adaptive
	Adaptive      *Adaptive            `json:"adaptive,omitempty"`
	Grid          schema.Real          `json:"grid"` // steps per unit of the update
	Modulus       uint32               `json:"modulus"`
	RingDegree    int                  `json:"ring_degree"`
	MinBatch      int                  `json:"min_batch_size"`
	MaxBatch      int                  `json:"max_batch_size"`
	MaxDishonest  int                  `json:"max_dishonest"`
	Lanes         int                  `json:"lanes"`
	Suite         int                  `json:"suite"`
	PostQuantum   bool                 `json:"post_quantum"`
	Members       int                  `json:"committee_size"`
	Threshold     int                  `json:"committee_threshold"`
	Malicious     int                  `json:"committee_malicious"`
	Participation schema.Participation `json:"participation"`

	plan *pipeline.Plan
}

// StatusOpen is the status of a round without a receipt; the others are schema's.
const StatusOpen = "open"

// How a round's sum was verified.
const (
	SumRecomputed = "recomputed" // from the pieces of every report
	SumSigned     = "signed"     // c as the Collector's receipt names it, corr recomputed
)

// Round is one audited round. Fields of an opened sum are zero unless it is committed.
type Round struct {
	Name       string            `json:"name"`
	Epoch      uint64            `json:"epoch"`
	Lane       uint32            `json:"lane"`
	ID         schema.RoundID    `json:"round_id"`
	Verified   bool              `json:"verified"` // false only for the round with the flaw
	Status     string            `json:"status"`
	Reason     string            `json:"reason,omitempty"`
	Depth      string            `json:"sum,omitempty"` // SumRecomputed or SumSigned
	Reports    int               `json:"reports"`
	Vehicles   int               `json:"vehicles"` // distinct, the same as in the reservation
	LeftOut    int               `json:"left_out"` // reports in the store that are not in the list
	Enrolled   int               `json:"enrolled"`
	Serial     uint64            `json:"snapshot_serial"`
	Manifest   schema.ManifestID `json:"manifest"`
	Checkpoint schema.Digest     `json:"checkpoint"`
	Votes      []int             `json:"votes"`   // decryptors whose vote verifies
	Answers    []int             `json:"answers"` // decryptors whose answer verifies
	Dropped    []int             `json:"dropped"`
	Convicted  []int             `json:"convicted"`
	Confirmed  bool              `json:"confirmed"`
	// MaxSecret is max |S_i|, SecretBound the most that is allowed.
	MaxSecret       int           `json:"max_secret"`
	SecretBound     float64       `json:"max_secret_allowed"`
	WitnessVariance schema.Real   `json:"witness_variance"`
	WitnessFloor    schema.Real   `json:"witness_floor"`
	Sum             schema.Digest `json:"sum_sha256"`
	Aggregate       schema.Digest `json:"aggregate_sha256"`
	AggregateSize   int64         `json:"aggregate_size"`
	// NoiseStdDev is the noise in one value of the mean, MeanRMS the root mean square of
	// the mean with it, SNR the signal over the noise (0: it drowns).
	NoiseStdDev float64 `json:"noise_std_dev"`
	MeanRMS     float64 `json:"mean_rms"`
	SNR         float64 `json:"signal_to_noise"`
	// CompressionRMSE estimates the error in one value that compression adds; SNR counts it as noise.
	CompressionRMSE float64 `json:"compression_rmse,omitempty"`
	// ClippingNorm is the round's C. Follows names the round that it was recomputed from, Unclipped is the opened
	// noisy fraction of updates within it; only with adaptive clipping.
	ClippingNorm schema.Real  `json:"clipping_norm"`
	Follows      string       `json:"clipping_norm_follows,omitempty"`
	Unclipped    *schema.Real `json:"unclipped,omitempty"`
	// Orphans are objects that nothing names and nobody reads: leftovers of a crash or a lost race.
	Orphans []string `json:"orphans"`
	// Regions are those of the descriptor; absent if it names none.
	Regions []*Region `json:"regions,omitempty"`

	vehicles []schema.VehicleID
	round    *pipeline.Round
	receipt  *schema.Receipt
}

// Adaptive is a task's rule for its clipping norm, and what the indicator in every report costs.
type Adaptive struct {
	schema.Adaptive
	// Indicator is B in grid steps. It lies inside the sensitivity D, so the event pays for it: its share of the
	// event's zCDP is (B/D)^2. Alone it is a Gaussian of noise multiplier NoiseMultiplier, and
	// the update one of UpdateNoiseMultiplier; together they are the event's.
	Indicator             int64   `json:"indicator"`
	ShareOfRho            float64 `json:"share_of_rho"`
	NoiseMultiplier       float64 `json:"indicator_noise_multiplier"`
	UpdateNoiseMultiplier float64 `json:"update_noise_multiplier"`
}

// Scope is what was charged to one BudgetScope, over all its tasks.
type Scope struct {
	ID     schema.ScopeID `json:"id"`
	Scope  schema.Scope   `json:"scope"`
	Spent  []Account      `json:"spent"`  // by every accountant, for a vehicle that took part in all epochs
	Silent []string       `json:"silent"` // accountants that have no bound for these events, and why
	Within bool           `json:"within"` // the budget held before every vote
	// Charges in the order of task and epoch. Charging more never costs less, so if the
	// last is within the budget, the budget held in whichever order they came.
	Charges []Charge `json:"charges"`
	// Vehicles counts the vehicles by the number of epochs they were charged, with their own epsilon.
	Vehicles []Group `json:"vehicles"`
	// MaxParticipation and MinSeparation are the extremes found; MinSeparation is 0
	// if no vehicle took part twice in one task.
	MaxParticipation int    `json:"max_participation"`
	MinSeparation    uint64 `json:"min_separation"`
	// Uncharged are reservations that do not count, since their round was aborted before any vote.
	Uncharged []string `json:"uncharged"`
	// Orphans are reservations that no entry of the ledger names: they charge nothing.
	Orphans []string `json:"orphans"`
	Ledger  *Ledger  `json:"ledger"` // nil only if a flaw was found before
}

// Account is what one accountant finds.
type Account struct {
	Accountant string   `json:"accountant"`
	Epsilon    float64  `json:"epsilon"`         // an upper bound
	Lower      *float64 `json:"lower,omitempty"` // a lower bound, from accountants that have one
	// Ideal: these are the bounds of the continuous Gaussian of the same width, a yardstick and not a bound of the mechanism.
	Ideal bool `json:"ideal,omitempty"`
}

// Charge is one (task, epoch) that is charged.
type Charge struct {
	Task     schema.TaskID `json:"task"`
	Epoch    uint64        `json:"epoch"`
	Lanes    int           `json:"lanes"` // with a reservation that counts
	Vehicles int           `json:"vehicles"`
	Event    schema.Event  `json:"event"`
	Before   []Account     `json:"before"`
	After    []Account     `json:"after"`

	key string // its last reservation
}

// Group is the vehicles that were charged equally often.
type Group struct {
	Epochs   int       `json:"epochs"`
	Vehicles int       `json:"vehicles"`
	Epsilon  []Account `json:"epsilon"` // of the worst of them, by its own participations
}

// Software is what this audit was computed with, for whoever repeats it.
type Software struct {
	Go       string   `json:"go"`
	Module   string   `json:"module"`
	Version  string   `json:"version"`
	Revision string   `json:"revision,omitempty"`
	Modified bool     `json:"modified"`
	Flags    []string `json:"flags"`   // of the build
	Modules  []Module `json:"modules"` // linked, with their go.sum hashes
}

// Module is one library in the program.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum"`
}

func newReport(store string, owner schema.PublicKey) *Report {
	return &Report{
		Version: ReportVersion, Store: store, Owner: owner, Objects: map[string]int{},
		Tasks: []*Task{}, Scopes: []*Scope{}, Notes: []Note{}, Software: software(),
	}
}

func software() Software {
	s := Software{Flags: []string{}, Modules: []Module{}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return s
	}
	s.Go, s.Module, s.Version = info.GoVersion, info.Main.Path, info.Main.Version
	for _, x := range info.Settings {
		switch x.Key {
		case "vcs.revision":
			s.Revision = x.Value
		case "vcs.modified":
			s.Modified = x.Value == "true"
		case "-tags", "-ldflags", "-gcflags", "-race", "-trimpath", "CGO_ENABLED", "GOOS", "GOARCH":
			s.Flags = append(s.Flags, x.Key+"="+x.Value)
		}
	}
	for _, m := range info.Deps {
		s.Modules = append(s.Modules, Module{Path: m.Path, Version: m.Version, Sum: m.Sum})
	}
	return s
}

func newTask(id schema.TaskID, p *pipeline.Plan) *Task {
	t := p.Task
	return &Task{
		Adaptive: newAdaptive(p),
		ID:       id, Name: t.Name, Scope: t.Scope.ID(), Event: p.Event(), Rounds: []*Round{},
		ClippingNorm: t.Privacy.ClippingNorm, Grid: schema.Real(p.Privacy.Grid()), Modulus: p.Secagg.Q(), RingDegree: p.Secagg.N(),
		MinBatch: t.Batch.Min, MaxBatch: t.Batch.Max, MaxDishonest: t.Batch.MaxDishonest, Lanes: t.Batch.Lanes,
		Suite: t.Suite, PostQuantum: p.Secagg.Suite().PostQuantum(),
		Members: t.Committee.Size, Threshold: t.Committee.Threshold, Malicious: t.Committee.Malicious,
		Participation: t.Participation, plan: p,
	}
}

func newAdaptive(p *pipeline.Plan) *Adaptive {
	if !p.Adaptive() {
		return nil
	}
	d, b, noise := float64(p.Privacy.Sensitivity()), float64(p.Privacy.Indicator()), p.Privacy.TotalStdDev()
	return &Adaptive{
		Adaptive: *p.Task.Privacy.Adaptive, Indicator: p.Privacy.Indicator(), ShareOfRho: b * b / (d * d),
		NoiseMultiplier: noise / b, UpdateNoiseMultiplier: noise / p.Privacy.UpdateBound(),
	}
}

func newRound(r *pipeline.Round) *Round {
	bare := *r // keeps no snapshot alive
	bare.Snapshot = nil
	return &Round{
		round: &bare,
		Name:  r.Name.String(), Epoch: r.Name.Epoch, Lane: r.Name.Lane, ID: r.ID,
		Votes: []int{}, Answers: []int{}, Dropped: []int{}, Convicted: []int{}, Orphans: []string{},
	}
}

// fromReceipt copies what the receipt states; the steps after it check each of these.
func (r *Round) fromReceipt(c schema.Receipt) {
	r.Status, r.Reason, r.Reports = c.Status, c.Reason, c.Reports
	r.Manifest, r.Checkpoint = c.Manifest, c.Checkpoint
	r.Dropped, r.Convicted, r.Confirmed = append([]int{}, c.Dropped...), append([]int{}, c.Convicted...), c.Confirmed
	r.WitnessVariance, r.WitnessFloor = c.WitnessVariance, c.WitnessFloor
	r.Sum, r.Aggregate, r.AggregateSize = c.Sum, c.Aggregate, c.AggregateSize
}
