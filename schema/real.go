package schema

import (
	"fmt"
	"math"
	"strconv"
)

// Real is a finite real parameter. In JSON it is a decimal string, the
// shortest that gives the same float64, so that every reader computes from the same number.
// Zero has no sign.
type Real float64

// MarshalText implements encoding.TextMarshaler.
func (r Real) MarshalText() ([]byte, error) {
	f := float64(r)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("schema: %v is not a finite number", f)
	}
	if f == 0 {
		f = 0 // drops the sign
	}
	return strconv.AppendFloat(nil, f, 'g', -1, 64), nil
}

// maxRealText bounds the text of a Real. No float64 needs more than 24 bytes; people may write longer ones.
const maxRealText = 64

// UnmarshalText implements encoding.TextUnmarshaler. It takes any decimal
// spelling, because people write task files; the JSON decoders take only the shortest.
func (r *Real) UnmarshalText(text []byte) error {
	f, err := strconv.ParseFloat(string(text[:min(len(text), maxRealText)]), 64)
	if err != nil || !decimal(text) || math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("%w: %.40q is not a finite decimal number", ErrFormat, text)
	}
	*r = Real(f)
	return nil
}

// decimal refuses hexadecimal numerals, underscores, names of infinities, and long texts.
func decimal(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return false
		}
	}
	return len(text) <= maxRealText
}
