package auditor

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
	"github.com/veilsum/veilsum/storage"
)

// open opens the sum with the answers that the receipt names: S from every
// V_T, the tests of the opening, the witness variance; and compares what the receipt states.
func (r *roundAudit) open(sum *secagg.Sum) ([]int32, error) {
	x, res, err := r.opened(sum)
	key := pipeline.ReceiptKey(r.Name)
	if err != nil {
		return nil, &Flaw{Object: key, What: "the answers it names do not open the sum it names", Err: err}
	}
	c := r.receipt
	switch {
	case !slices.Equal(res.Dropped, c.Dropped):
		return nil, flawf(key, "it states that decryptors %v were dropped, the opening drops %v", c.Dropped, res.Dropped)
	case !slices.Equal(res.Convicted, c.Convicted):
		return nil, flawf(key, "it states that decryptors %v are convicted, the opening convicts %v", c.Convicted, res.Convicted)
	case res.Confirmed != c.Confirmed:
		return nil, flawf(key, "it states confirmed %t, the opening gives %t", c.Confirmed, res.Confirmed)
	case !near(res.WitnessVariance, float64(c.WitnessVariance)) || !near(res.WitnessFloor, float64(c.WitnessFloor)):
		return nil, flawf(key, "it states a witness variance of %g (floor %g), the opening gives %g (%g)",
			float64(c.WitnessVariance), float64(c.WitnessFloor), res.WitnessVariance, res.WitnessFloor)
	}
	r.out.MaxSecret = res.MaxSecret
	r.out.SecretBound = 9.5 * 4.6 * math.Sqrt(float64(c.Reports))
	return x[:r.Secagg.Values()], nil
}

// opened returns the opened values of all full blocks.
func (r *roundAudit) opened(sum *secagg.Sum) ([]int32, committee.Result, error) {
	var answers []committee.Answer
	for i, a := range r.answers {
		answers = append(answers, committee.Answer{Index: r.members[i], Shares: a.Body.Shares})
	}
	x := make([]int32, 0, r.Secagg.Blocks()*r.Secagg.N())
	res, err := committee.Open(r.Secagg, r.ID.Digest, len(r.manifest.Reports), r.Task.Batch.MaxDishonest, sum, answers, func(j int, block []int32) error {
		x = append(x[:min(len(x), j*r.Secagg.N())], block...)
		return nil
	})
	return x, res, err
}

// aggregate decodes the opened values, writes the file again and compares it
// byte for byte with the stored one and with the receipt.
func (r *roundAudit) aggregate(x []int32) error {
	key := pipeline.AggregateKey(r.Name, r.receipt.Aggregate)
	stored, err := storage.ReadAll(r.ctx, r.store, key, r.receipt.AggregateSize)
	if err != nil {
		return blame(key, "the aggregate", err)
	}
	switch {
	case int64(len(stored)) != r.receipt.AggregateSize:
		return flawf(key, "%d bytes, the receipt states %d", len(stored), r.receipt.AggregateSize)
	case schema.Digest(sha256.Sum256(stored)) != r.receipt.Aggregate:
		return flawf(key, "its SHA-256 is not the one in the receipt")
	}
	opened, file, err := collector.Aggregate(r.Round, x, r.receipt.Reports, r.index)
	if err != nil {
		return err
	}
	if err := r.unclipped(opened.Unclipped); err != nil {
		return err
	}
	if !bytes.Equal(file, stored) {
		if err := r.otherEpsilon(key, opened, stored); err != nil {
			return err
		}
	}
	r.count("aggregate")
	return r.utility(opened.Mean)
}

// otherEpsilon accepts an aggregate that differs only in the epsilon it states,
// which was another version's accountant's: it must not be less than is found now.
func (r *roundAudit) otherEpsilon(key string, opened collector.Opened, stored []byte) error {
	differs := &Flaw{Object: key, What: "the opened sum gives other bytes"}
	told, err := arrowipc.OpenAggregate(stored, r.receipt.Aggregate)
	if err != nil {
		differs.Err = err
		return differs
	}
	meta, err := collector.Metadata(r.Round, opened, r.receipt.Reports, r.index)
	if err != nil {
		return err
	}
	here, err := strconv.ParseFloat(meta[arrowipc.MetaEpsilon], 64)
	if err != nil {
		return err
	}
	there, err := strconv.ParseFloat(told.Meta[arrowipc.MetaEpsilon], 64)
	if err != nil || !(there >= here*(1-1e-9)) {
		differs.Err = fmt.Errorf("it states epsilon %.20q, the round costs %g", told.Meta[arrowipc.MetaEpsilon], here)
		return differs
	}
	meta[arrowipc.MetaEpsilon] = told.Meta[arrowipc.MetaEpsilon]
	again, err := arrowipc.EncodeAggregate(r.Task.Tensors, opened.Mean, meta)
	if err != nil || !bytes.Equal(again, stored) {
		return differs
	}
	r.note(key, "it states epsilon %g for this round, the accountant used here finds %g", there, here)
	return nil
}

// utility compares the opened mean with the noise that is in it; both are public.
func (r *roundAudit) utility(mean []float64) error {
	enc, err := privacy.NewEncoder(r.Privacy, r.ID.Digest)
	if err != nil {
		return err
	}
	square := 0.0
	for _, v := range mean {
		square += v * v / float64(len(mean))
	}
	noise := enc.NoiseStdDev(r.receipt.Reports)
	r.out.NoiseStdDev, r.out.MeanRMS = noise, math.Sqrt(square)
	if r.Privacy.Compression() != nil { // the square holds the error of the map too
		signal := r.Privacy.SignalNorm(mean, r.receipt.Reports)
		r.out.CompressionRMSE = r.Privacy.CompressionRMSE(signal)
		r.out.SNR = signal / math.Sqrt(float64(len(mean))) / math.Hypot(noise, r.out.CompressionRMSE)
		return nil
	}
	if signal := square - noise*noise; signal > 0 {
		r.out.SNR = math.Sqrt(signal) / noise
	}
	return nil
}
