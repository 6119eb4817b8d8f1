package s3

import (
	"errors"
	"testing"

	"github.com/veilsum/veilsum/storage"
)

// TestSizeLimit is inside the package because nobody wants to allocate 5 GiB.
func TestSizeLimit(t *testing.T) {
	if err := checkSize("k", 5<<30); err != nil {
		t.Errorf("5 GiB: %v", err)
	}
	if err := checkSize("k", 5<<30+1); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("5 GiB and a byte: %v", err)
	}
}
