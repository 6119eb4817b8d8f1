package schema

import "slices"

// Region is one region of a round, as the Collector states it in the descriptor: who adds its
// reports. The vehicles of a region report to a store of its own.
type Region struct {
	Name string `json:"name"` // RegionName tells which
	// Aggregator signs the region's RegionSum.
	Aggregator PublicKey `json:"aggregator"`
	// Deadline is when the region stops taking reports: advice, no safety rests on it; seconds since 1970 UTC.
	Deadline int64 `json:"deadline"`
}

// MaxRegions bounds the regions of one round.
const MaxRegions = 64

// RegionName tells whether s may name a region: 1 to 32 of a to z, 0 to 9 and "-", not "-" first. It is part of names in a store.
func RegionName(s string) bool {
	for i, c := range []byte(s) {
		if c == '-' && i == 0 || c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 32
}

// checkRegions checks the list of a descriptor.
func checkRegions(all []Region, keyExpiry int64) error {
	if len(all) > MaxRegions {
		return field("descriptor", "regions", len(all), "at most 64")
	}
	keys := map[PublicKey]bool{}
	for i, r := range all {
		switch {
		case !RegionName(r.Name):
			return field("descriptor", "regions.name", r.Name, "1 to 32 of a-z, 0-9 and -")
		case i > 0 && all[i-1].Name >= r.Name:
			return field("descriptor", "regions.name", r.Name, "each name once, sorted")
		case r.Aggregator == PublicKey{} || keys[r.Aggregator]:
			return field("descriptor", "regions.aggregator", r.Aggregator, "a key of its own for each region")
		case r.Deadline < 0 || r.Deadline > keyExpiry:
			return field("descriptor", "regions.deadline", r.Deadline, "seconds since 1970, up to the key expiry")
		}
		keys[r.Aggregator] = true
	}
	return nil
}

// RegionSum is a regional aggregator's word, signed by the key that the descriptor names: these reports
// were checked and add up to this partial sum. The list is inside the partial sum, which the hash binds.
type RegionSum struct {
	Version int     `json:"version"`
	RoundID RoundID `json:"round_id"`
	Region  string  `json:"region"`
	// Partial is the SHA-256 of the partial sum, its name.
	Partial Digest `json:"partial"`
	// Reports counts the reports in it.
	Reports int `json:"reports"`
	// Refused are reports of the region that the aggregator left out; sorted by report.
	Refused []Refusal `json:"refused"`
}

func (RegionSum) label() string      { return "region-sum" }
func (RegionSum) maxBytes() int      { return MaxObject }
func (RegionSum) bytesPerComma() int { return 45 } // as in Check

func (s RegionSum) validate() error {
	if err := version("region-sum", s.Version); err != nil {
		return err
	}
	if err := present("region-sum", named{"round_id", s.RoundID.Digest}, named{"partial", s.Partial}); err != nil {
		return err
	}
	switch {
	case !RegionName(s.Region):
		return field("region-sum", "region", s.Region, "1 to 32 of a-z, 0-9 and -")
	case s.Reports < 1 || s.Reports > MaxReports:
		return field("region-sum", "reports", s.Reports, "1 to 2^20")
	}
	return checkRefused("region-sum", s.Refused)
}

// checkRefused checks a list of refusals: sorted reports, each with a known reason.
func checkRefused(object string, refused []Refusal) error {
	if refused == nil || len(refused) > MaxReports {
		return field(object, "refused", len(refused), "a list of at most 2^20, not null")
	}
	for i, r := range refused {
		if !slices.Contains(reasons, r.Reason) || i > 0 && CompareReports(refused[i-1].Report, r.Report) >= 0 {
			return field(object, "refused", i, "sorted reports with a known reason")
		}
	}
	return nil
}
