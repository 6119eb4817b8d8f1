// Package delta turns one model into another with few bytes, exactly: what a
// vehicle gets by satellite in place of the whole new model (FORMAT.md section 13.7).
//
// [Encode] writes what [Decode] turns, with the same base, into the same bytes. It knows
// nothing of tensors: any two files have a delta. It is short where the bytes are float32 numbers and the new
// model lies on a grid, which [Round] makes: the noise of a private sum is far wider than its steps.
package delta

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrFormat is wrapped by every error about bytes that are no delta, or none from this base.
var ErrFormat = errors.New("delta: malformed delta")

// The header, before the compressed stream.
const (
	magic    = "VSDL\x01"
	headSize = len(magic) + 1 + 2 + 8

	modeWords = 0 // differences of the words as integers
	modeGrid  = 1 // differences of the values in steps of 2^e

	minExponent, maxExponent = -140, 100
	// maxSteps bounds the values in steps, so that differences fit into 32 bits.
	maxSteps = 1 << 30
)

// Encode returns a delta that turns base into model. exponent is that of the grid that [Round] put the
// model on; [NoGrid] if there is none. A model that is not on the grid is encoded without it.
func Encode(base, model []byte, exponent int) ([]byte, error) {
	head := binary.LittleEndian.AppendUint64(append([]byte(magic), modeWords, 0, 0), uint64(len(model)))
	z, ok := gridDiffs(base, model, exponent)
	if ok {
		head[len(magic)] = modeGrid
		binary.LittleEndian.PutUint16(head[len(magic)+1:], uint16(int16(exponent)))
	} else {
		z = wordDiffs(base, model)
	}
	var out bytes.Buffer
	out.Write(head)
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("delta: %w", err)
	}
	if err := errors.Join(writePlanes(w, z), w.Close()); err != nil {
		return nil, fmt.Errorf("delta: %w", err)
	}
	return out.Bytes(), nil
}

// NoGrid is the exponent of models that lie on no grid.
const NoGrid = math.MinInt

func words(size int) int { return (size + 3) / 4 }

// word is the i-th word of b, as if it were followed by zeros and cut at limit.
func word(b []byte, i, limit int) uint32 {
	var w [4]byte
	if from := 4 * i; from < min(len(b), limit) {
		copy(w[:], b[from:min(len(b), limit)])
	}
	return binary.LittleEndian.Uint32(w[:])
}

func zigzag(v int32) uint32 { return uint32(v)<<1 ^ uint32(v>>31) }

func unzigzag(z uint32) int32 { return int32(z>>1) ^ -int32(z&1) }

func wordDiffs(base, model []byte) []uint32 {
	z := make([]uint32, words(len(model)))
	for i := range z {
		z[i] = zigzag(int32(word(model, i, len(model)) - word(base, i, len(model))))
	}
	return z
}

// gridDiffs tells also whether the model is on the grid and both are within its range.
func gridDiffs(base, model []byte, exponent int) ([]uint32, bool) {
	if exponent < minExponent || exponent > maxExponent || len(model)%4 != 0 {
		return nil, false
	}
	z := make([]uint32, words(len(model)))
	for i := range z {
		w := word(model, i, len(model))
		k, ok := steps(w, exponent)
		b, okBase := steps(word(base, i, len(model)), exponent)
		if !ok || !okBase || value(k, exponent) != w {
			return nil, false
		}
		z[i] = zigzag(int32(k - b))
	}
	return z, true
}

// steps is a float32 in steps of 2^e, to the nearest, and whether it is in range. Scaling by a power of
// two is exact in float64 for every float32 and every exponent allowed.
func steps(w uint32, exponent int) (int64, bool) {
	k := math.RoundToEven(math.Ldexp(float64(math.Float32frombits(w)), -exponent))
	if !(math.Abs(k) <= maxSteps) { // NaN and Inf too
		return 0, false
	}
	return int64(k), true
}

// value is the float32 of k steps; never -0.
func value(k int64, exponent int) uint32 {
	return math.Float32bits(float32(math.Ldexp(float64(k), exponent)))
}

func writePlanes(w io.Writer, z []uint32) error {
	buf := make([]byte, 0, 1<<16)
	for p := range 4 {
		for i := 0; i < len(z); {
			buf = buf[:0]
			for ; i < len(z) && len(buf) < cap(buf); i++ {
				buf = append(buf, byte(z[i]>>(8*p)))
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// Decode returns the model that a delta makes of a base. size is what the model's bytes must be, as who signed
// for it states: no more memory than a few times that is used, whatever the delta holds. The caller compares the
// hash of the model.
func Decode(base, delta []byte, size int64) ([]byte, error) {
	if len(delta) < headSize || string(delta[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: not one of version 1", ErrFormat)
	}
	mode, exponent := delta[len(magic)], int(int16(binary.LittleEndian.Uint16(delta[len(magic)+1:])))
	switch stated := binary.LittleEndian.Uint64(delta[headSize-8:]); {
	case size < 0 || size > math.MaxInt32*8 || stated != uint64(size):
		return nil, fmt.Errorf("%w: it makes %d bytes, want %d", ErrFormat, stated, size)
	case mode == modeWords && exponent != 0 || mode > modeGrid:
		return nil, fmt.Errorf("%w: mode %d, exponent %d", ErrFormat, mode, exponent)
	case mode == modeGrid && (exponent < minExponent || exponent > maxExponent || size%4 != 0):
		return nil, fmt.Errorf("%w: a grid of 2^%d for %d bytes", ErrFormat, exponent, size)
	case !plausible(len(delta), size):
		return nil, fmt.Errorf("%w: %d bytes cannot hold the %d it makes", ErrFormat, len(delta), size)
	}
	z, err := readPlanes(delta[headSize:], words(int(size)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if mode == modeGrid {
		return applySteps(base, z, exponent)
	}
	return applyWords(base, z, int(size))
}

// plausible bounds what is allocated before the stream is read: DEFLATE makes at most 1032 bytes of one.
func plausible(have int, size int64) bool { return size/1040 <= int64(have) }

func applyWords(base []byte, z []uint32, size int) ([]byte, error) {
	out := make([]byte, 4*len(z))
	for i, x := range z {
		binary.LittleEndian.PutUint32(out[4*i:], word(base, i, size)+uint32(unzigzag(x)))
	}
	for _, c := range out[size:] {
		if c != 0 {
			return nil, fmt.Errorf("%w: the last word is not filled with zeros", ErrFormat)
		}
	}
	return out[:size], nil
}

func applySteps(base []byte, z []uint32, exponent int) ([]byte, error) {
	out := make([]byte, 4*len(z))
	for i, x := range z {
		b, ok := steps(word(base, i, len(out)), exponent)
		k := b + int64(unzigzag(x))
		if !ok || k < -maxSteps || k > maxSteps {
			return nil, fmt.Errorf("%w: value %d is off the grid", ErrFormat, i)
		}
		w := value(k, exponent)
		if f := math.Float32frombits(w); math.IsInf(float64(f), 0) {
			return nil, fmt.Errorf("%w: value %d is not finite", ErrFormat, i)
		}
		binary.LittleEndian.PutUint32(out[4*i:], w)
	}
	return out, nil
}

// readPlanes inflates exactly four planes of n bytes and refuses anything behind them.
func readPlanes(stream []byte, n int) ([]uint32, error) {
	src := bytes.NewReader(stream) // an io.ByteReader: flate reads no byte too many
	r := flate.NewReader(src)
	defer r.Close()
	z, buf := make([]uint32, n), make([]byte, min(n, 1<<16))
	for p := range 4 {
		for i := 0; i < n; {
			part := buf[:min(len(buf), n-i)]
			if _, err := io.ReadFull(r, part); err != nil {
				return nil, fmt.Errorf("the stream is short: %w", err)
			}
			for _, c := range part {
				z[i] |= uint32(c) << (8 * p)
				i++
			}
		}
	}
	if k, err := r.Read(make([]byte, 1)); k != 0 || err != io.EOF {
		return nil, errors.New("the stream does not end where the model does")
	}
	if src.Len() != 0 {
		return nil, fmt.Errorf("%d bytes behind the stream", src.Len())
	}
	return z, nil
}
