package arrowchild_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/veilsum/veilsum/cmd/veilsum/internal/arrowchild"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/schema/arrowipc"
)

var ctx = context.Background()

// TestMain is also the child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == arrowchild.Command {
		if err := arrowchild.Main(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var tensors = []schema.Tensor{
	{Name: "layer.weight", DType: "float32", Shape: []int{40, 30}}, {Name: "layer.bias", DType: "float64", Shape: []int{30}}, {Name: "scale", DType: "float32", Shape: []int{}},
}

func update(t *testing.T) (path string, values []float32) {
	t.Helper()
	for i := range 40*30 + 30 + 1 {
		values = append(values, float32(i)/7)
	}
	b, err := arrowipc.EncodeUpdate(tensors, values)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, b), values
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "update.arrow")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	path, want := update(t)
	got, err := arrowchild.ReadUpdate(ctx, path, tensors)
	if err != nil || !slices.Equal(got, want) {
		t.Fatal(len(got), err)
	}
	told, err := arrowchild.ReadSchema(ctx, path)
	if err != nil || len(told) != 3 || told[0].Name != "layer.weight" {
		t.Fatal(told, err)
	}
}

func TestErrors(t *testing.T) {
	path, _ := update(t)
	other := slices.Clone(tensors)
	other[0].Shape = []int{30, 40}
	for name, c := range map[string]struct {
		path string
		want error
		of   []schema.Tensor
	}{
		"another shape":  {path, arrowipc.ErrMismatch, other},
		"not there":      {path + "x", fs.ErrNotExist, tensors},
		"no Arrow file":  {write(t, []byte("hello")), arrowipc.ErrFile, tensors},
		"an empty file":  {write(t, nil), arrowipc.ErrFile, tensors},
		"no file at all": {t.TempDir(), arrowipc.ErrFile, tensors},
	} {
		if _, err := arrowchild.ReadUpdate(ctx, c.path, c.of); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := arrowchild.ReadUpdate(gone, path, tensors); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestLengthBomb: the bytes that made the reader ask for tens of gigabytes are an error.
func TestLengthBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long with the race detector; one goroutine")
	}
	path, _ := update(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	died, step := 0, 4 // every word of the schema
	if os.Getenv("VEILSUM_SLOW") != "1" {
		step = 12
	}
	for at := 8; at+4 <= min(len(good), 1200); at += step {
		b := slices.Clone(good)
		binary.LittleEndian.PutUint32(b[at:], 0x3fffffff)
		if testing.Short() && at%48 != 8 {
			continue
		}
		if _, err := arrowchild.ReadUpdate(ctx, write(t, b), tensors); err != nil && !errors.Is(err, arrowipc.ErrFile) && !errors.Is(err, arrowipc.ErrMismatch) {
			t.Errorf("word %d: %v", at, err)
		} else if err != nil {
			died++
		}
	}
	t.Logf("%d of the changed files were refused", died)
}

// TestMutatedFiles: whatever is wrong with a file, this process lives and says so, or reads as many values as the task has.
func TestMutatedFiles(t *testing.T) {
	n := 40
	switch {
	case os.Getenv("VEILSUM_SLOW") == "1":
		n = 5000
	case testing.Short():
		n = 8
	}
	path, _ := update(t)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	read, refused, killed := 0, 0, 0
	for i := range n {
		got, err := arrowchild.ReadUpdate(ctx, write(t, mutate(r, good)), tensors)
		switch {
		case err == nil && len(got) == 1231:
			read++
		case errors.Is(err, arrowchild.ErrDied):
			killed++
		case errors.Is(err, arrowipc.ErrFile) || errors.Is(err, arrowipc.ErrMismatch):
			refused++
		default:
			t.Errorf("file %d: %d values, %v", i, len(got), err)
		}
	}
	t.Logf("%d mutated files: %d read (the change hit values, which have no checksum, or nothing), %d refused, %d ended the child", n, read, refused, killed)
}

// mutate changes a file as power cuts, bad disks and attackers do, most often near its ends.
func mutate(r *rand.Rand, good []byte) []byte {
	b := slices.Clone(good)
	at := r.IntN(len(b))
	if r.IntN(4) > 0 {
		at = min(r.IntN(1500), len(b)-1)
		if r.IntN(2) == 0 {
			at = len(b) - 1 - at
		}
	}
	n := min(1+r.IntN(8), len(b)-at)
	switch r.IntN(5) {
	case 0:
		return b[:at]
	case 1:
		b[at] ^= 1 << r.IntN(8)
	case 2:
		for i := range n {
			b[at+i] = byte(r.Uint32())
		}
	case 3:
		fill := [3]byte{0xff, 0x7f, 0x80}[r.IntN(3)]
		for i := range n {
			b[at+i] = fill
		}
	case 4:
		return slices.Delete(b, at, at+n)
	}
	return b
}
