package schema

import (
	"bytes"
	"slices"
)

// Candidates is the unsigned list of complete reports that the decryptors are
// asked to check. It is named by its hash.
type Candidates struct {
	Version int        `json:"version"`
	RoundID RoundID    `json:"round_id"`
	Reports []ReportID `json:"reports"` // sorted, distinct
}

// Encode returns the canonical bytes.
func (c Candidates) Encode() ([]byte, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return marshal(c)
}

// ID returns H("candidates"; bytes).
func (c Candidates) ID() Digest {
	raw, err := c.Encode()
	if err != nil {
		return Digest{}
	}
	return Hash("candidates", raw)
}

func (c Candidates) validate() error {
	if err := version("candidates", c.Version); err != nil {
		return err
	}
	if err := present("candidates", named{"round_id", c.RoundID.Digest}); err != nil {
		return err
	}
	return sortedReports("candidates", c.Reports)
}

// DecodeCandidates reads a candidate list of at most MaxObject bytes.
func DecodeCandidates(data []byte) (Candidates, error) {
	var c Candidates
	if len(data) > MaxObject {
		return Candidates{}, field("candidates", "size", len(data), "at most 2^27 bytes")
	}
	if err := decodeCanonical(data, &c, listBytesPerComma); err != nil {
		return Candidates{}, wrong("candidates", data, err)
	}
	if err := c.validate(); err != nil {
		return Candidates{}, err
	}
	return c, nil
}

// listBytesPerComma is below the 67 bytes of a ReportID, its quotes and its comma.
const listBytesPerComma = 60

func sortedReports(object string, ids []ReportID) error {
	if len(ids) < 1 || len(ids) > MaxReports {
		return field(object, "reports", len(ids), "1 to 2^20 identifiers")
	}
	if !slices.IsSortedFunc(ids, CompareReports) {
		return field(object, "reports", "the list", "sorted identifiers")
	}
	for i := 1; i < len(ids); i++ {
		if ids[i] == ids[i-1] {
			return field(object, "reports", ids[i].Short(), "each report once")
		}
	}
	return nil
}

// CompareReports orders ReportIDs by their bytes.
func CompareReports(a, b ReportID) int { return bytes.Compare(a.Digest[:], b.Digest[:]) }

// Refusal says why a decryptor does not accept a report.
type Refusal struct {
	Report ReportID `json:"report"`
	Reason string   `json:"reason"` // one of the Reason constants
}

// The reasons of a refusal.
const (
	ReasonMissing   = "missing"   // the header object is absent or unreadable
	ReasonHeader    = "header"    // parameters, round or lane differ from the task's
	ReasonVehicle   = "vehicle"   // not enrolled, or a second report of one vehicle
	ReasonSignature = "signature" // the vehicle's signature does not verify
	ReasonBox       = "box"       // the box does not open or does not match its hash or commitment
	ReasonPiece     = "piece"     // the pieces differ from their signed root
	ReasonLimit     = "limit"     // the vehicle's participation limit is reached
)

var reasons = []string{ReasonMissing, ReasonHeader, ReasonVehicle, ReasonSignature, ReasonBox, ReasonPiece, ReasonLimit}

// Check is a decryptor's signed answer to a candidate list: it accepts all but the refused.
type Check struct {
	Version    int       `json:"version"`
	RoundID    RoundID   `json:"round_id"`
	Index      int       `json:"index"`
	Candidates Digest    `json:"candidates"`
	Refused    []Refusal `json:"refused"` // sorted by report
}

func (Check) label() string { return "check" }
func (Check) maxBytes() int { return MaxObject }

// A refusal has two commas and at least 100 bytes.
func (Check) bytesPerComma() int { return 45 }

func (c Check) validate() error {
	if err := version("check", c.Version); err != nil {
		return err
	}
	if err := index("check", c.Index); err != nil {
		return err
	}
	if err := present("check", named{"round_id", c.RoundID.Digest}, named{"candidates", c.Candidates}); err != nil {
		return err
	}
	return checkRefused("check", c.Refused)
}

// Manifest is the list of one round, signed by the Collector.
type Manifest struct {
	Version int        `json:"version"`
	RoundID RoundID    `json:"round_id"`
	Reports []ReportID `json:"reports"` // sorted, distinct
}

func (Manifest) label() string      { return "manifest" }
func (Manifest) maxBytes() int      { return MaxObject }
func (Manifest) bytesPerComma() int { return listBytesPerComma }

func (m Manifest) validate() error {
	if err := version("manifest", m.Version); err != nil {
		return err
	}
	if err := present("manifest", named{"round_id", m.RoundID.Digest}); err != nil {
		return err
	}
	return sortedReports("manifest", m.Reports)
}
