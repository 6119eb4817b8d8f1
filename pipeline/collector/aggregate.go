package collector

import (
	"strconv"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

// Aggregate decodes the opened sum x of reports reports, d values centered mod
// Q, and returns the mean and the Arrow file that a collector publishes of it. index is
// the entry of the scope's ledger that reserves the list. The file
// depends on nothing but its arguments, so that two collectors write the same bytes and an
// auditor can write them again.
func Aggregate(r *pipeline.Round, x []int32, reports int, index int64) (mean []float64, file []byte, err error) {
	enc, err := privacy.NewEncoder(r.Privacy, r.ID.Digest)
	if err != nil {
		return nil, nil, err
	}
	mean, err = enc.DecodeInt32(x, reports)
	if err != nil {
		return nil, nil, err
	}
	meta, err := Metadata(r, reports, index)
	if err != nil {
		return nil, nil, err
	}
	file, err = arrowipc.EncodeAggregate(r.Task.Tensors, mean, meta)
	return mean, file, err
}

// Metadata is what the aggregate of a round of reports reports, paid by entry index of the ledger, tells
// beside its values.
func Metadata(r *pipeline.Round, reports int, index int64) (map[string]string, error) {
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
	return map[string]string{
		arrowipc.MetaFormat: arrowipc.AggregateFormat, arrowipc.MetaRoundID: r.ID.String(), arrowipc.MetaModelVersion: r.Descriptor.ModelHash.String(),
		arrowipc.MetaEpsilon: real(g.Epsilon), arrowipc.MetaDelta: real(g.Delta), arrowipc.MetaMechanism: p.TrustModel + " " + p.Mechanism,
		arrowipc.MetaNoiseMultiplier: real(float64(p.NoiseMultiplier)), arrowipc.MetaClippingNorm: real(r.Privacy.ClippingNorm()),
		arrowipc.MetaReportCount: strconv.Itoa(reports), arrowipc.MetaReduction: "mean",
		arrowipc.MetaRelation: string(g.Relation), arrowipc.MetaUnit: g.Unit, arrowipc.MetaTaskID: r.Name.Task.String(),
		arrowipc.MetaNoiseStdDev:      real(enc.NoiseStdDev(reports)),
		arrowipc.MetaLedgerIndex:      strconv.FormatInt(index, 10),
		arrowipc.MetaDescriptorSHA256: r.ID.String(), arrowipc.MetaProducer: "veilsum",
	}, nil
}
