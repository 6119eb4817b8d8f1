package collector

import (
	"strconv"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// Opened is what the opened sum of a round says.
type Opened struct {
	Mean []float64 // d values in the units of the update
	// Unclipped estimates the fraction of updates within the clipping norm; nil unless the task adapts it.
	Unclipped *schema.Real
}

// Decode reads the opened sum x of reports reports, all values of the reports centered mod Q.
func Decode(r *pipeline.Round, x []int32, reports int) (Opened, error) {
	enc, err := privacy.NewEncoder(r.Privacy, r.ID.Digest)
	if err != nil {
		return Opened{}, err
	}
	mean, err := enc.DecodeInt32(x, reports)
	if err != nil || !r.Adaptive() {
		return Opened{Mean: mean}, err
	}
	fraction, err := enc.FractionInt32(x, reports)
	if err != nil {
		return Opened{}, err
	}
	unclipped := schema.Real(fraction)
	return Opened{Mean: mean, Unclipped: &unclipped}, nil
}

// Aggregate decodes the opened sum x of reports reports and returns what it says and the Arrow file that a collector
// publishes of it. index is the entry of the scope's ledger that reserves the list. The file
// depends on nothing but its arguments, so that two collectors write the same bytes and an
// auditor can write them again.
func Aggregate(r *pipeline.Round, x []int32, reports int, index int64) (Opened, []byte, error) {
	o, err := Decode(r, x, reports)
	if err != nil {
		return Opened{}, nil, err
	}
	meta, err := Metadata(r, o, reports, index)
	if err != nil {
		return Opened{}, nil, err
	}
	file, err := arrowipc.EncodeAggregate(r.Task.Tensors, o.Mean, meta)
	return o, file, err
}

// Metadata is what the aggregate of a round of reports reports, paid by entry index of the ledger, tells
// beside its values.
func Metadata(r *pipeline.Round, o Opened, reports int, index int64) (map[string]string, error) {
	enc, err := privacy.NewEncoder(r.Privacy, r.ID.Digest)
	if err != nil {
		return nil, err
	}
	g, err := pipeline.EventGuarantee(r.Event(), r.Task.Scope)
	if err != nil {
		return nil, err
	}
	real := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	p := r.Task.Privacy
	meta := map[string]string{
		arrowipc.MetaFormat: arrowipc.AggregateFormat, arrowipc.MetaRoundID: r.ID.String(), arrowipc.MetaModelVersion: r.Descriptor.ModelHash.String(),
		arrowipc.MetaEpsilon: real(g.Epsilon), arrowipc.MetaDelta: real(g.Delta), arrowipc.MetaMechanism: p.TrustModel + " " + p.Mechanism,
		arrowipc.MetaNoiseMultiplier: real(float64(p.NoiseMultiplier)), arrowipc.MetaClippingNorm: real(r.Privacy.ClippingNorm()),
		arrowipc.MetaReportCount: strconv.Itoa(reports), arrowipc.MetaReduction: "mean",
		arrowipc.MetaRelation: string(g.Relation), arrowipc.MetaUnit: g.Unit, arrowipc.MetaTaskID: r.Name.Task.String(),
		arrowipc.MetaNoiseStdDev:      real(enc.NoiseStdDev(reports)),
		arrowipc.MetaLedgerIndex:      strconv.FormatInt(index, 10),
		arrowipc.MetaDescriptorSHA256: r.ID.String(), arrowipc.MetaProducer: "veilsum",
	}
	if c := r.Privacy.Compression(); c != nil {
		meta[arrowipc.MetaCompression], meta[arrowipc.MetaCompressionKeep] = string(c.Kind), strconv.Itoa(r.Privacy.Sent())
		meta[arrowipc.MetaCompressionErrorFactor] = real(c.ErrorFactor())
		meta[arrowipc.MetaCompressionRMSE] = real(r.Privacy.CompressionRMSE(r.Privacy.SignalNorm(o.Mean, reports)))
	}
	if o.Unclipped != nil {
		meta[arrowipc.MetaUnclipped] = real(float64(*o.Unclipped))
	}
	return meta, nil
}
