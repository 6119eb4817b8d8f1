package main

import (
	"bytes"
	"context"

	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/privacy/privacybench"
	"github.com/veilsum/veilsum/secagg/secaggbench"
)

// measureAccuracy plays a round of the whole batch in the clear.
func (b *bench) measureAccuracy(ctx context.Context) error {
	p, err := privacy.New(privacy.Literal{
		Values: b.sizes.simulated, ClippingNorm: 1, NoiseMultiplier: 1,
		MinBatchSize: b.sizes.batch, MaxBatchSize: b.sizes.batch,
	})
	if err != nil {
		return err
	}
	type outcome struct {
		result privacybench.Result
		err    error
	}
	done := make(chan outcome, 1) // the simulation cannot be stopped: left behind when the run ends early
	go func() {
		r, err := privacybench.SimulateMean(privacybench.Simulation{Params: p, Clients: b.sizes.batch, Seed: [32]byte{1}})
		done <- outcome{r, err}
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case o := <-done:
		if o.err != nil {
			return o.err
		}
		b.put("decoded_rmse_over_central", o.result.Ratio)
		b.put("wrapped_values", float64(o.result.Wraps))
		return nil
	}
}

// measureBaseline compares with plain BGV over the same task: the same number of
// values, sums modulo the same Q.
func (b *bench) measureBaseline(ctx context.Context) error {
	w, err := b.largeWorld(ctx)
	if err != nil {
		return err
	}
	bgv, err := secaggbench.NewBGV(w.round.Secagg.Q(), w.round.Task.Committee.Size)
	if err != nil {
		return err
	}
	values := make([]int64, b.sizes.values)
	for i := range values {
		values[i] = int64(i%201) - 100
	}
	message, err := bgv.Encrypt(values)
	if err != nil {
		return err
	}
	sum, err := bgv.Encrypt(values)
	if err != nil {
		return err
	}
	var wire bytes.Buffer
	encrypt := timerOf(func() error {
		m, err := bgv.Encrypt(values)
		if err != nil {
			return err
		}
		wire.Reset()
		_, err = m.WriteTo(&wire)
		return err
	})
	add := timerOf(times(benchRepeat, func() error { return bgv.Add(sum, message) }))
	ours, err := w.addTimer(ctx)
	if err != nil {
		return err
	}
	seal := timerOf(w.sealZeros)
	if err := interleave(ctx, b.sizes.reps, seal, encrypt, ours, add); err != nil {
		return err
	}
	n, err := w.stored(ctx, 0)
	if err != nil {
		return err
	}
	d := b.sizes.values
	b.put("bgv_bits_ratio", float64(message.Bytes())/float64(n))
	b.put("bgv_client_ratio", encrypt.over(seal, 1, 1))
	b.put("bgv_server_ratio", add.over(ours, 1, 1))
	b.put("bgv_bits_per_value", 8*float64(message.Bytes())/float64(d))
	b.put("bgv_packed_bits_per_value", bgv.PackedBits(message)/float64(d))
	b.put("bgv_encrypt_ns_per_value", encrypt.per(d))
	b.put("bgv_add_ns_per_value", add.per(benchRepeat*d))
	return nil
}
