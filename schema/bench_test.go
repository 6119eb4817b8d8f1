package schema_test

import (
	"encoding/binary"
	"testing"

	"github.com/veilsum/veilsum/schema"
)

// BenchmarkDecode reads one object of each size class; bytes/s are of the encoded object.
func BenchmarkDecode(b *testing.B) {
	manifest := testManifest()
	manifest.Reports = make([]schema.ReportID, 10_000)
	for i := range manifest.Reports {
		binary.BigEndian.PutUint32(manifest.Reports[i].Digest[:], uint32(i))
	}
	vehicles := make([]schema.Enrolled, 10_000)
	for i := range vehicles {
		binary.BigEndian.PutUint32(vehicles[i].ID[:], uint32(i))
		vehicles[i].Key = schema.PublicKey(schema.Hash("key", vehicles[i].ID[:]))
	}
	snapshot, err := schema.NewSnapshot(schema.ScopeID{}, 1, vehicles, testKey("authority"))
	must(b, err)
	for _, o := range []object{
		signedObject(b, "vote", testVote(), "d2"), signedObject(b, "task", testTask(), "owner"),
		signedObject(b, "manifest of 10,000 reports", manifest, "collector"),
		{"report", testReport(b).Bytes(), "vehicle", decodeReport},
		{"snapshot of 10,000 vehicles", snapshot.Bytes(), "authority", decodeSnapshot},
	} {
		b.Run(o.name, func(b *testing.B) {
			b.SetBytes(int64(len(o.bytes)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, verified, err := o.decode(o.bytes); err != nil || verified != nil {
					b.Fatal(err, verified)
				}
			}
		})
	}
}
