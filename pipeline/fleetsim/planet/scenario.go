package planet

import (
	"errors"
	"fmt"
	"slices"
)

// ErrScenario is returned for a scenario without meaning; the message names the field.
var ErrScenario = errors.New("planet: bad scenario")

// Scenario is everything that a simulation depends on. Start from [Defaults]. FLEETSIM.md tells
// where each default comes from.
type Scenario struct {
	Vehicles int     `yaml:"vehicles" json:"vehicles"` // 1 to 20 million
	Days     float64 `yaml:"days" json:"days"`         // in which rounds open, above 0, at most 366
	Seed     uint64  `yaml:"seed" json:"seed"`
	Watched  int     `yaml:"watched" json:"watched"` // the first vehicles, whose attempts are told one by one

	// Regions are the shares of the vehicles by [RegionNames]; they are scaled to a sum of 1.
	Regions  map[string]float64 `yaml:"regions" json:"regions"`
	Schedule Schedule           `yaml:"schedule" json:"schedule"`
	Report   Report             `yaml:"report" json:"report"`
	Habits   Habits             `yaml:"habits" json:"habits"`
	Profiles Profiles           `yaml:"profiles" json:"profiles"`
}

// Schedule is when rounds open and close.
type Schedule struct {
	// Buffered: a lane always has one open round, a report is sealed for the one that is open when
	// the vehicle has trained, and vehicles are invited all the time. Else every round invites its own.
	Buffered        bool    `yaml:"buffered" json:"buffered"`
	Lanes           int     `yaml:"lanes" json:"lanes"`                       // of an epoch, each with a list of its own; 1 to 256
	PeriodMinutes   float64 `yaml:"period_minutes" json:"period_minutes"`     // from one epoch's opening to the next, while not buffered
	DeadlineMinutes float64 `yaml:"deadline_minutes" json:"deadline_minutes"` // from opening; then a round closes with what it has
	SpreadMinutes   float64 `yaml:"spread_minutes" json:"spread_minutes"`     // invitations go out over so long, at random
	Reports         int     `yaml:"reports" json:"reports"`                   // K: a round closes when it has so many
	MinBatch        int     `yaml:"min_batch" json:"min_batch"`               // fewest that may be opened; with less a round is void
	// OverSelection is how many vehicles are invited for one of the K reports, in a period.
	OverSelection  float64 `yaml:"over_selection" json:"over_selection"`
	MinSeparation  int     `yaml:"min_separation" json:"min_separation"` // epochs from one participation of a vehicle to its next
	MaxStaleness   int     `yaml:"max_staleness" json:"max_staleness"`   // versions behind the round's; while buffered a staler vehicle seals nothing
	PublishSeconds float64 `yaml:"publish_seconds" json:"publish_seconds"`
}

// Report is what one report weighs; the run of the real roles measures it.
type Report struct {
	Values      int `yaml:"values" json:"values"`             // of the model
	Bytes       int `yaml:"bytes" json:"bytes"`               // of all objects of a report
	HeaderBytes int `yaml:"header_bytes" json:"header_bytes"` // of the last object, sent whole like a piece
	PieceBytes  int `yaml:"piece_bytes" json:"piece_bytes"`
	// ConnectBytes and ConnectTrips are what each connection costs before the first piece: bytes sent and times waited for an answer.
	ConnectBytes int     `yaml:"connect_bytes" json:"connect_bytes"`
	ConnectTrips float64 `yaml:"connect_trips" json:"connect_trips"`
	// PieceTrips are the waits for the gateway with each piece, which the vehicle sends one after the other.
	PieceTrips float64 `yaml:"piece_trips" json:"piece_trips"`
	// WindowBytes are on the way at most (flow control of one connection); 0 for no limit.
	WindowBytes  int     `yaml:"window_bytes" json:"window_bytes"`
	ModelBytes   int     `yaml:"model_bytes" json:"model_bytes"` // that a vehicle downloads
	TrainSeconds float64 `yaml:"train_seconds" json:"train_seconds"`
	TrainSpread  float64 `yaml:"train_spread" json:"train_spread"` // standard deviation of the logarithm; the median is TrainSeconds
}

// Habits are when vehicles drive.
type Habits struct {
	DrivingHours float64 `yaml:"driving_hours" json:"driving_hours"` // a day, on average
	TripMinutes  float64 `yaml:"trip_minutes" json:"trip_minutes"`   // mean of an exponential law
	// PeakOverTrough is the departures at the busiest local hour over those at the quietest.
	PeakOverTrough float64 `yaml:"peak_over_trough" json:"peak_over_trough"`
	NightFrom      int     `yaml:"night_from" json:"night_from"` // local hours between which parked vehicles are online
	NightTo        int     `yaml:"night_to" json:"night_to"`
}

// Profiles are the kinds of links; every vehicle has one.
type Profiles struct {
	A Profile `yaml:"A" json:"A"` // broadband terminal on a low satellite
	B Profile `yaml:"B" json:"B"` // the same, moving between obstacles
	C Profile `yaml:"C" json:"C"` // narrow band satellite with passes
	D Profile `yaml:"D" json:"D"` // parked, on wireless or cellular network
}

// ProfileNames are the profiles in the order of their numbers.
var ProfileNames = []string{"A", "B", "C", "D"}

func (p *Profiles) list() []*Profile { return []*Profile{&p.A, &p.B, &p.C, &p.D} }

// Profile is one kind of link.
type Profile struct {
	Share float64 `yaml:"share" json:"share"` // of the vehicles; all shares are scaled to a sum of 1
	// Mbps is the uplink alone: a law with these 5, 50 and 95 per cent points, lognormal on either side of the middle one.
	Mbps         Points  `yaml:"mbps" json:"mbps"`
	DownOverUp   float64 `yaml:"down_over_up" json:"down_over_up"`
	RoundTripMs  float64 `yaml:"round_trip_ms" json:"round_trip_ms"`
	Up           Spell   `yaml:"up" json:"up"`     // from one outage to the next
	Down         Spell   `yaml:"down" json:"down"` // outages; zero for none
	PatienceSecs float64 `yaml:"patience_seconds" json:"patience_seconds"`
	// Parked: online while parked at night, else while driving.
	Parked bool `yaml:"parked" json:"parked"`
	// BeamMbps are shared by about BeamVehicles vehicles; 0 for no beam.
	BeamMbps          float64 `yaml:"beam_mbps" json:"beam_mbps"`
	BeamVehicles      int     `yaml:"beam_vehicles" json:"beam_vehicles"`
	ForwardMinutes    float64 `yaml:"forward_minutes" json:"forward_minutes"` // a satellite keeps a report up to so long, uniformly
	LostAfterDownload float64 `yaml:"lost_after_download" json:"lost_after_download"`
	LinkWatts         float64 `yaml:"link_watts" json:"link_watts"` // while a transfer is under way, stalled or not
	TrainWatts        float64 `yaml:"train_watts" json:"train_watts"`
	MillijoulesByte   float64 `yaml:"millijoules_byte" json:"millijoules_byte"` // of each byte sent, beside the watts
	DollarsKilobyte   float64 `yaml:"dollars_kilobyte" json:"dollars_kilobyte"` // of each 1000 bytes sent
}

// Points are the 5, 50 and 95 per cent points of a law.
type Points struct {
	Low    float64 `yaml:"low" json:"low"`
	Median float64 `yaml:"median" json:"median"`
	High   float64 `yaml:"high" json:"high"`
}

// Spell is a random length of time: uniform from Min to Max, or exponential with their mean.
type Spell struct {
	Min         float64 `yaml:"min_seconds" json:"min_seconds"`
	Max         float64 `yaml:"max_seconds" json:"max_seconds"`
	Exponential bool    `yaml:"exponential" json:"exponential"`
}

// Defaults is a million vehicles for a day.
func Defaults() Scenario {
	return Scenario{
		Vehicles: 1_000_000, Days: 1, Seed: 1,
		Regions: map[string]float64{
			"North America": 0.22, "Latin America": 0.09, "Europe": 0.25, "Africa": 0.03, "Middle East": 0.04, "Russia and Central Asia": 0.05,
			"South Asia": 0.05, "East Asia": 0.20, "Southeast Asia": 0.05, "Oceania": 0.02,
		},
		Schedule: Schedule{
			Lanes: 4, PeriodMinutes: 60, DeadlineMinutes: 360, SpreadMinutes: 10, Reports: 5000, MinBatch: 2500, OverSelection: 3,
			MinSeparation: 2, MaxStaleness: 8, PublishSeconds: 120,
		},
		Report: Report{
			Values: 300_000, Bytes: 700_000, HeaderBytes: 9_000, PieceBytes: 256_000, ConnectBytes: 4_000, ConnectTrips: 6, PieceTrips: 2,
			WindowBytes: 64 << 10, ModelBytes: 1_200_000, TrainSeconds: 60, TrainSpread: 0.5,
		},
		Habits:   Habits{DrivingHours: 1.25, TripMinutes: 25, PeakOverTrough: 4, NightFrom: 22, NightTo: 6},
		Profiles: defaultProfiles(),
	}
}

func defaultProfiles() Profiles {
	return Profiles{
		A: Profile{
			Share: 0.5, Mbps: Points{3, 12, 25}, DownOverUp: 8, RoundTripMs: 50,
			Up: Spell{0, 576, true}, Down: Spell{Min: 1, Max: 3}, PatienceSecs: 60, BeamMbps: 60, BeamVehicles: 1000,
			LostAfterDownload: 0.075, LinkWatts: 50, TrainWatts: 15,
		},
		B: Profile{
			Share: 0.25, Mbps: Points{0.5, 6, 15}, DownOverUp: 8, RoundTripMs: 60,
			Up: Spell{Min: 120, Max: 1200}, Down: Spell{Min: 5, Max: 120}, PatienceSecs: 60, BeamMbps: 60, BeamVehicles: 1000,
			LostAfterDownload: 0.22, LinkWatts: 50, TrainWatts: 15,
		},
		C: Profile{
			Share: 0.05, Mbps: Points{0.0024, 0.0024, 0.0024}, DownOverUp: 1, RoundTripMs: 2000,
			Up: Spell{Min: 300, Max: 600}, Down: Spell{Min: 1200, Max: 5400}, PatienceSecs: 60, BeamMbps: 0.024, BeamVehicles: 1000,
			ForwardMinutes: 30, LostAfterDownload: 0.5, TrainWatts: 15, MillijoulesByte: 20, DollarsKilobyte: 1,
		},
		D: Profile{
			Share: 0.2, Mbps: Points{5, 15, 40}, DownOverUp: 4, RoundTripMs: 45, PatienceSecs: 60, Parked: true,
			LostAfterDownload: 0.05, LinkWatts: 3, TrainWatts: 15,
		},
	}
}

// check is one field and whether it is in its range.
type check struct {
	field string
	ok    bool
}

func within(x, low, high float64) bool { return x >= low && x <= high }

// Validate refuses a scenario without meaning; the error wraps [ErrScenario].
func (s Scenario) Validate() error {
	c := s.Schedule
	checks := []check{
		{"vehicles, 1 to 20 million,", s.Vehicles >= 1 && s.Vehicles <= 20_000_000},
		{"days", s.Days > 0 && s.Days <= 366},
		{"watched", s.Watched >= 0},
		{"regions", s.regionsValid()},
		{"schedule.lanes", c.Lanes >= 1 && c.Lanes <= 256},
		{"schedule.period_minutes", within(c.PeriodMinutes, 1, 1e6)},
		{"schedule.deadline_minutes", within(c.DeadlineMinutes, 1, 1e5)},
		{"schedule.spread_minutes", within(c.SpreadMinutes, 0, c.DeadlineMinutes)},
		{"schedule: rounds of all days and lanes", s.Days*24*60/c.shortest()*float64(c.Lanes) <= 2e6},
		{"schedule.reports", c.Reports >= 1 && c.Reports <= 1<<24},
		{"schedule.min_batch", c.MinBatch >= 1 && c.MinBatch <= c.Reports},
		{"schedule.over_selection", within(c.OverSelection, 0.01, 1e4)},
		{"schedule.min_separation", c.MinSeparation >= 1 && c.MinSeparation <= 1<<20},
		{"schedule.max_staleness", c.MaxStaleness >= 0 && c.MaxStaleness <= 1<<20},
		{"schedule.publish_seconds", within(c.PublishSeconds, 0, 1e6)},
	}
	checks = append(append(checks, s.Report.checks()...), s.Habits.checks()...)
	share := 0.0
	for i, p := range s.Profiles.list() {
		checks = append(checks, p.checks("profiles."+ProfileNames[i]+".")...)
		share += p.Share
	}
	checks = append(checks, check{"profiles: a share", share > 0})
	if i := slices.IndexFunc(checks, func(c check) bool { return !c.ok }); i >= 0 {
		return fmt.Errorf("%w: %s is out of range", ErrScenario, checks[i].field)
	}
	return nil
}

// shortest is after how many minutes a lane opens its next round, unless reports fill one sooner.
func (c *Schedule) shortest() float64 {
	if c.Buffered {
		return c.DeadlineMinutes
	}
	return c.PeriodMinutes
}

// deadline is how long a round stays open at most.
func (c *Schedule) deadline() tick { return tick(c.DeadlineMinutes * float64(minute)) }

func (s Scenario) regionsValid() bool {
	sum := 0.0
	for name, share := range s.Regions {
		if !slices.Contains(RegionNames, name) || !within(share, 0, 1e9) {
			return false
		}
		sum += share
	}
	return sum > 0
}

func (r Report) checks() []check {
	return []check{
		{"report.values", r.Values >= 1 && r.Values <= 1<<31},
		{"report.bytes", r.Bytes >= 1 && r.Bytes <= 1<<40},
		{"report.header_bytes", r.HeaderBytes >= 0 && r.HeaderBytes <= r.Bytes},
		{"report.piece_bytes", r.PieceBytes >= 1},
		{"report.connect_bytes", r.ConnectBytes >= 0 && r.ConnectBytes <= 1<<30},
		{"report.connect_trips", within(r.ConnectTrips, 0, 1000)},
		{"report.piece_trips", within(r.PieceTrips, 0, 1000)},
		{"report.window_bytes", r.WindowBytes >= 0 && r.WindowBytes <= 1<<40},
		{"report.model_bytes", r.ModelBytes >= 0 && r.ModelBytes <= 1<<40},
		{"report.train_seconds", within(r.TrainSeconds, 0, 1e6)},
		{"report.train_spread", within(r.TrainSpread, 0, 3)},
	}
}

func (h Habits) checks() []check {
	return []check{
		{"habits.driving_hours", h.DrivingHours > 0 && h.DrivingHours <= 12},
		{"habits.trip_minutes", within(h.TripMinutes, 1, 600)},
		{"habits: trips of a vehicle a day", h.DrivingHours*60/h.TripMinutes >= 0.05}, // what is rarer takes years of simulated time
		{"habits.peak_over_trough", within(h.PeakOverTrough, 1, 100)},
		{"habits.night_from", h.NightFrom >= 0 && h.NightFrom < 24},
		{"habits.night_to", h.NightTo >= 0 && h.NightTo < 24 && h.NightTo != h.NightFrom},
	}
}

func (p Profile) checks(at string) []check {
	const rare = 3.2e7 // a year in seconds
	return []check{
		{at + "share", within(p.Share, 0, 1e9)},
		{at + "mbps", p.Mbps.Low >= 1e-5 && p.Mbps.Low <= p.Mbps.Median && p.Mbps.Median <= p.Mbps.High && p.Mbps.High <= 1e5},
		{at + "down_over_up", within(p.DownOverUp, 0.01, 1e4)},
		{at + "round_trip_ms", within(p.RoundTripMs, 0, 1e6)},
		{at + "up", p.Up.ok(rare) && (p.Down == Spell{} || p.Up.mean() >= 1)},
		{at + "down", p.Down.ok(rare)},
		{at + "patience_seconds", within(p.PatienceSecs, 0, rare)},
		{at + "beam_mbps", within(p.BeamMbps, 0, 1e6)},
		{at + "beam_vehicles", p.BeamMbps == 0 || p.BeamVehicles >= 1},
		{at + "forward_minutes", within(p.ForwardMinutes, 0, 1e5)},
		{at + "lost_after_download", within(p.LostAfterDownload, 0, 1)},
		{at + "link_watts", within(p.LinkWatts, 0, 1e6)},
		{at + "train_watts", within(p.TrainWatts, 0, 1e6)},
		{at + "dollars_kilobyte", within(p.DollarsKilobyte, 0, 1e6)},
		{at + "millijoules_byte", within(p.MillijoulesByte, 0, 1e9)},
	}
}
