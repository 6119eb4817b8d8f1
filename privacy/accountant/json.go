package accountant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
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
	if err := errors.Join(spelled(data, false), e.Validate()); err != nil {
		return Event{}, err
	}
	return e, nil
}

// object is one that [spelled] is inside of; a list has no names.
type object struct {
	names map[string]bool
	kind  string // its "type"
}

// spelled refuses objects that name a field twice, also in another case: encoding/json takes the last one, other
// readers the first, and they would read different claims from one record. With complete, also compositions that leave out
// their count or events, and zCDP without rho: as plain data they are nothing and cost
// nothing, in a question they are a mistake. data is valid JSON.
func spelled(data []byte, complete bool) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	var open []object
	for name, field := false, ""; ; {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %v", ErrEvent, err)
		}
		text, isText := t.(string)
		switch {
		case t == json.Delim('{'):
			open = append(open, object{names: map[string]bool{}})
		case t == json.Delim('['):
			open = append(open, object{})
		case t == json.Delim('}') || t == json.Delim(']'):
			if err := open[len(open)-1].lacks(); complete && err != nil {
				return err
			}
			open = open[:len(open)-1]
		case name:
			field = strings.ToLower(strings.ToUpper(text)) // as encoding/json folds names
			if open[len(open)-1].names[field] {
				return fmt.Errorf("%w: field %.40q twice", ErrEvent, text)
			}
			open[len(open)-1].names[field] = true
			name = false
			continue
		case isText && field == "type" && len(open) > 0:
			open[len(open)-1].kind = text
		}
		name, field = len(open) > 0 && open[len(open)-1].names != nil, ""
	}
}

// lacks tells which field an event cannot do without.
func (o *object) lacks() error {
	for kind, field := range map[EventType]string{SelfComposed: "count", Composed: "events", ZCDP: "rho"} {
		if o.kind == string(kind) && !o.names[field] {
			return fmt.Errorf("%w: %s without %s", ErrEvent, kind, field)
		}
	}
	return nil
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
// nothing about what was released. No field may be named twice, and no composition
// may leave out its count or its events.
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
	if err := errors.Join(spelled(data, false), spelled(raw.Event, true)); err != nil {
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
