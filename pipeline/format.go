package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/veilsum/veilsum/storage"
	"github.com/veilsum/veilsum/storage/doctor"
)

// FormatKey is where a store says what it is.
const FormatKey = "veilsum.json"

const (
	formatFamily = "veilsum-store/"
	formatName   = formatFamily + "1"
	maxFormat    = 4 << 10 // bytes
)

var (
	// ErrFormat: the store was made by a newer program, or is something else.
	ErrFormat = errors.New("unknown store format")
	// ErrStore: the store breaks a promise, so nothing may be written to it.
	ErrStore = errors.New("store refused")
)

// StoreFormat is what a store says of itself (FORMAT.md section 15). The name stays
// "veilsum-store/1" as long as every program of that version can read the store.
type StoreFormat struct {
	Format string `json:"format"`
	ID     string `json:"id"` // random, for people: which store is this a copy of?
	// Region tells that this is a region's own store: of rounds it holds the region's reports, and copies of what
	// their vehicles need.
	Region bool `json:"region,omitempty"`
}

// ReadFormat returns what a store says of itself, storage.ErrNotExist if it says
// nothing, and ErrFormat if this program must not touch it.
func ReadFormat(ctx context.Context, s storage.Store) (StoreFormat, error) {
	var f StoreFormat
	raw, err := storage.ReadAll(ctx, s, FormatKey, maxFormat)
	if errors.Is(err, storage.ErrTooLarge) || errors.Is(err, storage.ErrDamaged) {
		return f, fmt.Errorf("%w: %s: %w", ErrFormat, FormatKey, err)
	}
	if err != nil {
		return f, err
	}
	err = json.Unmarshal(raw, &f)
	switch {
	case err != nil || !strings.HasPrefix(f.Format, formatFamily):
		return f, fmt.Errorf("%w: %s is not a description of a store", ErrFormat, FormatKey)
	case f.Format != formatName:
		return f, fmt.Errorf("%w: this is a store of format %.40q, this program knows %q", ErrFormat, f.Format, formatName)
	}
	return f, nil
}

// CheckFormat returns ErrFormat if this program must not touch the store. One that
// says nothing of itself passes: it may be a copy of part of a store.
func CheckFormat(ctx context.Context, s storage.Store) error {
	_, err := ReadFormat(ctx, s)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	return err
}

// Prepare is for whoever writes to a store first: it finds out whether the store
// refuses to overwrite, each time, since stores are copied to other servers, and makes the
// store say what it is. It returns ErrStore or ErrFormat if nothing may be written to it.
func Prepare(ctx context.Context, s storage.Store) error { return prepare(ctx, s, false) }

// PrepareRegion is Prepare for a region's own store.
func PrepareRegion(ctx context.Context, s storage.Store) error { return prepare(ctx, s, true) }

func prepare(ctx context.Context, s storage.Store, region bool) error {
	err := CheckFormat(ctx, s)
	if err != nil {
		return err
	}
	if err := doctor.Trust(ctx, s); errors.Is(err, storage.ErrLies) {
		return fmt.Errorf("%w: %w", ErrStore, err)
	} else if err != nil {
		return err
	}
	b, err := json.Marshal(StoreFormat{Format: formatName, ID: strings.ToLower(rand.Text()), Region: region})
	if err != nil {
		return err
	}
	if _, err := s.PutOnce(ctx, FormatKey, b); !errors.Is(err, storage.ErrConflict) {
		return err
	}
	return CheckFormat(ctx, s) // somebody else's counts
}
