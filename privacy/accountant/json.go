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
