package s3_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/s3"
	"github.com/veilsum/veilsum/storage/storagetest"
)

func benchmarkStore(b *testing.B) *s3.Store {
	config, err := s3.ParseURL(storagetest.StartVersityGW(b, false))
	if err != nil {
		b.Fatal(err)
	}
	store, err := s3.Open(config)
	if err != nil {
		b.Fatal(err)
	}
	return store
}

func BenchmarkPutOnce(b *testing.B) {
	for name, size := range map[string]int{"4KiB": 4 << 10, "64MiB": 64 << 20} {
		b.Run(name, func(b *testing.B) {
			store := benchmarkStore(b)
			content := make([]byte, size)
			_, _ = rand.Read(content)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				if _, err := store.PutOnce(b.Context(), fmt.Sprintf("k/%d", i), content); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet64MiB(b *testing.B) {
	store := benchmarkStore(b)
	const size = 64 << 20
	if _, err := store.PutOnce(b.Context(), "k", make([]byte, size)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		if _, err := storage.ReadAll(b.Context(), store, "k", size); err != nil {
			b.Fatal(err)
		}
	}
}
