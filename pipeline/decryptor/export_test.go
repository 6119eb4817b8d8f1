package decryptor

import "github.com/veilsum/veilsum/secagg"

// DecodeRoundFile reads a round's state file and writes it again.
func DecodeRoundFile(p secagg.Params, b []byte) ([]byte, error) {
	f, err := decodeRoundFile(p, b)
	if err != nil {
		return nil, err
	}
	return (&Decryptor{}).encode(f)
}
