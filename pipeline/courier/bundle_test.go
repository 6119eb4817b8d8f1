package courier

import (
	"errors"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// TestNobodyReadsWhatIsNotWritten: what decode would refuse for its number of objects is not encoded.
func TestNobodyReadsWhatIsNotWritten(t *testing.T) {
	if _, err := encode(make([]object, maxObjects+1)); !errors.Is(err, schema.ErrFormat) {
		t.Error(err)
	}
	if _, err := encode(make([]object, maxObjects)); err != nil {
		t.Error(err)
	}
}
