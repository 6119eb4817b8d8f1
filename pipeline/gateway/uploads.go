package gateway

import (
	"container/list"
	"sync"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// upload is a report that was announced: everything that a piece of it is compared with.
type upload struct {
	id      schema.ReportID
	vehicle schema.VehicleID
	round   pipeline.RoundName
	header  schema.Header
	pieces  []schema.Digest

	mu    sync.Mutex
	state []pieceState
}

// pieceState is what is known of a piece in the store.
type pieceState uint8

const (
	absent   pieceState = iota
	listed              // it has the right size; who wrote it is not known, since this process did not
	verified            // the announced bytes are durable
)

func (u *upload) set(j int, s pieceState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state[j] = s
}

// there notes that the store has a piece, of whomever.
func (u *upload) there(j int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state[j] = max(u.state[j], listed)
}

// seen takes over what a listing of the store says: sizes by piece.
func (u *upload) seen(sizes map[int]int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for j, s := range u.state {
		switch there := sizes[j] == int64(u.header.PieceBytes(j)); {
		case !there:
			u.state[j] = absent
		case s == absent:
			u.state[j] = listed
		}
	}
}

// with returns the runs of pieces in the given state.
func (u *upload) with(want pieceState) [][2]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	runs := [][2]int{}
	for j, s := range u.state {
		if s != want {
			continue
		}
		if n := len(runs); n > 0 && runs[n-1][1] == j-1 {
			runs[n-1][1] = j
		} else {
			runs = append(runs, [2]int{j, j})
		}
	}
	return runs
}

// memory is about what an upload takes.
func (u *upload) memory() int64 { return 768 + 33*int64(len(u.pieces)) }

// uploads remembers announced reports, in bounded memory: a vehicle whose report was
// forgotten announces it again.
type uploads struct {
	most int64

	mu     sync.Mutex
	m      map[schema.ReportID]*list.Element // of *upload
	order  list.List                         // the longest unused first
	memory int64
}

func newUploads(most int64) *uploads {
	return &uploads{most: most, m: map[schema.ReportID]*list.Element{}}
}

func (u *uploads) size() (n int, memory int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.m), u.memory
}

func (u *uploads) get(id schema.ReportID) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	e := u.m[id]
	if e == nil {
		return nil
	}
	u.order.MoveToBack(e)
	return e.Value.(*upload)
}

// add remembers a report and returns what is remembered, which may be older.
func (u *uploads) add(x *upload) *upload {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e := u.m[x.id]; e != nil {
		u.order.MoveToBack(e)
		return e.Value.(*upload)
	}
	u.m[x.id] = u.order.PushBack(x)
	u.memory += x.memory()
	for u.memory > u.most && u.order.Len() > 1 {
		u.remove(u.order.Front())
	}
	return x
}

func (u *uploads) drop(id schema.ReportID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e := u.m[id]; e != nil {
		u.remove(e)
	}
}

func (u *uploads) remove(e *list.Element) {
	x := u.order.Remove(e).(*upload)
	delete(u.m, x.id)
	u.memory -= x.memory()
}
