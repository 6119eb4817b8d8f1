package fleetsim

import (
	"encoding/binary"
	"math"
)

// EncodeModel is the published form of a model: its values as little-endian float32, which every vehicle reads.
func EncodeModel(model []float32) []byte {
	b := make([]byte, 0, 4*len(model))
	for _, v := range model {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// DecodeModel reads what [EncodeModel] wrote; bytes behind the last whole value are passed over.
func DecodeModel(b []byte) []float32 {
	model := make([]float32, len(b)/4)
	for i := range model {
		model[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return model
}
