package schema_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/schema"
)

// A decryptor signs its vote; the Collector reads it from the store and verifies it
// with the key that the task names.
func ExampleSignBody() {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // of decryptor 2
	vote := schema.Vote{
		Version:    schema.Version,
		RoundID:    schema.RoundID{Digest: schema.Hash("descriptor", []byte("…"))},
		Index:      2,
		Manifest:   schema.ManifestID{Digest: schema.Hash("manifest", []byte("…"))},
		Checkpoint: schema.Hash("reservation", []byte("…")),
	}
	signed, err := schema.SignBody(vote, key)
	if err != nil {
		fmt.Println(err)
		return
	}

	data := signed.Bytes() // travels through a store that nobody trusts
	read, err := schema.Decode[schema.Vote](data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("decryptor", read.Body.Index, "votes for", read.Body.Manifest.Short(), "verify:", read.Verify(schema.NewPublicKey(key)))

	data[len(`{"body":{"version":1,"round_id":"`)] ^= 1 // another round
	if forged, err := schema.Decode[schema.Vote](data); err == nil {
		fmt.Println("verify:", forged.Verify(schema.NewPublicKey(key)))
	}
	data[0] = ' '
	_, err = schema.Decode[schema.Vote](data)
	fmt.Println("malformed:", errors.Is(err, schema.ErrFormat))

	_, err = schema.SignBody(schema.Vote{Version: schema.Version, Index: 16}, key)
	fmt.Println(err)
	// Output:
	// decryptor 2 votes for dc3900d7 verify: <nil>
	// verify: schema: signature does not verify: vote
	// malformed: true
	// schema: malformed object: vote.index: 16: want 0 to 15
}

// Vehicles are spread over the lanes of an epoch by a hash, anew in every epoch.
func ExampleLaneOf() {
	task := schema.TaskID{Digest: schema.Hash("task", []byte("…"))}
	for epoch := range uint64(3) {
		fmt.Printf("epoch %d:", epoch)
		for v := range byte(4) {
			fmt.Print(" ", schema.LaneOf(task, epoch, schema.VehicleID{v}, 4))
		}
		fmt.Println()
	}
	// Output:
	// epoch 0: 2 3 0 1
	// epoch 1: 1 3 1 1
	// epoch 2: 1 3 1 1
}

// The enrollment authority publishes who may report; everybody looks up keys in it.
func ExampleSnapshot() {
	authority := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	vehicle := schema.VehicleID{0xca, 0xfe}
	snapshot, err := schema.NewSnapshot(schema.ScopeID{}, 1, []schema.Enrolled{
		{ID: vehicle, Key: schema.NewPublicKey(authority)},
	}, authority)
	if err != nil {
		fmt.Println(err)
		return
	}
	read, err := schema.DecodeSnapshot(snapshot.Bytes())
	if err != nil {
		fmt.Println(err)
		return
	}
	_, enrolled := read.Key(vehicle)
	_, stranger := read.Key(schema.VehicleID{1})
	fmt.Println(read.Verify(schema.NewPublicKey(authority)), enrolled, stranger, len(read.Bytes()), "bytes")
	// Output: <nil> true false 164 bytes
}
