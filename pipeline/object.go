package pipeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage/doctor"
)

// Kind says what an object in a store is, by its name.
type Kind int

// The kinds of objects; FORMAT.md section 15 lists them.
const (
	KindUnknown Kind = iota
	KindFormat
	KindTask
	KindModel
	KindRelease
	KindDelta
	KindRoundKey
	KindSnapshot
	KindReservation
	KindHandover
	KindLedger
	KindDescriptor
	KindHeader
	KindPiece
	KindCandidates
	KindCheck
	KindManifest
	KindVote
	KindAnswer
	KindPartial
	KindAggregate
	KindReceipt
	KindClaim
	KindBatch
	KindStep
	KindProbe // of the store itself, see the package doctor
	KindRegionSum
)

var kinds = [...]string{
	"unknown", "format", "task", "model", "release", "delta", "round key", "snapshot", "reservation", "handover", "ledger", "descriptor", "header", "piece",
	"candidates", "check", "manifest", "vote", "answer", "partial sum", "aggregate", "receipt", "claim", "batch plan", "step record", "probe", "regional sum",
}

// String names the kind.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kinds) {
		return kinds[0]
	}
	return kinds[k]
}

// Object is the name of an object, taken apart. Only the fields of its kind are set.
type Object struct {
	Kind    Kind
	Scope   schema.ScopeID   // of reservations, handovers and the ledger
	Round   RoundName        // of all that belongs to a round, round keys and reservations; Task also of tasks and models
	Report  schema.ReportID  // of headers and pieces
	Vehicle schema.VehicleID // of claims
	Region  string           // of regional sums
	Hash    schema.Digest    // that names the object, or for a check its candidate list, for a handover its committee
	Index   int              // of the decryptor, the piece, or the vehicle's place
	Size    int64            // of the ledger, in a handover
	Serial  uint64           // of a release
	Ledger  string           // the name within the ledger
}

// ParseObject takes a name apart, the inverse of the functions that make names; false
// for what none of them makes. It accepts exactly the names that [Object.Key] makes, and
// whatever lies below the folder of probes: two names never mean one object.
func ParseObject(key string) (Object, bool) {
	p := strings.Split(key, "/")
	var n Object
	switch {
	case key == FormatKey:
		return Object{Kind: KindFormat}, true
	case strings.HasPrefix(key, doctor.Folder):
		return Object{Kind: KindProbe}, true
	case p[0] == "snapshots" && len(p) == 2:
		n.Kind = KindSnapshot
		n.Hash = digestOf(p[1])
	case p[0] == "tasks" && len(p) > 2:
		n = parseTask(p[1], p[2:])
	case p[0] == "scopes" && len(p) > 3:
		n = parseScope(p[1], p[2:])
	}
	// A name that says the same otherwise (digits in upper case, say) is another name.
	if n.Kind == KindUnknown || n.Index < 0 || n.Size < 0 || n.Key() != key {
		return Object{}, false
	}
	return n, true
}

// digestOf returns zero for what is none; the caller compares the spelling.
func digestOf(s string) schema.Digest {
	d, err := schema.ParseDigest(s)
	if err != nil {
		return schema.Digest{}
	}
	return d
}

func numberOf(s string) int {
	i, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return i
}

// jsonOf returns the name in front of ".json".
func jsonOf(s string) string { return strings.TrimSuffix(s, ".json") }

func parseTask(task string, p []string) Object {
	n := Object{Round: RoundName{Task: schema.TaskID{Digest: digestOf(task)}}}
	switch {
	case len(p) == 1:
		n.Kind = KindTask
	case p[0] == "models" && len(p) == 2:
		n.Kind, n.Hash = KindModel, digestOf(p[1])
	case p[0] == "deltas" && len(p) == 2:
		n.Kind, n.Hash = KindDelta, digestOf(p[1])
	case p[0] == "releases" && len(p) == 2:
		n.Kind = KindRelease
		n.Serial, _ = strconv.ParseUint(jsonOf(p[1]), 10, 64) // 0 for what is none; the caller compares the spelling
	case p[0] == "keys" && len(p) == 3:
		n.Kind, n.Index = KindRoundKey, numberOf(p[1])
		n.round(jsonOf(p[2]))
	case p[0] == "rounds" && len(p) > 2:
		n.round(p[1])
		n.parseRound(p[2:])
	}
	return n
}

// round reads "epoch-lane"; zero for what is none.
func (n *Object) round(name string) {
	r, err := ParseRound(name)
	if err == nil {
		n.Round.Epoch, n.Round.Lane = r.Epoch, r.Lane
	}
}

// ParseRound reads "epoch-lane" as [RoundName.String] writes it; the task is not part of it.
func ParseRound(name string) (RoundName, error) {
	epoch, lane, _ := strings.Cut(name, "-")
	e, err1 := strconv.ParseUint(epoch, 10, 64)
	l, err2 := strconv.ParseUint(lane, 10, 32)
	n := RoundName{Epoch: e, Lane: uint32(l)}
	if err1 != nil || err2 != nil || n.String() != name {
		return RoundName{}, fmt.Errorf("pipeline: %.40q is no round", name)
	}
	return n, nil
}

// roundKinds are those whose name is a folder and one more name.
var roundKinds = map[string]Kind{
	"candidates": KindCandidates, "manifests": KindManifest, "votes": KindVote, "answers": KindAnswer, "partials": KindPartial, "aggregate": KindAggregate,
	"batches": KindBatch, "steps": KindStep,
}

func (n *Object) parseRound(p []string) {
	switch {
	case len(p) == 1 && p[0] == "descriptor.json":
		n.Kind = KindDescriptor
	case len(p) == 1 && p[0] == "receipt.json":
		n.Kind = KindReceipt
	case len(p) == 2:
		n.Kind = roundKinds[p[0]]
		name, _, _ := strings.Cut(p[1], ".")
		n.Hash, n.Index = digestOf(name), 0
		if n.Kind == KindVote || n.Kind == KindAnswer {
			n.Hash, n.Index = schema.Digest{}, numberOf(name)
		}
	case p[0] == "checks" && len(p) == 3:
		n.Kind, n.Hash, n.Index = KindCheck, digestOf(p[1]), numberOf(jsonOf(p[2]))
	case p[0] == "regions" && len(p) == 3 && schema.RegionName(p[1]):
		n.Kind, n.Region, n.Hash = KindRegionSum, p[1], digestOf(jsonOf(p[2]))
	case p[0] == "claims" && len(p) == 3:
		vehicle, index, _ := strings.Cut(p[2], "-")
		n.Kind, n.Index = KindClaim, numberOf(index)
		_ = n.Vehicle.UnmarshalText([]byte(vehicle)) // zero for what is none; the caller compares the spelling
	case p[0] == "reports" && len(p) == 4:
		n.Report = schema.ReportID{Digest: digestOf(p[2])}
		n.Kind = KindHeader
		if piece, ok := strings.CutPrefix(p[3], "piece-"); ok {
			n.Kind, n.Index = KindPiece, numberOf(piece)
		}
	}
}

func parseScope(scope string, p []string) Object {
	n := Object{Scope: schema.ScopeID{Digest: digestOf(scope)}}
	switch {
	case p[0] == "ledger":
		n.Kind, n.Ledger = KindLedger, strings.Join(p[1:], "/")
	case p[0] == "reservations" && len(p) == 4:
		n.Kind, n.Hash = KindReservation, digestOf(jsonOf(p[3]))
		n.Round.Task = schema.TaskID{Digest: digestOf(p[1])}
		n.round(p[2])
	case p[0] == "handovers" && len(p) == 3:
		n.Kind, n.Hash = KindHandover, digestOf(p[1])
		size, index, _ := strings.Cut(jsonOf(p[2]), "-")
		n.Size, n.Index = int64(numberOf(size)), numberOf(index)
	}
	return n
}

// Key returns the object's name, "" for no kind.
func (n Object) Key() string {
	switch n.Kind {
	case KindFormat:
		return FormatKey
	case KindTask:
		return TaskKey(n.Round.Task)
	case KindModel:
		return ModelKey(n.Round.Task, n.Hash)
	case KindRelease:
		return ReleaseKey(n.Round.Task, n.Serial)
	case KindDelta:
		return DeltaKey(n.Round.Task, n.Hash)
	case KindRoundKey:
		return RoundKeyKey(n.Round, n.Index)
	case KindSnapshot:
		return SnapshotKey(n.Hash)
	case KindReservation:
		return ReservationKey(n.Scope, n.Round, schema.ManifestID{Digest: n.Hash})
	case KindHandover:
		return HandoverKey(n.Scope, n.Hash, n.Size, n.Index)
	case KindLedger:
		return LedgerPrefix(n.Scope) + n.Ledger
	}
	return n.roundKey()
}

func (n Object) roundKey() string {
	switch n.Kind {
	case KindDescriptor:
		return DescriptorKey(n.Round)
	case KindHeader:
		return HeaderKey(n.Round, n.Report)
	case KindPiece:
		return PieceKey(n.Round, n.Report, n.Index)
	case KindCandidates:
		return CandidatesKey(n.Round, n.Hash)
	case KindCheck:
		return CheckKey(n.Round, n.Hash, n.Index)
	case KindManifest:
		return ManifestKey(n.Round, schema.ManifestID{Digest: n.Hash})
	case KindVote:
		return VoteKey(n.Round, n.Index)
	case KindAnswer:
		return AnswerKey(n.Round, n.Index)
	case KindPartial:
		return PartialKey(n.Round, n.Hash)
	case KindAggregate:
		return AggregateKey(n.Round, n.Hash)
	case KindReceipt:
		return ReceiptKey(n.Round)
	case KindRegionSum:
		return RegionSumKey(n.Round, n.Region, n.Hash)
	case KindClaim:
		return ClaimKey(n.Round, n.Vehicle, n.Index)
	case KindBatch:
		return BatchKey(n.Round, n.Hash)
	case KindStep:
		return StepKey(n.Round, schema.StepID{Digest: n.Hash})
	}
	return ""
}

// Evidence tells whether an object of this name can be evidence in an audit: all but
// pieces, of which a sum that a receipt names can take the place, and the notes of a gateway and of a batch.
func Evidence(key string) bool {
	o, ok := ParseObject(key)
	return ok && !slices.Contains([]Kind{KindPiece, KindClaim, KindBatch, KindStep, KindProbe}, o.Kind)
}
