package mem_test

import (
	"testing"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/mem"
	"github.com/veilsum/veilsum/storage/storagetest"
)

func TestConformance(t *testing.T) {
	store := mem.New()
	storagetest.Run(t, func(*testing.T) storage.Store { return store })
}
