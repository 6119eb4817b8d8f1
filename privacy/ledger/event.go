package ledger

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/veilsum/veilsum/privacy/accountant"
)

// maxEvent bounds the bytes of an event: an entry is small.
const maxEvent = 2 << 10

// encodeEvent returns the one spelling of an event in the log: the accountant's
// own JSON, so that whatever it can judge can be reserved.
func encodeEvent(e accountant.Event) ([]byte, error) {
	if e.Type == "" {
		return nil, fmt.Errorf("%w: no event", ErrEntry)
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	data, err := json.Marshal(e)
	if err != nil || len(data) > maxEvent {
		return nil, fmt.Errorf("%w: event of %d bytes, at most %d: %v", ErrEntry, len(data), maxEvent, err)
	}
	return data, nil
}

// parseEvent reads what encodeEvent wrote and nothing else.
func parseEvent(data []byte) (accountant.Event, bool) {
	if len(data) > maxEvent {
		return accountant.Event{}, false
	}
	e, err := accountant.ParseEvent(data)
	if err != nil {
		return accountant.Event{}, false
	}
	again, err := encodeEvent(e)
	return e, err == nil && string(again) == string(data)
}

// appendReal is the shortest decimal that gives the same float64, as in
// FORMAT.md: every reader computes from the same number.
func appendReal(b []byte, f float64) []byte {
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}
