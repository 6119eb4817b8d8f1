package pipeline

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/veilsum/veilsum/schema"
)

// RoundName is what names a round inside a task.
type RoundName struct {
	Task  schema.TaskID
	Epoch uint64
	Lane  uint32
}

// String returns "epoch-lane", as in object names.
func (n RoundName) String() string { return fmt.Sprintf("%012d-%d", n.Epoch, n.Lane) }

// ParseRoundName reads what String returned, for a round of the task.
func ParseRoundName(task schema.TaskID, text string) (n RoundName, ok bool) {
	n.Task = task
	epoch, lane, _ := strings.Cut(text, "-")
	e, err := strconv.ParseUint(epoch, 10, 64)
	l, err2 := strconv.ParseUint(lane, 10, 32)
	n.Epoch, n.Lane = e, uint32(l)
	return n, err == nil && err2 == nil && n.String() == text
}

// The names of objects in a store; FORMAT.md lists them. Every object is
// created once and never changed.

// TaskKey is where the signed task lies.
func TaskKey(id schema.TaskID) string { return "tasks/" + id.String() + "/task.json" }

// ModelKey is where a model lies.
func ModelKey(id schema.TaskID, hash schema.Digest) string {
	return "tasks/" + id.String() + "/models/" + hash.String()
}

// ReleasesPrefix is the folder of a task's releases.
func ReleasesPrefix(id schema.TaskID) string { return "tasks/" + id.String() + "/releases/" }

// ReleaseKey is where the release of a serial number lies.
func ReleaseKey(id schema.TaskID, serial uint64) string {
	return fmt.Sprintf("%s%012d.json", ReleasesPrefix(id), serial)
}

// DeltaKey is where a delta between two models lies.
func DeltaKey(id schema.TaskID, hash schema.Digest) string {
	return "tasks/" + id.String() + "/deltas/" + hash.String()
}

// RoundKeysPrefix is the folder of decryptor k's round keys.
func RoundKeysPrefix(id schema.TaskID, k int) string {
	return fmt.Sprintf("tasks/%s/keys/%d/", id, k)
}

// RoundKeyKey is where decryptor k's signed round key lies.
func RoundKeyKey(n RoundName, k int) string {
	return RoundKeysPrefix(n.Task, k) + n.String() + ".json"
}

// SnapshotKey is where an enrollment snapshot lies.
func SnapshotKey(root schema.Digest) string { return snapshotsPrefix + root.String() }

const snapshotsPrefix = "snapshots/"

// RoundsPrefix is the folder of all rounds of a task, with a slash at its end.
func RoundsPrefix(id schema.TaskID) string { return fmt.Sprintf("tasks/%s/rounds/", id) }

// RoundPrefix is the folder of a round, with a slash at its end.
func RoundPrefix(n RoundName) string { return RoundsPrefix(n.Task) + n.String() + "/" }

// DescriptorKey is where the round's descriptor lies.
func DescriptorKey(n RoundName) string { return RoundPrefix(n) + "descriptor.json" }

// ReportsPrefix is the folder of all reports of a round.
func ReportsPrefix(n RoundName) string { return RoundPrefix(n) + "reports/" }

// ReportPrefix is the folder of one report; its parent is named by the first byte of the
// ReportID, which spreads load and lets listers work in shards.
func ReportPrefix(n RoundName, id schema.ReportID) string {
	s := id.String()
	return ReportsPrefix(n) + s[:2] + "/" + s + "/"
}

// HeaderKey is where the header object lies, which commits the report.
func HeaderKey(n RoundName, id schema.ReportID) string { return ReportPrefix(n, id) + "header" }

// PieceKey is where piece j lies.
func PieceKey(n RoundName, id schema.ReportID, j int) string {
	return fmt.Sprintf("%spiece-%d", ReportPrefix(n, id), j)
}

// ClaimKey is where a gateway notes which report took a vehicle's i-th place in the round. No
// other role reads it.
func ClaimKey(n RoundName, v schema.VehicleID, i int) string {
	s := v.String()
	return fmt.Sprintf("%sclaims/%s/%s-%d", RoundPrefix(n), s[:2], s, i)
}

// reportOf returns the ReportID of a header object's name.
func reportOf(n RoundName, key string) (schema.ReportID, bool) {
	rest, ok := strings.CutPrefix(key, ReportsPrefix(n))
	rest, isHeader := strings.CutSuffix(rest, "/header")
	parts := strings.Split(rest, "/")
	if !ok || !isHeader || len(parts) != 2 {
		return schema.ReportID{}, false
	}
	d, err := schema.ParseDigest(parts[1])
	return schema.ReportID{Digest: d}, err == nil && parts[0] == parts[1][:2]
}

// CandidatesPrefix is the folder of candidate lists.
func CandidatesPrefix(n RoundName) string { return RoundPrefix(n) + "candidates/" }

// CandidatesKey is where a candidate list lies.
func CandidatesKey(n RoundName, id schema.Digest) string {
	return CandidatesPrefix(n) + id.String() + ".json"
}

// ChecksPrefix is the folder of all checks of a round.
func ChecksPrefix(n RoundName) string { return RoundPrefix(n) + "checks/" }

// CheckKey is where decryptor k's check of a candidate list lies.
func CheckKey(n RoundName, candidates schema.Digest, k int) string {
	return fmt.Sprintf("%s%s/%d.json", ChecksPrefix(n), candidates, k)
}

// ManifestsPrefix is the folder of manifests.
func ManifestsPrefix(n RoundName) string { return RoundPrefix(n) + "manifests/" }

// ManifestKey is where a manifest lies.
func ManifestKey(n RoundName, id schema.ManifestID) string {
	return ManifestsPrefix(n) + id.String() + ".json"
}

// ScopePrefix is the folder of all reservations of a BudgetScope, over all its tasks. Those count
// that the ledger names.
func ScopePrefix(id schema.ScopeID) string { return "scopes/" + id.String() + "/reservations/" }

// ReservationKey is where the reservation of a manifest lies.
func ReservationKey(scope schema.ScopeID, n RoundName, id schema.ManifestID) string {
	return fmt.Sprintf("%s%s/%s/%s.json", ScopePrefix(scope), n.Task, n, id)
}

// LedgerPrefix is the folder of a BudgetScope's ledger; privacy/ledger names what is in it.
func LedgerPrefix(id schema.ScopeID) string { return "scopes/" + id.String() + "/ledger/" }

// HandoversPrefix is the folder of the handovers of one committee of a BudgetScope.
func HandoversPrefix(scope schema.ScopeID, committee schema.Digest) string {
	return fmt.Sprintf("scopes/%s/handovers/%s/", scope, committee)
}

// HandoverKey is where member k's handover at a checkpoint lies.
func HandoverKey(scope schema.ScopeID, committee schema.Digest, size int64, k int) string {
	return fmt.Sprintf("%s%016d-%d.json", HandoversPrefix(scope, committee), size, k)
}

// VoteKey is where decryptor k's vote lies.
func VoteKey(n RoundName, k int) string { return fmt.Sprintf("%svotes/%d.json", RoundPrefix(n), k) }

// AnswerKey is where decryptor k's answer lies.
func AnswerKey(n RoundName, k int) string {
	return fmt.Sprintf("%sanswers/%d.json", RoundPrefix(n), k)
}

// PartialsPrefix is the folder of partial sums.
func PartialsPrefix(n RoundName) string { return RoundPrefix(n) + "partials/" }

// PartialKey is where a partial sum lies.
func PartialKey(n RoundName, sha256 schema.Digest) string {
	return PartialsPrefix(n) + sha256.String() + ".vsp"
}

// RegionSumsPrefix is the folder of a region's signed sums.
func RegionSumsPrefix(n RoundName, region string) string {
	return RoundPrefix(n) + "regions/" + region + "/"
}

// RegionSumKey is where a region's signed sum lies, see [RegionSumName].
func RegionSumKey(n RoundName, region string, sha256 schema.Digest) string {
	return RegionSumsPrefix(n, region) + sha256.String() + ".json"
}

// BatchKey is where the plan of a batch lies.
func BatchKey(n RoundName, sha256 schema.Digest) string {
	return RoundPrefix(n) + "batches/" + sha256.String() + ".vsb"
}

// StepKey is where the record of a step of a batch lies, which commits the step.
func StepKey(n RoundName, id schema.StepID) string {
	return RoundPrefix(n) + "steps/" + id.String() + ".json"
}

// AggregateKey is where an aggregate lies; it counts only once a receipt names it.
func AggregateKey(n RoundName, sha256 schema.Digest) string {
	return RoundPrefix(n) + "aggregate/" + sha256.String() + ".arrow"
}

// ReceiptKey is where the receipt lies: the commit point.
func ReceiptKey(n RoundName) string { return RoundPrefix(n) + "receipt.json" }
