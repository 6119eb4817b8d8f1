package gateway

import (
	"sync"

	"github.com/veilsum/veilsum/pipeline/gateway/internal/wire"
	"github.com/veilsum/veilsum/schema"
)

// maxPlaces bounds the bodies of one vehicle at the same time, which are a quarter of all at most; its own
// program sends one.
const maxPlaces = 16

// places bounds the bodies that are read at the same time. Logins have places of their own: who has no key
// must not hold up those who do.
type places struct {
	uploads, logins chan struct{}
	most            int // of one vehicle

	mu sync.Mutex
	of map[schema.VehicleID]int // uploads of each vehicle
}

func newPlaces(most int) *places {
	return &places{
		uploads: make(chan struct{}, most), logins: make(chan struct{}, most),
		most: min(maxPlaces, max(1, most/4)), of: map[schema.VehicleID]int{},
	}
}

// place makes room for one body, or sends the vehicle away: nobody queues in memory.
func (g *Gateway) place(x *exchange) (release func(), err error) {
	if g.stops.Load() {
		return nil, unavailable(nil, "stopping")
	}
	if x.vehicle == nil {
		return enter(g.places.logins)
	}
	leave, err := enter(g.places.uploads)
	if err != nil {
		return nil, err
	}
	if !g.places.enter(*x.vehicle) {
		leave()
		return nil, &refusal{code: wire.CodeRate, message: "too many uploads of this vehicle", after: retrySeconds}
	}
	return func() { leave(); g.places.leave(*x.vehicle) }, nil
}

func enter(all chan struct{}) (leave func(), err error) {
	select {
	case all <- struct{}{}:
		return func() { <-all }, nil
	default:
		return nil, unavailable(nil, "too many uploads at the moment")
	}
}

func (p *places) enter(v schema.VehicleID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[v] >= p.most {
		return false
	}
	p.of[v]++
	return true
}

func (p *places) leave(v schema.VehicleID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[v]--; p.of[v] <= 0 {
		delete(p.of, v)
	}
}
