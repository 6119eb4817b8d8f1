package secagg_test

import (
	"crypto/sha256"
	"fmt"
	"log"

	"github.com/veilsum/veilsum/secagg"
)

// A vehicle seals one update of 5,000 values; an aggregator adds it to the
// sum of its round. What only the committee can do with that sum is shown in
// package committee.
func Example() {
	p, err := secagg.New(secagg.Literal{
		N: 1024, Q: 249857,
		Values:      5000,
		LocalStdDev: 35,
		Committee:   secagg.DefaultCommittee,
		Suite:       secagg.SuiteHybrid,
	})
	if err != nil {
		log.Fatal(err)
	}
	roundID := sha256.Sum256([]byte("round 1"))
	key, err := secagg.GenerateRoundKey(p.Suite()) // a decryptor's
	if err != nil {
		log.Fatal(err)
	}

	seed, err := secagg.NewClientSeed(make([]byte, 32), roundID, sha256.Sum256([]byte("the update")))
	if err != nil {
		log.Fatal(err)
	}
	sum := secagg.NewSum(p)
	update := func(offset int, dst []int32) error {
		for i := range dst {
			dst[i] = int32((offset + i) % 3)
		}
		return nil
	}
	sealed, err := secagg.Seal(p, roundID, seed, update, sum.AddBlocks)
	if err != nil {
		log.Fatal(err)
	}
	if err := sum.AddCorr(sealed.Corr()); err != nil {
		log.Fatal(err)
	}
	box, err := sealed.Box(0, key.Public(), sha256.Sum256([]byte("header")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Blocks(), "blocks of", p.BlockBytes(), "bytes,", p.Witnesses(), "witnesses")
	fmt.Println(len(sealed.Commitments()), "commitments, a box of", len(box), "bytes")
	fmt.Println(sealed, key, seed)
	// Output:
	// 6 blocks of 2304 bytes, 1144 witnesses
	// 6 commitments, a box of 1232 bytes
	// [redacted] [redacted] [redacted]
}
