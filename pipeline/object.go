package pipeline

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/veilsum/veilsum/schema"
)

// Kind says what an object in a store is, by its name.
type Kind int

// The kinds that a vehicle has to do with.
const (
	KindTask Kind = iota + 1
	KindModel
	KindRoundKey
	KindDescriptor
	KindReceipt
	KindPiece
	KindHeader
)

// Object is the name of an object, taken apart. Only the fields of its kind are set.
type Object struct {
	Kind   Kind
	Round  RoundName       // of a task or model only the task
	Index  int             // of a round key the decryptor, of a piece its number
	Hash   schema.Digest   // of a model
	Report schema.ReportID // of a piece or header
}

// Key returns the object's name, "" for no kind.
func (o Object) Key() string {
	switch o.Kind {
	case KindTask:
		return TaskKey(o.Round.Task)
	case KindModel:
		return ModelKey(o.Round.Task, o.Hash)
	case KindRoundKey:
		return RoundKeyKey(o.Round, o.Index)
	case KindDescriptor:
		return DescriptorKey(o.Round)
	case KindReceipt:
		return ReceiptKey(o.Round)
	case KindPiece:
		return PieceKey(o.Round, o.Report, o.Index)
	case KindHeader:
		return HeaderKey(o.Round, o.Report)
	}
	return ""
}

// ParseObject takes the name of a task, model, round key, descriptor, receipt, piece or header apart.
// It accepts exactly the names that [Object.Key] makes: two names never mean one object.
func ParseObject(key string) (Object, bool) {
	parts := strings.Split(key, "/")
	if len(parts) < 3 || len(parts) > 8 || parts[0] != "tasks" {
		return Object{}, false
	}
	var o Object
	ok := digest(parts[1], &o.Round.Task.Digest) && o.parse(parts[2:])
	return o, ok && o.Key() == key
}

// parse reads what follows the task; whatever is no number or hash is found by the comparison.
func (o *Object) parse(rest []string) bool {
	switch {
	case len(rest) == 1 && rest[0] == "task.json":
		o.Kind = KindTask
	case len(rest) == 2 && rest[0] == "models":
		o.Kind = KindModel
		return digest(rest[1], &o.Hash)
	case len(rest) == 3 && rest[0] == "keys":
		o.Kind = KindRoundKey
		name, isJSON := strings.CutSuffix(rest[2], ".json")
		return isJSON && o.round(name) && number(rest[1], &o.Index)
	case len(rest) == 3 && rest[0] == "rounds" && rest[2] == "descriptor.json":
		o.Kind = KindDescriptor
		return o.round(rest[1])
	case len(rest) == 3 && rest[0] == "rounds" && rest[2] == "receipt.json":
		o.Kind = KindReceipt
		return o.round(rest[1])
	case len(rest) == 6 && rest[0] == "rounds" && rest[2] == "reports":
		return o.round(rest[1]) && digest(rest[4], &o.Report.Digest) && o.part(rest[5])
	}
	return o.Kind != 0
}

func (o *Object) part(name string) bool {
	o.Kind = KindHeader
	if j, ok := strings.CutPrefix(name, "piece-"); ok {
		o.Kind = KindPiece
		return number(j, &o.Index)
	}
	return name == "header"
}

func (o *Object) round(name string) bool {
	n, err := ParseRound(name)
	o.Round.Epoch, o.Round.Lane = n.Epoch, n.Lane
	return err == nil
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

func digest(s string, d *schema.Digest) bool {
	x, err := schema.ParseDigest(s)
	*d = x
	return err == nil
}

func number(s string, n *int) bool {
	x, err := strconv.Atoi(s)
	*n = x
	return err == nil && x >= 0
}
