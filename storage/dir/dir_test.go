package dir_test

import (
	"testing"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/dir"
	"github.com/veilsum/veilsum/storage/storagetest"
)

func open(t *testing.T, root string, options ...dir.Option) *dir.Store {
	t.Helper()
	store, err := dir.Open(root, options...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestConformance(t *testing.T) {
	root := t.TempDir()
	storagetest.Run(t, func(t *testing.T) storage.Store { return open(t, root) })
}

func TestConformanceWithoutSync(t *testing.T) {
	root := t.TempDir()
	storagetest.Run(t, func(t *testing.T) storage.Store { return open(t, root, dir.WithoutSync()) })
}
