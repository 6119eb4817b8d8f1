package gateway

import (
	"sync"
	"time"

	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
)

// maxBuckets bounds the vehicles whose rate is remembered; only enrolled ones get here.
const maxBuckets = 1 << 16

// rates is a token bucket for each vehicle.
type rates struct {
	now   func() time.Time
	rate  float64
	burst float64

	mu sync.Mutex
	m  map[schema.VehicleID]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newRates(now func() time.Time, rate float64, burst int) *rates {
	return &rates{now: now, rate: rate, burst: float64(burst), m: map[schema.VehicleID]bucket{}}
}

// take counts one request of a vehicle, or refuses it.
func (r *rates) take(v schema.VehicleID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	b, ok := r.m[v]
	if !ok {
		r.tidy(now)
		b = bucket{tokens: r.burst, at: now}
	}
	b.tokens = min(r.burst, b.tokens+r.rate*max(0, now.Sub(b.at).Seconds()))
	b.at = now
	if b.tokens < 1 {
		r.m[v] = b
		return &refusal{code: wire.CodeRate, message: "too many requests of this vehicle", after: 1 + int(1/r.rate)}
	}
	b.tokens--
	r.m[v] = b
	return nil
}

// tidy forgets vehicles that have been quiet, and if that is not enough all: a fleet this size
// is bounded by the uploads.
func (r *rates) tidy(now time.Time) {
	if len(r.m) < maxBuckets {
		return
	}
	for v, b := range r.m {
		if b.tokens+r.rate*now.Sub(b.at).Seconds() >= r.burst {
			delete(r.m, v)
		}
	}
	if len(r.m) >= maxBuckets {
		clear(r.m)
	}
}
