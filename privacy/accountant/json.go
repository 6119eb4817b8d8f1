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
