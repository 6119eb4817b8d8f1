package main

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/pipeline/fleetsim/realshare"
	"github.com/veilsum/veilsum/storage/dir"
)

// calibrate runs the real roles and takes what they measured for everything that was left open.
func (x *simRun) calibrate(ctx context.Context) error {
	n, r, d := x.flags.real, &x.sim.Report, planet.Defaults().Report
	if share := x.flags.realShare; share != 0 {
		if !(share > 0 && share <= 1) {
			return usage("--real-share %g: want above 0, at most 1", share)
		}
		n = max(8, int(math.Ceil(share*float64(x.sim.Vehicles))))
	}
	scenario := x.sim.Scenario
	setDefault(&scenario.Report.ConnectBytes, d.ConnectBytes)
	if scenario.Report.ConnectTrips == 0 {
		scenario.Report.ConnectTrips = d.ConnectTrips
	}
	if err := scenario.Validate(); err != nil {
		return err
	}
	if n == 0 {
		x.sim.Scenario = scenario
		return nil
	}
	root, err := os.MkdirTemp("", "veilsum-simulate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	store, err := dir.Open(filepath.Join(root, "store"), dir.WithoutSync())
	if err != nil {
		return err
	}
	x.real, err = realshare.Run(ctx, realshare.Config{
		Store: store, Folder: filepath.Join(root, "state"), Scenario: scenario, Privacy: x.sim.task().Privacy, Suite: x.sim.Privacy.Suite, Vehicles: n, Clock: processorTime,
		Progress: func(what string, done, total int) { x.app.out.Progress(what, int64(done), int64(total)) },
	})
	if err != nil {
		return err
	}
	if x.real.ConnectTrips > 0 { // somebody got through without a break
		setDefault(&r.ConnectBytes, (x.real.ConnectBytes+1023)/1024*1024) // signatures and hashes differ by some bytes from run to run
		if r.ConnectTrips == 0 {
			r.ConnectTrips = math.Ceil(x.real.ConnectTrips)
		}
	}
	setDefault(&r.ConnectBytes, scenario.Report.ConnectBytes)
	if r.ConnectTrips == 0 {
		r.ConnectTrips = scenario.Report.ConnectTrips
	}
	return nil
}

// processorTime is benchClock for those who cannot fail.
func processorTime() time.Duration {
	t, err := benchClock()
	if err != nil {
		return 0
	}
	return t
}
