package pipeline_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
)

// TestParseObject: what has a name of its kind is read back from it.
func TestParseObject(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := digest(rt, "hash")
		task := pipeline.RoundName{Task: schema.TaskID{Digest: digest(rt, "task")}}
		n := task
		n.Epoch, n.Lane = rapid.Uint64().Draw(rt, "epoch"), rapid.Uint32().Draw(rt, "lane")
		i := rapid.IntRange(0, 1<<22).Draw(rt, "index")
		for _, want := range []pipeline.Object{
			{Kind: pipeline.KindTask, Round: task},
			{Kind: pipeline.KindModel, Round: task, Hash: d},
			{Kind: pipeline.KindRelease, Round: task, Serial: n.Epoch},
			{Kind: pipeline.KindDelta, Round: task, Hash: d},
			{Kind: pipeline.KindRoundKey, Round: n, Index: i},
			{Kind: pipeline.KindDescriptor, Round: n},
			{Kind: pipeline.KindReceipt, Round: n},
			{Kind: pipeline.KindPiece, Round: n, Report: schema.ReportID{Digest: d}, Index: i},
			{Kind: pipeline.KindHeader, Round: n, Report: schema.ReportID{Digest: d}},
		} {
			have, ok := pipeline.ParseObject(want.Key())
			if !ok || have != want {
				rt.Fatalf("%q: %+v, want %+v", want.Key(), have, want)
			}
		}
	})
}

// TestParseObjectRefuses: names of other objects, and other spellings, are no names.
func TestParseObjectRefuses(t *testing.T) {
	n := pipeline.RoundName{Epoch: 7}
	d := schema.Digest{0xab}
	piece := pipeline.PieceKey(n, schema.ReportID{Digest: d}, 3)
	for _, key := range []string{
		"", "tasks", "tasks/", "/" + piece, piece + "/", piece + "/x", piece + "0/..", strings.Replace(piece, "piece-3", "piece-03", 1), strings.Replace(piece, "piece-3", "piece-+3", 1),
		strings.Replace(piece, "piece-3", "piece--3", 1), strings.Replace(piece, "/ab/", "/ac/", 1), strings.Replace(piece, "/ab/", "/../", 1), strings.ToUpper(piece),
		strings.Replace(piece, "000000000007-0", "7-0", 1), strings.Replace(piece, "000000000007-0", "000000000007-00", 1), strings.Replace(piece, "-0/", "-4294967296/", 1),
		strings.Replace(pipeline.ReleaseKey(n.Task, 7), "000000000007", "7", 1), pipeline.ReleasesPrefix(n.Task), strings.TrimSuffix(pipeline.ReleaseKey(n.Task, 7), ".json"),
		pipeline.RoundPrefix(n), strings.TrimSuffix(pipeline.RoundKeyKey(n, 1), ".json"),
	} {
		if o, ok := pipeline.ParseObject(key); ok {
			t.Errorf("%q is %+v", key, o)
		}
	}
}

// FuzzParseObject: an object has one name.
func FuzzParseObject(f *testing.F) {
	n := pipeline.RoundName{Epoch: 7}
	f.Add(pipeline.TaskKey(n.Task))
	f.Add(pipeline.RoundKeyKey(n, 1))
	f.Add(pipeline.ReleaseKey(n.Task, 3))
	f.Add(pipeline.PieceKey(n, schema.ReportID{}, 3))
	f.Add(pipeline.CheckKey(n, schema.Digest{1}, 2))
	f.Add(pipeline.HandoverKey(schema.ScopeID{}, schema.Digest{1}, 5, 1))
	f.Fuzz(func(t *testing.T, key string) {
		o, ok := pipeline.ParseObject(key)
		_ = o.Kind.String()
		if ok && o.Kind != pipeline.KindProbe && o.Key() != key {
			t.Fatalf("%q is also %q", key, o.Key())
		}
	})
}
