package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/gateway/remote"
	"github.com/veilsum/veilsum/schema"
)

// open opens the store, which for a vehicle may be a gateway, and the task in it.
func (f *clientFlags) open(ctx context.Context, a *app) (*opened, error) {
	if !strings.HasPrefix(f.store, "https://") {
		return f.taskFlags.open(ctx)
	}
	id, owner, err := f.ids()
	if err != nil {
		return nil, err
	}
	vehicle, _, err := a.readVehicle(f.state)
	if err != nil {
		return nil, err
	}
	roots, err := readCAs(f.ca)
	if err != nil {
		return nil, err
	}
	s, err := remote.Open(remote.Config{URL: f.store, Vehicle: vehicle.ID, Key: vehicle.Key, RootCAs: roots, Buckets: f.buckets})
	if err != nil {
		return nil, &usageError{Err: err, Hint: "--store https://HOST:PORT"}
	}
	p, err := pipeline.LoadTask(ctx, s, id, owner)
	if err != nil {
		return nil, err
	}
	return &opened{store: s, plan: p, id: id, owner: owner}, nil
}

// readCAs reads certificates that vouch for a gateway; nil means the system's.
func readCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, &usageError{Err: fmt.Errorf("--ca: no certificate in %s", file), Hint: "a PEM file, as \"veilsum serve --self-signed\" writes it"}
	}
	return pool, nil
}

// welcomedBy asks a gateway, which holds the snapshot, whether the vehicle's report would count.
func (f *clientFlags) welcomedBy(ctx context.Context, far *remote.Store, o *opened, vehicle schema.VehicleID) error {
	lane := schema.LaneOf(o.id, f.epoch, vehicle, o.plan.Task.Batch.Lanes)
	r, err := pipeline.LoadDescriptor(ctx, far, o.plan, pipeline.RoundName{Task: o.id, Epoch: f.epoch, Lane: lane})
	if err != nil {
		return err
	}
	if err := pipeline.Ended(ctx, far, r); err != nil {
		return err
	}
	err = far.Login(ctx, r.Name, r.ID)
	if errors.Is(err, remote.ErrRefused) {
		return withHint(err, "is the vehicle enrolled with this key in the round's snapshot, and --store the gateway's own name?")
	}
	return err
}
