package s3

import (
	"errors"
	"testing"

	"github.com/veilsum/veilsum/storage"
)

// TestSizeLimit is inside the package because nobody wants to allocate 5 GiB.
func TestSizeLimit(t *testing.T) {
	tests := map[string]struct {
		partsFrom, most int64
	}{
		"single PUT": {-1, 5 << 30},
		"in parts":   {64 << 20, 10_000 * (16 << 20)},
	}
	for name, test := range tests {
		s := &Store{config: Config{PartsFrom: test.partsFrom, PartSize: 16 << 20}}
		if err := s.checkSize("k", test.most); err != nil {
			t.Errorf("%s: %d bytes: %v", name, test.most, err)
		}
		if err := s.checkSize("k", test.most+1); !errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("%s: a byte more: %v", name, err)
		}
	}
}
