package client

import (
	"bytes"

	"github.com/veilsum/veilsum/schema"
)

// ReadOutbox reads an outbox file from memory.
func ReadOutbox(b []byte) (*schema.Report, int64, error) {
	return readOutbox(bytes.NewReader(b), int64(len(b)))
}

// DecodeHistory reads a history file and writes it again.
func DecodeHistory(b []byte) ([]byte, error) {
	h, err := decodeHistory(b)
	if err != nil {
		return nil, err
	}
	return encodeHistory(h)
}
