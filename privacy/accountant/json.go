package accountant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxJSON bounds the text of one event.
const maxJSON = 16 << 20

// ParseEvent reads one event from JSON and validates it. Unknown fields, data
// after the event and more than 16 MiB are refused.
func ParseEvent(data []byte) (Event, error) {
	if len(data) > maxJSON {
		return Event{}, fmt.Errorf("%w: %d bytes, want at most %d", ErrEvent, len(data), maxJSON)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var e Event
	if err := dec.Decode(&e); err != nil {
		return Event{}, fmt.Errorf("%w: %v", ErrEvent, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Event{}, fmt.Errorf("%w: data after the event", ErrEvent)
	}
	if err := e.Validate(); err != nil {
		return Event{}, err
	}
	return e, nil
}

// Query is one question to the accountants, in the form of the project's known
// answers.
type Query struct {
	Event    Event
	Relation NeighboringRelation
	Delta    float64
}

// ParseQuery reads an object with event, relation and delta from JSON. The
// event is read as strictly as by [ParseEvent]; other fields of the
// object, such as a name or an expected answer, are ignored, because they say
// nothing about what was released.
func ParseQuery(data []byte) (Query, error) {
	if len(data) > maxJSON {
		return Query{}, fmt.Errorf("%w: %d bytes, want at most %d", ErrEvent, len(data), maxJSON)
	}
	var raw struct {
		Event    json.RawMessage      `json:"event"`
		Relation *NeighboringRelation `json:"relation"`
		Delta    *float64             `json:"delta"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return Query{}, fmt.Errorf("%w: %v", ErrEvent, err)
	}
	if raw.Event == nil || raw.Relation == nil || raw.Delta == nil {
		return Query{}, fmt.Errorf("%w: want event, relation and delta", ErrEvent)
	}
	e, err := ParseEvent(raw.Event)
	if err != nil {
		return Query{}, err
	}
	if err := checkDelta(*raw.Delta); err != nil {
		return Query{}, err
	}
	if _, err := newCurve(nil, *raw.Relation); err != nil {
		return Query{}, err
	}
	return Query{Event: e, Relation: *raw.Relation, Delta: *raw.Delta}, nil
}

// StepCounts are the numbers of leaves of one or more trees. In JSON a single
// number stands for a list of one.
type StepCounts []int64

// UnmarshalJSON reads a number or a list of numbers.
func (s *StepCounts) UnmarshalJSON(data []byte) error {
	var one int64
	if json.Unmarshal(data, &one) == nil && !bytes.Equal(data, []byte("null")) {
		*s = StepCounts{one}
		return nil
	}
	var list []int64
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*s = list
	return nil
}

// MarshalJSON writes a number if there is just one.
func (s StepCounts) MarshalJSON() ([]byte, error) {
	if len(s) == 1 {
		return json.Marshal(s[0])
	}
	return json.Marshal([]int64(s))
}

func (s StepCounts) validate() error {
	if len(s) == 0 || len(s) > maxTrees {
		return fmt.Errorf("%w: %d step_counts, want 1 to %d", ErrEvent, len(s), maxTrees)
	}
	for _, n := range s {
		if err := whole("a step count", n, 1, maxUnits); err != nil {
			return err
		}
	}
	return nil
}
