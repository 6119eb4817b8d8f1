package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/veilsum/veilsum/schema"
)

type vehicleFlags struct {
	state, id string
	minBatch  int
	noise     float64
}

func (a *app) clientInitCommand() *cobra.Command {
	f := &vehicleFlags{}
	c := verb("init", "Make a vehicle's key, then give it its pseudonym", `Without --id: makes the vehicle's signing key in --state, if there is none, and
prints the public key, which the authority enrolls ("fleet enroll KEY"). With
--id: writes the pseudonym that the authority answered, a device secret that
hedges the vehicle's randomness, and the vehicle's own floor: a task with a
smaller min_batch_size or noise_multiplier is refused.`,
		`  veilsum client init --state v7
  veilsum client init --state v7 --id 00112233445566778899aabbccddeeff --min-batch-size 100`, cobra.NoArgs,
		func(context.Context, []string) error { return a.clientInit(f) })
	c.Flags().StringVar(&f.state, "state", "", "the vehicle's directory")
	c.Flags().StringVar(&f.id, "id", "", "the vehicle's pseudonym, 32 hexadecimal digits")
	c.Flags().IntVar(&f.minBatch, "min-batch-size", 0, "refuse tasks with a smaller min_batch_size")
	c.Flags().Float64Var(&f.noise, "noise-multiplier", 0, "refuse tasks with a smaller noise_multiplier")
	must(c.MarkFlagRequired("state"))
	return c
}

func (a *app) clientInit(f *vehicleFlags) error {
	key, err := a.vehicleKey(f.state)
	if err != nil {
		return err
	}
	if f.id != "" {
		var id schema.VehicleID
		if err := id.UnmarshalText([]byte(f.id)); err != nil {
			return usage("--id: %w", err)
		}
		if err := writeVehicle(f.state, vehicleConfig{ID: id, MinBatchSize: f.minBatch, NoiseMultiplier: f.noise}); err != nil {
			return err
		}
	}
	a.out.Result(publicResult{key})
	return nil
}

// vehicleKey makes the signing key if there is none.
func (a *app) vehicleKey(dir string) (schema.PublicKey, error) {
	path := filepath.Join(dir, identityFile)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return schema.PublicKey{}, err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		key, err := a.newKey(path, nil, false)
		return schema.NewPublicKey(key), err
	}
	key, err := a.readKey(path)
	if err != nil {
		return schema.PublicKey{}, err
	}
	return schema.NewPublicKey(key), nil
}

// notEnrolled explains why a vehicle's report would not count.
func notEnrolled(id schema.VehicleID) error {
	return withHint(fmt.Errorf("vehicle %s is not in the round's enrollment snapshot with this key", id),
		"the authority enrolls it (\"veilsum fleet enroll\"); rounds opened afterwards take its reports")
}
