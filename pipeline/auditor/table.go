package auditor

import (
	"math"
	"strconv"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// TableFormat is the value of the metadata key veilsum.format in [Report.Table].
const TableFormat = "veilsum-audit/1"

// Table returns an Arrow IPC file with one row for each audited round, in
// their order. unclipped is NaN without adaptive clipping and in rounds that opened nothing. Epsilons are those of the round's (task, epoch), by the accountant of the roles ("rdp"); NaN
// where nothing is charged. Epochs beyond 2^63-1 are shown as that.
func (r *Report) Table() ([]byte, error) {
	t := &table{texts: map[string][]string{}, ints: map[string][]int64{}, floats: map[string][]float64{}}
	charges := r.charges()
	for _, task := range r.Tasks {
		for _, round := range task.Rounds {
			t.round(task, round)
			c, ok := charges[chargeKey{task.ID, round.Epoch}]
			t.charge(c, ok && (round.Status != schema.StatusVoid || !round.Checkpoint.IsZero()))
			t.rows++
		}
	}
	return arrowipc.EncodeTable(t.columns(), map[string]string{
		arrowipc.MetaFormat: TableFormat, "veilsum.owner": r.Owner.String(), "veilsum.complete": strconv.FormatBool(r.Complete),
	})
}

type chargeKey struct {
	task  schema.TaskID
	epoch uint64
}

func (r *Report) charges() map[chargeKey]Charge {
	all := map[chargeKey]Charge{}
	for _, sc := range r.Scopes {
		for _, c := range sc.Charges {
			all[chargeKey{c.Task, c.Epoch}] = c
		}
	}
	return all
}

type table struct {
	rows   int
	order  []string
	texts  map[string][]string
	ints   map[string][]int64
	floats map[string][]float64
}

func (t *table) name(name string) {
	if t.rows == 0 {
		t.order = append(t.order, name)
	}
}

func (t *table) text(name, v string) { t.name(name); t.texts[name] = append(t.texts[name], v) }

func (t *table) int(name string, v int64) { t.name(name); t.ints[name] = append(t.ints[name], v) }

func (t *table) float(name string, v float64) {
	t.name(name)
	t.floats[name] = append(t.floats[name], v)
}

func (t *table) round(task *Task, r *Round) {
	t.text("task", task.ID.String())
	t.text("round", r.Name)
	t.int("epoch", int64(min(r.Epoch, math.MaxInt64)))
	t.int("lane", int64(r.Lane))
	t.text("round_id", r.ID.String())
	t.text("status", r.Status)
	t.text("reason", r.Reason)
	t.text("sum", r.Depth)
	t.int("reports", int64(r.Reports))
	t.int("left_out", int64(r.LeftOut))
	t.int("votes", int64(len(r.Votes)))
	t.int("answers", int64(len(r.Answers)))
	t.int("dropped", int64(len(r.Dropped)))
	t.float("witness_variance", float64(r.WitnessVariance))
	t.float("witness_floor", float64(r.WitnessFloor))
	t.float("noise_std_dev", r.NoiseStdDev)
	t.float("mean_rms", r.MeanRMS)
	t.float("signal_to_noise", r.SNR)
	t.text("mechanism", task.Event.Mechanism)
	t.text("trust_model", task.Event.TrustModel)
	t.int("sensitivity", task.Event.Sensitivity)
	t.float("local_std_dev", float64(task.Event.LocalStdDev))
	t.int("honest_min", int64(task.Event.HonestMin))
	t.int("values", int64(task.Event.Values))
	t.float("noise_multiplier", float64(task.Event.NoiseMultiplier))
	t.float("clipping_norm", float64(r.ClippingNorm))
	t.float("unclipped", r.unclippedOrNaN())
	t.int("modulus", int64(task.Modulus))
	t.text("manifest", r.Manifest.String())
	t.text("checkpoint", r.Checkpoint.String())
	t.text("sum_sha256", r.Sum.String())
	t.text("aggregate_sha256", r.Aggregate.String())
}

func (t *table) charge(c Charge, charged bool) {
	before, after := math.NaN(), math.NaN()
	if charged {
		before, after = epsilonOf(c.Before), epsilonOf(c.After)
	}
	t.float("epsilon_before", before)
	t.float("epsilon_after", after)
}

// epsilonOf is what the roles' accountant found, or NaN.
func epsilonOf(all []Account) float64 {
	for _, x := range all {
		if x.Accountant == judges[0].name {
			return x.Epsilon
		}
	}
	return math.NaN()
}

func (t *table) columns() []arrowipc.Column {
	if t.rows == 0 {
		return []arrowipc.Column{{Name: "round", Strings: []string{}}}
	}
	var all []arrowipc.Column
	for _, name := range t.order {
		all = append(all, arrowipc.Column{Name: name, Strings: t.texts[name], Ints: t.ints[name], Floats: t.floats[name]})
	}
	return all
}
