package realshare_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/veilsum/veilsum/pipeline/fleetsim/planet"
	"github.com/veilsum/veilsum/pipeline/fleetsim/realshare"
	"github.com/veilsum/veilsum/storage/mem"
)

func config(t *testing.T, vehicles, values int) realshare.Config {
	s := planet.Defaults()
	s.Vehicles, s.Report.Values, s.Report.ModelBytes = 10_000, values, 4*values
	s.Profiles.C.Share = 0 // whose links break by themselves
	return realshare.Config{Store: mem.New(), Folder: t.TempDir(), Scenario: s, Vehicles: vehicles}
}

// The real roles open the sum of real uploads over links that break, and cost what the model assumes.
func TestRealRoles(t *testing.T) {
	c := config(t, 12, 200_000)
	r, err := realshare.Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Listed != 11 || r.Refused != 0 || r.GatewayRefusals != 0 || r.LateFate != "over" {
		t.Errorf("%+v", r)
	}
	if r.ReportBytes != r.PlannedBytes {
		t.Errorf("a report has %d bytes, the plan says %d", r.ReportBytes, r.PlannedBytes)
	}
	if z := (r.NoiseRatio - 1) / r.NoiseStdErr; math.Abs(z) > 6 { // once in 5e8; a lost or doubled report shifts it by far
		t.Errorf("the opened mean is off by %g of its noise (z = %g)", r.NoiseRatio, z)
	}
	broken := 0
	for i, v := range r.Vehicles[:11] {
		if v.Fate != "sent" || v.Reported != r.ReportBytes || v.Sent < v.Reported {
			t.Errorf("%+v", v)
		}
		if v.Breaks > 0 {
			broken++
		} else if i%2 == 1 {
			t.Errorf("vehicle %d did not break: %+v", i, v)
		}
	}
	// TLS, HTTP and a login weigh some kilobytes; a break costs the piece under way and another connection, not the report.
	if r.ConnectBytes < 1000 || r.ConnectBytes > 20_000 || r.ConnectTrips < 4 || r.ConnectTrips > 12 || broken < 5 {
		t.Errorf("connect %d bytes, %g waits, %d broken", r.ConnectBytes, r.ConnectTrips, broken)
	}
	if ratio := r.AgainBytes / r.AgainModel; ratio < 0.7 || ratio > 1.3 {
		t.Errorf("a break cost %g bytes, the model says %g", r.AgainBytes, r.AgainModel)
	}
	if late := r.Vehicles[11]; late.Sent > 20_000 {
		t.Errorf("a report that came too late was sent: %+v", late)
	}
}

func TestRefused(t *testing.T) {
	c := config(t, 7, 1000)
	if _, err := realshare.Run(context.Background(), c); !errors.Is(err, realshare.ErrConfig) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.Vehicles = 8
	if _, err := realshare.Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Links on which no piece gets through make no round, and no error.
func TestNobodyGetsThrough(t *testing.T) {
	c := config(t, 8, 100_000)
	p := &c.Scenario.Profiles
	p.A.Share, p.B.Share, p.C.Share, p.D.Share = 0, 0, 1, 0
	r, err := realshare.Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Listed != 0 || r.Vehicles[0].Fate != "gave up" || r.Vehicles[0].Breaks == 0 {
		t.Errorf("%+v", r)
	}
}
