package schema

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
)

// StepID is H("step"; RoundID, u32 level, inputs): the name of one step of a batch. The
// inputs of level 1 are ReportIDs, those of a higher level StepIDs, sorted.
type StepID struct{ Digest }

// NewStepID names the step of a level over inputs, which must be sorted.
func NewStepID(round RoundID, level int, inputs []Digest) StepID {
	return StepID{Hash("step", round.Digest[:], binary.LittleEndian.AppendUint32(nil, uint32(level)), concat(inputs))}
}

// CompareDigests orders digests by their bytes.
func CompareDigests(a, b Digest) int { return bytes.Compare(a[:], b[:]) }

// BatchRegion is the reports that a batch adds below one node of its own.
type BatchRegion struct {
	Name    string     // a RegionName, or empty
	Reports []ReportID // sorted, distinct
}

// BatchPlan fixes which steps add the reports of a frozen list: how many inputs a
// step has, and what is added together first. It is not signed; it is named by the SHA-256 of its bytes.
type BatchPlan struct {
	RoundID RoundID
	List    Digest        // the frozen list: a manifest's identity, or that of a candidate list
	FanIn   int           // most inputs of a step
	Regions []BatchRegion // sorted by name, without a report in two of them
}

// Bounds of a [BatchPlan].
const (
	MinFanIn        = 2
	MaxFanIn        = 1 << 16
	MaxBatchRegions = 4096
)

const (
	batchMagic = "VSBP"
	batchHead  = 4 + 2 + 2 + 32 + 32 + 4 + 4
)

// Reports is the number of reports of all regions.
func (p BatchPlan) Reports() int {
	n := 0
	for _, g := range p.Regions {
		n += len(g.Reports)
	}
	return n
}

func (p BatchPlan) validate() error {
	if err := present("batch", named{"round_id", p.RoundID.Digest}, named{"list", p.List}); err != nil {
		return err
	}
	if p.FanIn < MinFanIn || p.FanIn > MaxFanIn {
		return field("batch", "fan_in", p.FanIn, "2 to 65536")
	}
	if n := len(p.Regions); n < 1 || n > MaxBatchRegions {
		return field("batch", "regions", n, "1 to 4096")
	}
	if n := p.Reports(); n > MaxReports {
		return field("batch", "reports", n, "at most 2^20")
	}
	for i, g := range p.Regions {
		if i > 0 && p.Regions[i-1].Name >= g.Name {
			return field("batch", "regions", i, "names sorted, each once")
		}
		if g.Name != "" && !RegionName(g.Name) {
			return field("batch", "region", fmt.Sprintf("%.40q", g.Name), "1 to 32 of a-z, 0-9 and -, or nothing")
		}
		if err := sortedReports("batch", g.Reports); err != nil {
			return err
		}
	}
	return p.disjoint()
}

// disjoint checks that no report is in two regions.
func (p BatchPlan) disjoint() error {
	if len(p.Regions) == 1 {
		return nil
	}
	all := make([]ReportID, 0, p.Reports())
	for _, g := range p.Regions {
		all = append(all, g.Reports...)
	}
	slices.SortFunc(all, CompareReports)
	return sortedReports("batch", all)
}

// Encode returns the bytes of the plan.
func (p BatchPlan) Encode() ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := append(make([]byte, 0, batchHead+36*len(p.Regions)+32*p.Reports()), batchMagic...)
	b = append(le.AppendUint16(b, Version), 0, 0)
	b = append(append(b, p.RoundID.Digest[:]...), p.List[:]...)
	b = le.AppendUint32(le.AppendUint32(b, uint32(p.FanIn)), uint32(len(p.Regions)))
	for _, g := range p.Regions {
		b = le.AppendUint32(append(append(b, byte(len(g.Name))), g.Name...), uint32(len(g.Reports)))
		for _, id := range g.Reports {
			b = append(b, id.Digest[:]...)
		}
	}
	return b, nil
}

// DecodeBatchPlan reads the bytes of a plan. It allocates less than twice their number.
func DecodeBatchPlan(data []byte) (BatchPlan, error) {
	if len(data) < batchHead || string(data[:4]) != batchMagic {
		return BatchPlan{}, fmt.Errorf("%w: not the plan of a batch", ErrFormat)
	}
	le := binary.LittleEndian
	if v := le.Uint16(data[4:]); v != Version {
		return BatchPlan{}, fmt.Errorf("%w: batch.version %d", ErrVersion, v)
	}
	if data[6] != 0 || data[7] != 0 {
		return BatchPlan{}, field("batch", "padding", data[6:8], "zero bytes")
	}
	p := BatchPlan{RoundID: RoundID{Digest(data[8:40])}, List: Digest(data[40:72]), FanIn: int(min(le.Uint32(data[72:]), MaxFanIn+1))}
	regions := le.Uint32(data[76:])
	if regions > MaxBatchRegions {
		return BatchPlan{}, field("batch", "regions", regions, "1 to 4096")
	}
	rest := data[batchHead:]
	for range regions {
		var g BatchRegion
		var ok bool
		if g, rest, ok = decodeRegion(rest); !ok {
			return BatchPlan{}, field("batch", "size", len(data), "room for all regions")
		}
		p.Regions = append(p.Regions, g)
	}
	if len(rest) > 0 {
		return BatchPlan{}, field("batch", "size", len(data), "nothing behind the last region")
	}
	return p, p.validate()
}

// decodeRegion reads one region and returns what is behind it.
func decodeRegion(data []byte) (g BatchRegion, rest []byte, ok bool) {
	if len(data) < 1 || len(data) < 1+int(data[0])+4 {
		return g, nil, false
	}
	g.Name = string(data[1 : 1+int(data[0])])
	rest = data[1+len(g.Name):]
	count := binary.LittleEndian.Uint32(rest)
	rest = rest[4:]
	if count > MaxReports || len(rest) < 32*int(count) {
		return g, nil, false
	}
	g.Reports = make([]ReportID, count)
	for i := range g.Reports {
		g.Reports[i] = ReportID{Digest(rest[32*i:])}
	}
	return g, rest[32*int(count):], true
}

// ID returns the SHA-256 of the encoded plan, its name in a store.
func (p BatchPlan) ID() (Digest, error) {
	b, err := p.Encode()
	if err != nil {
		return Digest{}, err
	}
	return Digest(sha256.Sum256(b)), nil
}

// StepRecord says what one step of a batch made: written behind the partial sum, under the name of
// the step, it is the step's commit point. It is not signed.
type StepRecord struct {
	Version int     `json:"version"`
	RoundID RoundID `json:"round_id"`
	Step    StepID  `json:"step"`
	Level   int     `json:"level"`   // 1: its inputs are reports
	Inputs  int     `json:"inputs"`  // how many
	Partial Digest  `json:"partial"` // of the partial sum; zero if no report could be added
	Bytes   int64   `json:"bytes"`   // its size
	// Parts are the partial sums of the inputs in the order of their StepIDs, zero where there is none; empty at level 1.
	Parts    []Digest  `json:"parts"`
	Vehicles Vehicles  `json:"vehicles"` // of the partial sum's reports, in their order
	Refused  []Refusal `json:"refused"`  // all below the step, sorted by report
}

// Vehicles are pseudonyms one after the other; the text form is base64, a third of what a list would take.
type Vehicles []VehicleID

// MarshalText implements encoding.TextMarshaler.
func (v Vehicles) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 16*len(v))
	for _, id := range v {
		raw = append(raw, id[:]...)
	}
	return base64.StdEncoding.AppendEncode(make([]byte, 0, base64.StdEncoding.EncodedLen(len(raw))), raw), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Vehicles) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(raw)%16 != 0 {
		return fmt.Errorf("%w: want base64 of 16 bytes for each vehicle", ErrFormat)
	}
	*v = make(Vehicles, len(raw)/16)
	for i := range *v {
		(*v)[i] = VehicleID(raw[16*i:])
	}
	return nil
}

// Distinct tells whether no vehicle is there twice.
func (v Vehicles) Distinct() bool {
	sorted := slices.Clone(v) // a map would take three times as much
	slices.SortFunc(sorted, func(a, b VehicleID) int { return bytes.Compare(a[:], b[:]) })
	return len(slices.Compact(sorted)) == len(v)
}

// MaxLevel bounds the levels of a batch: 2^20 reports by twos, and 4096 regions by twos on top.
const MaxLevel = 32

func (r StepRecord) validate() error {
	if err := version("step", r.Version); err != nil {
		return err
	}
	if err := present("step", named{"round_id", r.RoundID.Digest}, named{"step", r.Step.Digest}); err != nil {
		return err
	}
	switch {
	case r.Level < 1 || r.Level > MaxLevel:
		return field("step", "level", r.Level, "1 to 32")
	case r.Inputs < 1 || r.Inputs > MaxFanIn:
		return field("step", "inputs", r.Inputs, "1 to 65536")
	case r.Parts == nil || r.Level == 1 && len(r.Parts) > 0 || r.Level > 1 && len(r.Parts) != r.Inputs:
		return field("step", "parts", len(r.Parts), "none at level 1, one for each input above")
	case r.Refused == nil || len(r.Vehicles)+len(r.Refused) > MaxReports:
		return field("step", "refused", len(r.Refused), "a list, not null, with vehicles at most 2^20")
	case r.Level == 1 && len(r.Vehicles)+len(r.Refused) != r.Inputs:
		return field("step", "inputs", r.Inputs, "every report added or refused")
	case r.Partial.IsZero() != (len(r.Vehicles) == 0) || r.Bytes < 0 || r.Partial.IsZero() != (r.Bytes == 0):
		return field("step", "partial", r.Partial.Short(), "a partial sum and its size exactly if a report was added")
	}
	return r.validateLists()
}

func (r StepRecord) validateLists() error {
	if !r.Vehicles.Distinct() {
		return field("step", "vehicles", len(r.Vehicles), "each vehicle once")
	}
	return checkRefused("step", r.Refused)
}

// Encode returns the canonical bytes.
func (r StepRecord) Encode() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	raw, err := marshal(r)
	if err == nil && len(raw) > MaxObject {
		err = field("step", "size", len(raw), "at most 2^27 bytes")
	}
	return raw, err
}

// stepBytesPerComma is below the 50 bytes of half a refusal.
const stepBytesPerComma = 45

// DecodeStepRecord reads a step's record of at most MaxObject bytes.
func DecodeStepRecord(data []byte) (StepRecord, error) {
	var r StepRecord
	if len(data) > MaxObject {
		return StepRecord{}, field("step", "size", len(data), "at most 2^27 bytes")
	}
	if err := decodeCanonical(data, &r, stepBytesPerComma); err != nil {
		return StepRecord{}, wrong("step", data, err)
	}
	if err := r.validate(); err != nil {
		return StepRecord{}, err
	}
	return r, nil
}
