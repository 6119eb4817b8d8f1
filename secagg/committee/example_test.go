package committee_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log"

	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/secagg/committee"
)

// One decryptor's round: it votes once, and answers once, when enough members
// voted for the same list.
func Example() {
	p, err := secagg.New(secagg.Literal{
		N: 1024, Q: 249857, Values: 5000, LocalStdDev: 35,
		Committee: secagg.DefaultCommittee, Suite: secagg.SuiteHybrid,
	})
	if err != nil {
		log.Fatal(err)
	}
	key, err := secagg.GenerateRoundKey(p.Suite())
	if err != nil {
		log.Fatal(err)
	}
	record, err := committee.NewRecord(p, 0, sha256.Sum256([]byte("round 1")), key)
	if err != nil {
		log.Fatal(err)
	}

	manifest, checkpoint := sha256.Sum256([]byte("manifest")), sha256.Sum256([]byte("checkpoint"))
	record, err = record.Vote(manifest, checkpoint) // store it, then send the vote
	fmt.Println(record.State(), err)
	_, err = record.Vote(sha256.Sum256([]byte("another list")), checkpoint)
	fmt.Println(errors.Is(err, committee.ErrVotedOther))

	shares, err := committee.NewShares(p, 0) // Add the seeds of every report of the list
	if err != nil {
		log.Fatal(err)
	}
	var votes []committee.VoteRef // verified votes of the members
	for k := range 2 {
		votes = append(votes, committee.VoteRef{Index: k, Manifest: manifest, Checkpoint: checkpoint})
	}
	_, err = record.Answer(manifest, checkpoint, votes, shares.Packed())
	fmt.Println(err)
	votes = append(votes, committee.VoteRef{Index: 2, Manifest: manifest, Checkpoint: checkpoint})
	record, err = record.Answer(manifest, checkpoint, votes, shares.Packed()) // store it, then send the answer
	fmt.Println(record.State(), err)
	_, err = record.Key()
	fmt.Println(err)
	// Output:
	// voted <nil>
	// true
	// committee: too few votes: 2 of 3
	// answered <nil>
	// committee: round key erased
}
