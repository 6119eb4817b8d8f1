package client

import (
	"bytes"

	"github.com/veilsum/veilsum/schema"
)

// ReadOutbox reads an outbox file from memory.
func ReadOutbox(b []byte) (*schema.Report, int64, error) {
	return readOutbox(bytes.NewReader(b), int64(len(b)))
}
