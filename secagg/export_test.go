package secagg

import (
	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg/internal/redact"
)

// SeedOf makes a client seed from known bytes, so that tests know the noise.
func SeedOf(r [32]byte) ClientSeed { return ClientSeed{r: redact.Hide(r)} }

// DeriveSeed is section 4's R for a known u.
func DeriveSeed(u [32]byte, deviceSecret []byte, roundID, digest [32]byte) [32]byte {
	return deriveClientSeed(u, deviceSecret, roundID, digest).r.Get()
}

// AddSigned sets c to c + z + m mod q.
func AddSigned(c []uint32, z, m []int32, q uint32) { addSigned(c, z, m, q) }

// NoiseOf samples z_j again, all N positions.
func NoiseOf(p Params, seed ClientSeed, j int, z []int32) error {
	noise, err := p.c.noise()
	if err != nil {
		return err
	}
	r := seed.r.Get()
	noise.Sample(z, sampler.NewKey(sampler.Derive(r[:], "z")).Stream(uint64(j)))
	return nil
}

// SecretOf samples s again.
func SecretOf(p Params, seed ClientSeed) ([]int32, error) {
	width, err := secretNoise()
	if err != nil {
		return nil, err
	}
	s, r := make([]int32, p.N()), seed.r.Get()
	width.Sample(s, sampler.NewKey(sampler.Derive(r[:], "s")).Stream(0))
	return s, nil
}
