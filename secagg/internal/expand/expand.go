// Package expand names the streams of PROTOCOL.md that more than one role
// reads: the public elements, and what follows from a seed.
package expand

import (
	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// SecretWidth is sigma_s of section 1, the width of the one-time secret.
const SecretWidth = 4.6

// Public returns the key whose stream j is the public element a_j of a round
// (section 3).
func Public(roundID [32]byte) *sampler.Key {
	return sampler.NewKey(sampler.Derive(roundID[:], "a"))
}

// Mask writes PRG(seed), N residues, to dst (section 4).
func Mask(r *ring.Ring, seed *[32]byte, dst []uint32) {
	r.Uniform(dst, sampler.NewKey(sampler.Derive(seed[:], "prg")).Stream(0))
}

// Commitment returns the commitment of a seed (section 4). It is KDF under a
// label of its own, so it reveals nothing about the mask, and it binds, as two
// seeds with one commitment collide in HKDF-SHA256.
func Commitment(seed *[32]byte) [32]byte {
	return sampler.Derive(seed[:], "com")
}
