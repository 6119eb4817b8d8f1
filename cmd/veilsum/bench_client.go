package main

import (
	"context"
	"runtime"

	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/privacy"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/secaggbench"
)

// measureBytes adds up the objects of real reports.
func (b *bench) measureBytes(ctx context.Context) error {
	large, err := b.largeWorld(ctx)
	if err != nil {
		return err
	}
	n, err := large.stored(ctx, 0)
	if err != nil {
		return err
	}
	bits := 8 * float64(n) / float64(b.sizes.values)
	b.put("bits_per_value_n1e4_d1e6", bits)
	b.put("upload_over_float32_n1e4_d1e6", bits/32)
	if err := b.measureSmall(ctx, 1, "report_fixed_bytes_suite1"); err != nil {
		return err
	}
	return b.measureSmall(ctx, 2, "report_fixed_bytes_suite2")
}

// measureSmall seals a small report. Its fixed part is all but the packed blocks, (B+1)*N*F/8 bytes.
func (b *bench) measureSmall(ctx context.Context, suite int, fixed string) error {
	w, err := b.newWorld(ctx, benchWish{values: b.sizes.small, suite: suite, vehicles: 1})
	if err != nil {
		return err
	}
	if err := w.report(ctx, 1); err != nil {
		return err
	}
	n, err := w.stored(ctx, 0)
	if err != nil {
		return err
	}
	if suite == 1 {
		b.put("bits_per_value_n1e4_d1e4", 8*float64(n)/float64(b.sizes.small))
	}
	b.put(fixed, float64(n-w.round.Secagg.SumBytes()))
	return nil
}

// measureClient times the client's steps apart and together.
func (b *bench) measureClient(ctx context.Context) error {
	w, err := b.largeWorld(ctx)
	if err != nil {
		return err
	}
	transform, err := secaggbench.NewTransform(w.round.Secagg)
	if err != nil {
		return err
	}
	encoder, err := privacy.NewEncoder(w.round.Privacy, w.round.ID.Digest)
	if err != nil {
		return err
	}
	e := &benchEncoding{encoder: encoder, update: w.update().Values}
	e.work = make([]float32, len(e.update))
	intt := timerOf(func() error { transform.Inverse(); return nil })
	seal, encode, digest := timerOf(w.sealZeros), timerOf(e.encode), timerOf(e.digest)
	outbox := timerOf(func() error {
		copy(e.work, e.update)
		return w.client(0, func(c *client.Client) error {
			_, err := c.SealRound(w.round, client.Update{Values: e.work, ModelHash: w.round.Descriptor.ModelHash})
			return err
		})
	})
	if err := interleave(ctx, b.sizes.reps, intt, seal, encode, digest, outbox); err != nil {
		return err
	}
	d := w.round.Secagg.Values()
	b.put("client_seal_over_intt", seal.over(intt, 1, 1))
	b.put("client_seal_ns_per_value", seal.per(d))
	b.put("intt_ns_per_value", intt.per(d))
	b.put("client_encode_ns_per_value", encode.per(d))
	b.put("client_digest_ns_per_value", digest.per(d))
	b.put("client_outbox_ns_per_value", outbox.per(d))
	return b.measureState(w)
}

// benchEncoding is the client's work before sealing.
type benchEncoding struct {
	encoder      *privacy.Encoder
	update, work []float32
	encoded      *privacy.Encoded
}

// encode clips, rotates, rounds and checks, and hands out all integers once, as sealing asks for them.
func (e *benchEncoding) encode() (err error) {
	copy(e.work, e.update)
	if e.encoded, err = e.encoder.Encode(e.work, [32]byte{1}); err != nil {
		return err
	}
	var block [1024]int32
	for offset := 0; offset < len(e.work); offset += len(block) {
		e.encoded.Values(offset, block[:])
	}
	return nil
}

// digest hashes the integers, which hedges a broken generator of randomness.
func (e *benchEncoding) digest() error {
	e.encoded.Digest()
	return nil
}

// sealZeros makes a whole report out of integers that are there already. They
// are zero; time does not depend on them.
func (w *benchWorld) sealZeros() error {
	return w.seal([32]byte{}, func(int, []int32) error { return nil }, func() {})
}

// seal encrypts, packs, hashes pieces, seals the boxes and signs, as package
// client does but for the file. flushed is called after each piece.
func (w *benchWorld) seal(digest [32]byte, values func(int, []int32) error, flushed func()) error {
	r, v := w.round, w.vehicle(0)
	seed, err := secagg.NewClientSeed(v.DeviceSecret[:], r.ID.Digest, digest)
	if err != nil {
		return err
	}
	var piece []byte
	var hashes []schema.Digest
	flush := func() {
		hashes = append(hashes, schema.HashPiece(len(hashes), piece))
		piece = piece[:0]
		flushed()
	}
	sealed, err := secagg.Seal(r.Secagg, r.ID.Digest, seed, values, func(_ int, block []byte) error {
		if piece = append(piece, block...); len(piece) == r.Task.PieceBlocks*len(block) {
			flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer sealed.Erase()
	if len(piece) > 0 {
		flush()
	}
	return w.assemble(sealed, v, schema.PieceRoot(hashes))
}

// assemble makes and signs the header object.
func (w *benchWorld) assemble(sealed *secagg.Sealed, v client.Identity, root schema.Digest) error {
	h, corr := w.round.Header(), sealed.Corr()
	h.TaskID, h.RoundID, h.Epoch, h.Vehicle = w.round.Name.Task, w.round.ID, w.round.Name.Epoch, v.ID
	h.CorrHash, h.Root = schema.HashCorr(corr), root
	for _, c := range sealed.Commitments() {
		h.Commitments = append(h.Commitments, c)
	}
	raw, err := h.Encode()
	if err != nil {
		return err
	}
	id, boxes := schema.NewReportID(raw), make([][]byte, h.Size)
	for k := range boxes {
		if boxes[k], err = sealed.Box(k, w.round.Descriptor.RoundKeys[k].Body.PublicKey, id.Digest); err != nil {
			return err
		}
	}
	_, err = schema.NewReport(h, boxes, corr, v.Key)
	return err
}

// measureState watches the live heap while a vehicle encodes and seals.
func (b *bench) measureState(w *benchWorld) error {
	update := w.update().Values // what the vehicle has anyway
	base, before := liveHeap(), allocated()
	encoder, err := privacy.NewEncoder(w.round.Privacy, w.round.ID.Digest)
	if err != nil {
		return err
	}
	encoded, err := encoder.Encode(update, [32]byte{1})
	if err != nil {
		return err
	}
	// All that encoding allocated, garbage or not, bounds its state.
	most := allocated() - before
	watch := func() { most = max(most, grown(base)) }
	every := max(1, w.round.Secagg.Blocks()/20)
	err = w.seal(encoded.Digest(), func(offset int, dst []int32) error {
		encoded.Values(offset, dst)
		if offset/len(dst)%every == 0 {
			watch()
		}
		return nil
	}, watch)
	runtime.KeepAlive(update)
	runtime.KeepAlive(encoder)
	b.put("client_state_bytes", float64(most))
	return err
}

// liveHeap collects garbage and returns the bytes that remain.
func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// grown is by how much the live heap exceeds base.
func grown(base uint64) uint64 {
	now := liveHeap()
	return now - min(base, now)
}

// allocated is how many bytes were ever allocated.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
