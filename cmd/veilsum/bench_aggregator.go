package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/aggregator"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/secaggbench"
	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
)

// benchReplay is a store with more reports than were sealed: each further one
// has a header of its own, signed by another vehicle, over the boxes, corr and
// pieces of one that was sealed. An aggregator cannot tell and does all its work.
type benchReplay struct {
	*mem.Store
	world     *benchWorld
	originals []*schema.Report
	number    map[string]int // by ReportID in hexadecimal
	ids       []schema.ReportID
	headers   [][]byte // signed beforehand, or nil: then each Get signs
}

func (w *benchWorld) replay(ctx context.Context, n int, signed bool) (*benchReplay, error) {
	s := &benchReplay{Store: w.store, world: w, number: make(map[string]int, n)}
	for _, id := range w.reports {
		rep, err := w.round.ReadReport(ctx, w.store, id)
		if err != nil {
			return nil, err
		}
		s.originals = append(s.originals, rep)
	}
	for i := range n {
		raw, err := s.header(i).Encode()
		if err != nil {
			return nil, err
		}
		id := schema.NewReportID(raw)
		s.ids, s.number[id.String()] = append(s.ids, id), i
		if !signed {
			continue
		}
		object, err := s.object(i)
		if err != nil {
			return nil, err
		}
		s.headers = append(s.headers, object)
	}
	return s, nil
}

func (s *benchReplay) original(i int) int { return i % len(s.originals) }

func (s *benchReplay) header(i int) schema.Header {
	h := s.originals[s.original(i)].Header
	h.Vehicle = s.world.vehicle(i).ID
	return h
}

// object is the header object of report i.
func (s *benchReplay) object(i int) ([]byte, error) {
	if i < len(s.headers) {
		return s.headers[i], nil
	}
	old := s.originals[s.original(i)]
	boxes := make([][]byte, old.Header.Size)
	for k := range boxes {
		var err error
		if boxes[k], err = old.Box(k); err != nil {
			return nil, err
		}
	}
	rep, err := schema.NewReport(s.header(i), boxes, old.Corr(), s.world.vehicle(i).Key)
	if err != nil {
		return nil, err
	}
	return rep.Bytes(), nil
}

// Get implements storage.Store: headers of their own, pieces of the originals.
func (s *benchReplay) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	name := s.world.round.Name
	rest, ok := strings.CutPrefix(key, pipeline.ReportsPrefix(name))
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return s.Store.Get(ctx, key)
	}
	i, ok := s.number[parts[1]]
	if !ok {
		return nil, storage.Info{}, fmt.Errorf("%w: %q", storage.ErrNotExist, key)
	}
	if parts[2] != "header" {
		return s.Store.Get(ctx, pipeline.ReportPrefix(name, s.originals[s.original(i)].ID)+parts[2])
	}
	object, err := s.object(i)
	return io.NopCloser(bytes.NewReader(object)), storage.Info{Key: key, Size: int64(len(object))}, err
}

// benchRepeat is how often an addition of d values is repeated inside one timing.
const benchRepeat = 8

// floatTimers are plain additions of float32. There are as many updates as
// given: a single one stays in the cache, more come from memory, as reports do.
func floatTimers(d, updates int) []*benchTimer {
	x, y := make([]float32, d), make([][]float32, updates)
	for i := range y {
		y[i] = make([]float32, d)
		fillUpdate(y[i]) // else all pages would be one page of zeros
	}
	var timers []*benchTimer
	for _, add := range secaggbench.FloatAdds() {
		timers = append(timers, timerOf(func() error {
			for i := range max(benchRepeat, updates) {
				add(x, y[i%updates])
			}
			return nil
		}))
	}
	return timers
}

// measureAggregator compares adding one report, and its whole path, with adding floats.
func (b *bench) measureAggregator(ctx context.Context) error {
	w, err := b.largeWorld(ctx)
	if err != nil {
		return err
	}
	add, err := w.addTimer(ctx)
	if err != nil {
		return err
	}
	s, err := w.replay(ctx, b.sizes.replayed, true)
	if err != nil {
		return err
	}
	hash, err := w.hashTimer(ctx)
	if err != nil {
		return err
	}
	n := b.sizes.stored
	full := timerOf(func() error { _, err := s.sum(ctx, s.ids, nil); return err })
	near, far := floatTimers(b.sizes.values, 1), floatTimers(b.sizes.values, n)
	if err := interleave(ctx, b.sizes.reps, slices.Concat(near, far, []*benchTimer{add, hash, full})...); err != nil {
		return err
	}
	plain, cold, reports, d := fastest(near), fastest(far), len(s.ids), b.sizes.values
	b.put("aggregator_add_over_float32_add", add.over(plain, benchRepeat, benchRepeat))
	b.put("aggregator_full_over_float32_add", full.over(plain, reports, benchRepeat))
	b.put("sha256_over_float32_add", hash.over(plain, n, benchRepeat))
	b.put("aggregator_full_over_float32_add_uncached", full.over(cold, reports, max(benchRepeat, n)))
	b.put("float32_add_ns_per_value", plain.per(benchRepeat*d))
	b.put("float32_add_uncached_ns_per_value", cold.per(max(benchRepeat, n)*d))
	b.put("aggregator_add_ns_per_value", add.per(benchRepeat*d))
	b.put("sha256_ns_per_value", hash.per(n*d))
	b.put("aggregator_full_ns_per_value", full.per(reports*d))
	return nil
}

// hashTimer hashes the stored reports' pieces and does nothing else: what no verification can be cheaper than.
func (w *benchWorld) hashTimer(ctx context.Context) (*benchTimer, error) {
	var all [][]byte
	for i := range w.reports {
		_, pieces, err := w.read(ctx, i)
		if err != nil {
			return nil, err
		}
		all = append(all, pieces)
	}
	return timerOf(func() error {
		for _, pieces := range all {
			sha256.Sum256(pieces)
		}
		return nil
	}), nil
}

// addTimer adds one report, corr and all pieces, that was read and checked before.
func (w *benchWorld) addTimer(ctx context.Context) (*benchTimer, error) {
	rep, pieces, err := w.read(ctx, 0)
	if err != nil {
		return nil, err
	}
	sum := secagg.NewSum(w.round.Secagg)
	return timerOf(times(benchRepeat, func() error {
		if err := sum.AddCorr(rep.Corr()); err != nil {
			return err
		}
		return sum.AddBlocks(0, pieces)
	})), nil
}

// read returns report i with its pieces one after the other.
func (w *benchWorld) read(ctx context.Context, i int) (*schema.Report, []byte, error) {
	rep, err := w.round.ReadReport(ctx, w.store, w.reports[i])
	if err != nil {
		return nil, nil, err
	}
	var pieces []byte
	for j := range rep.Header.Pieces() {
		piece, err := storage.ReadAll(ctx, w.store, pipeline.PieceKey(w.round.Name, rep.ID, j), int64(rep.Header.PieceBytes(j)))
		if err != nil {
			return nil, nil, err
		}
		pieces = append(pieces, piece...)
	}
	return rep, pieces, nil
}

// sum verifies and adds reports by the aggregator's own path.
func (s *benchReplay) sum(ctx context.Context, ids []schema.ReportID, progress aggregator.Progress) (*aggregator.Result, error) {
	res, err := aggregator.Sum(ctx, s, s.world.round, ids, progress)
	if err == nil && (len(res.Reports) != len(ids) || len(res.Refused) > 0) {
		err = fmt.Errorf("added %d of %d reports, refused %d", len(res.Reports), len(ids), len(res.Refused))
	}
	return res, err
}

// measureMemory watches the live heap of one sum over few and over many reports.
func (b *bench) measureMemory(ctx context.Context) error {
	w, err := b.largeWorld(ctx)
	if err != nil {
		return err
	}
	few, err := b.memoryOf(ctx, w, b.sizes.few)
	if err != nil {
		return err
	}
	b.put("aggregator_memory_100", few)
	many, err := b.memoryOf(ctx, w, b.sizes.many)
	if err != nil {
		return err
	}
	b.put("aggregator_memory_10000", many)
	b.put("aggregator_memory_growth", max(many-few, few-many))
	return nil
}

// memoryOf is the largest live heap, beyond the store and the round, of a sum
// over n reports: at 20 places of it, and what is returned, which for a moment
// is there as well.
func (b *bench) memoryOf(ctx context.Context, w *benchWorld, n int) (float64, error) {
	s, err := w.replay(ctx, n, false)
	if err != nil {
		return 0, err
	}
	base, most := liveHeap(), uint64(0)
	res, err := s.sum(ctx, s.ids, func(done, total int) {
		if done%max(1, total/20) == 0 {
			most = max(most, grown(base))
		}
		b.app.out.Progress("adding reports", int64(done), int64(total))
	})
	most += grown(base)
	runtime.KeepAlive(res)
	runtime.KeepAlive(s)
	return float64(most), err
}
