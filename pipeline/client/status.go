package client

import (
	"maps"
	"slices"

	"github.com/veilsum/veilsum/pipeline/state"
	"github.com/veilsum/veilsum/schema"
)

// Status is what a vehicle's directory tells without any store.
type Status struct {
	Waiting []Waiting
	Tasks   []Given // sorted by scope, then task
}

// Given is what the vehicle gave to one task.
type Given struct {
	Scope          string // ScopeID
	Participations int    // counted in the scope, over all its tasks
	Task           schema.TaskID
	LastEpoch      uint64
	LastRound      schema.RoundID
	LastReport     schema.ReportID
}

// ReadStatus reads a vehicle's directory; damage is [ErrHistory].
func ReadStatus(d *state.Dir) (*Status, error) {
	h, err := readHistory(d)
	if err != nil {
		return nil, err
	}
	s := &Status{}
	if s.Waiting, err = outbox(d, h); err != nil {
		return nil, err
	}
	for _, scope := range slices.Sorted(maps.Keys(h.Scopes)) {
		x := h.Scopes[scope]
		for _, task := range slices.Sorted(maps.Keys(x.Tasks)) {
			t := x.Tasks[task]
			if !t.Reported {
				continue
			}
			g := Given{Scope: scope, Participations: x.Participations, LastEpoch: t.LastEpoch, LastRound: t.LastRound, LastReport: t.LastReport}
			if g.Task.Digest, err = schema.ParseDigest(task); err != nil {
				return nil, err
			}
			s.Tasks = append(s.Tasks, g)
		}
	}
	return s, nil
}

// Next returns the first epoch in which the vehicle may report again to a task
// with these limits, and false if it has given all that the task allows.
func (s *Status) Next(task schema.TaskID, scope schema.ScopeID, p schema.Participation) (uint64, bool) {
	next, given, last := uint64(0), 0, uint64(0)
	for _, g := range s.Tasks {
		if g.Scope == scope.String() {
			given = g.Participations
		}
		if g.Task == task {
			last, next = g.LastEpoch, g.LastEpoch+max(uint64(p.MinSeparation), 1)
		}
	}
	return next, next >= last && (p.Max == 0 || given < p.Max)
}
