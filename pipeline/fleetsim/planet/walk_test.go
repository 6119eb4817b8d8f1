package planet

import (
	"math"
	"testing"
	"time"
)

// TestTrainingTakesPower: training takes as much time with power as it needs, over as many trips as it takes.
func TestTrainingTakesPower(t *testing.T) {
	s := Defaults()
	s.Vehicles = 300
	w := newWorld(s, Options{})
	f, need, done := w.fleet, float64(50*minute), 0 // two trips
	for v := range s.Vehicles {
		random, driving, from, until := f.random[v], f.driving[v], f.from[v], f.until[v]
		at := w.train(v, 0, need, &Profile{})
		f.random[v], f.driving[v], f.from[v], f.until[v] = random, driving, from, until // the same trips again
		powered := tick(0)
		for now := tick(0); now < at; {
			on, off := f.online(v, now, false)
			powered += max(0, min(off, at)-on)
			now = off
		}
		if at >= w.giveUp(0) {
			continue
		}
		if done++; math.Abs(float64(powered)-need) > 3 {
			t.Errorf("vehicle %d: done after %v with power, needs %v", v, powered.duration(), tick(need).duration())
		}
	}
	if done < 100 {
		t.Errorf("only %d vehicles were done", done)
	}
}

// TestDownloadWaits: a download waits for its link: with outages of mean off between spells of mean on it takes need (1 + off/on) + P(down) off, to
// within 5 standard errors, which chance breaks in fewer than 1 of 10^6 runs; the seed is fixed.
func TestDownloadWaits(t *testing.T) {
	const n, on, off, need = 4000, 100.0, 20.0, 150.0
	p := Profile{Mbps: Points{1, 1, 1}, DownOverUp: 1, Up: Spell{0, 2 * on, true}, Down: Spell{0, 2 * off, true}}
	s := Defaults()
	s.Vehicles = n
	w := newWorld(s, Options{})
	var times []float64
	for v := range n {
		w.fleet.driving[v], w.fleet.from[v], w.fleet.until[v] = true, 0, never
		at, busy := w.transfer(v, 0, need*float64(second), &p)
		if math.Abs(busy-float64(at)) > 3 {
			t.Fatalf("under way for %g of %d", busy, at)
		}
		times = append(times, at.seconds())
	}
	mean, stdErr := meanOf(times, 40)
	if want := need*(1+off/on) + off/(on+off)*off; math.Abs(mean-want) > 5*stdErr {
		t.Errorf("%g s on average, want %g +- %g", mean, want, stdErr)
	}
}

// TestPace: waiting for each piece and a full window slow an upload down.
func TestPace(t *testing.T) {
	r := Report{Bytes: 1_100_000, HeaderBytes: 100_000, PieceBytes: 250_000, PieceTrips: 2}
	rate := 1e6 / float64(second)
	for _, c := range []struct {
		window  int
		seconds float64
	}{{0, 1.1 + 4*2*0.1}, {50_000, 2.2 + 4*2*0.1}} {
		r.WindowBytes = c.window
		if got := float64(r.Bytes) / r.pace(rate, 100) / float64(second); math.Abs(got-c.seconds) > 1e-9 {
			t.Errorf("window %d: %g s, want %g", c.window, got, c.seconds)
		}
	}
}

// TestEnergyAndTime: what an attempt uses is its bytes, its training and its time on the link by the stated figures, its
// model is downloaded at the rate of the downlink, and an upload begins with its handshake.
func TestEnergyAndTime(t *testing.T) {
	s := Defaults()
	s.Vehicles, s.Watched, s.Schedule.Reports, s.Schedule.MinBatch = 3000, 3000, 50, 1
	s.Report.TrainSeconds, s.Report.TrainSpread, s.Report.ModelBytes = 7, 0, 10_000_000
	p := Profile{Mbps: Points{8, 8, 8}, DownOverUp: 2, RoundTripMs: 100, PatienceSecs: 60}
	s.Profiles = Profiles{p, p, p, p}
	s.Profiles.A.Share = 1
	const alone = 5.2 + 7 // 10 MB at 2 MB/s, two round trips, training
	r := &s.Report
	uploaded := r.ConnectTrips*0.1 + float64(r.ConnectBytes+r.Bytes)/r.pace(1e6/float64(second), 100)/float64(second)
	for name, set := range map[string]func(*Profile) (least, most func(Attempt) float64){
		"bytes": func(p *Profile) (least, most func(Attempt) float64) {
			p.MillijoulesByte = 20
			return func(a Attempt) float64 { return 0.02 * float64(a.Sent) }, func(a Attempt) float64 { return 0.02 * float64(a.Sent+1) }
		},
		"training": func(p *Profile) (least, most func(Attempt) float64) {
			p.TrainWatts = 10
			all := func(a Attempt) float64 {
				if a.Started < 0 {
					return 0
				}
				return 70
			}
			return all, all
		},
		"link": func(p *Profile) (least, most func(Attempt) float64) {
			p.LinkWatts = 3
			return func(a Attempt) float64 {
					if a.Started < 0 {
						return 0
					}
					return 3 * 5.2
				}, func(a Attempt) float64 {
					if a.Arrived < 0 {
						return math.Inf(1)
					}
					return 3 * ((a.Arrived - a.Started).Seconds() - 7)
				}
		},
	} {
		x := s
		least, most := set(&x.Profiles.A)
		shortest, sealed, upload := time.Hour, 0, time.Hour
		_, err := Run(x, Options{Observe: func(a Attempt) {
			if a.Joules < least(a)-1e-3 || a.Joules > most(a)+1e-3 {
				t.Errorf("%s: %g J, want %g to %g: %+v", name, a.Joules, least(a), most(a), a)
			}
			if a.Sealed >= 0 {
				sealed++
				shortest = min(shortest, a.Sealed-a.Started)
			}
			if a.Arrived >= 0 {
				upload = min(upload, a.Arrived-a.Sealed)
			}
		}})
		if err != nil || sealed < 100 || math.Abs(shortest.Seconds()-alone) > 1e-5 {
			t.Errorf("%s: %d sealed, the first after %v, want %g s; %v", name, sealed, shortest, alone, err)
		}
		if math.Abs(upload.Seconds()-uploaded) > 1e-5 {
			t.Errorf("%s: an upload takes %v, want %g s with its handshake", name, upload, uploaded)
		}
	}
}
