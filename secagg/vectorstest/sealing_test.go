package vectorstest

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/veilsum/veilsum/internal/sampler"
	"github.com/veilsum/veilsum/secagg/internal/ring"
)

// residue returns v mod q.
func residue(v int64, q uint32) uint32 {
	m := int64(q)
	return uint32((v%m + m) % m)
}

// sealCorr is s plus the masks of all seeds, packed.
func sealCorr(t *testing.T, r round, rep report) []byte {
	t.Helper()
	rg := newRing(t, r.Params.N, r.Params.Q)
	corr := make([]uint32, rg.N())
	for i, s := range int32s(rep.S) {
		corr[i] = residue(int64(s), rg.Q())
	}
	root := sampler.Derive(bytes.Join([][]byte{rep.U, rep.DeviceSecret, r.RoundID, rep.MessageDigest}, nil), "client")
	equal(t, "client seed", root[:], rep.ClientSeed)
	for i := range r.Sets {
		seed := sampler.Derive(rep.ClientSeed, "seed/"+strconv.Itoa(i))
		equal(t, "seed", seed[:], rep.Seeds[i])
		rg.Add(corr, uniform(rg, sampler.Derive(seed[:], "prg"), 0))
	}
	return pack(rg, corr)
}

// sealBlocks is a_j*s + z_j + m_j for all blocks, packed.
func sealBlocks(t *testing.T, r round, rep report) []byte {
	t.Helper()
	rg := newRing(t, r.Params.N, r.Params.Q)
	m, z := int32s(rep.M), int32s(rep.Z)
	mul := rg.NewScratch()
	mul.PrepareSecret(int32s(rep.S))
	public := sampler.NewKey(sampler.Derive(r.RoundID, "a"))
	var out []byte
	c := make([]uint32, rg.N())
	for j := range r.Params.Blocks {
		mul.MulA(c, public.Stream(uint64(j)))
		for i := range c {
			at := j*rg.N() + i
			v := int64(c[i]) + int64(z[at])
			if at < len(m) {
				v += int64(m[at])
			}
			c[i] = residue(v, rg.Q())
		}
		out = append(out, pack(rg, c)...)
	}
	return out
}

func pack(r *ring.Ring, c []uint32) []byte {
	out := make([]byte, r.BlockBytes())
	r.Pack(out, c)
	return out
}
