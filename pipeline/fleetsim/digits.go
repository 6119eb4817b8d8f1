package fleetsim

import (
	"fmt"
	"slices"
)

const (
	digitSide    = 28
	digitPooled  = digitSide / 2
	digitClasses = 10
)

// DigitRows is digits.arrow as plain columns: images of 28 by 28 gray values.
type DigitRows struct {
	// Pixels holds 784 values a row, row-major, 0 to 255.
	Pixels []int64
	// Labels holds the digit, 0 to 9.
	Labels []int64
}

// Digits prepares the digits: each image is averaged over squares of two by two
// pixels to 14 by 14 values in [0, 1] (a quarter of the bytes; the same on every
// vehicle, without looking at any other), and the last fifth of the rows is held
// out. It returns [ErrData] when the columns disagree or a
// value is out of range.
func Digits(rows DigitRows) (*Dataset, error) { return digitData(rows, true) }

// WholeDigits is [Digits] with all 28 by 28 pixels.
func WholeDigits(rows DigitRows) (*Dataset, error) { return digitData(rows, false) }

func digitData(rows DigitRows, pooled bool) (*Dataset, error) {
	n := len(rows.Labels)
	if len(rows.Pixels) != n*digitSide*digitSide {
		return nil, fmt.Errorf("%w: %d pixels for %d digits", ErrData, len(rows.Pixels), n)
	}
	if slices.ContainsFunc(rows.Pixels, func(p int64) bool { return p < 0 || p > 255 }) {
		return nil, fmt.Errorf("%w: a pixel is outside 0 to 255", ErrData)
	}
	data := &Dataset{
		Width:  digitSide * digitSide,
		Labels: make([]int, n), Classes: digitClasses, Test: make([]bool, n),
	}
	if pooled {
		data.Width = digitPooled * digitPooled
	}
	for i := range n {
		image := rows.Pixels[i*digitSide*digitSide:][:digitSide*digitSide]
		if pooled {
			data.Features = appendPooled(data.Features, image)
		} else {
			data.Features = appendWhole(data.Features, image)
		}
		data.Labels[i] = int(rows.Labels[i])
		data.Test[i] = i >= n*4/5
	}
	return data, data.validate()
}

// appendPooled appends the 14 by 14 averages of the image at the start of pixels.
func appendPooled(out []float32, pixels []int64) []float32 {
	for y := 0; y < digitSide; y += 2 {
		for x := 0; x < digitSide; x += 2 {
			at := y*digitSide + x
			sum := pixels[at] + pixels[at+1] + pixels[at+digitSide] + pixels[at+digitSide+1]
			out = append(out, float32(sum)/(4*255))
		}
	}
	return out
}

// appendWhole appends every pixel of the image, 0 to 1.
func appendWhole(out []float32, pixels []int64) []float32 {
	for _, p := range pixels {
		out = append(out, float32(p)/255)
	}
	return out
}
