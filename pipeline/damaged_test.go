package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/pipeline/client"
	"github.com/veilsum/veilsum/pipeline/collector"
	"github.com/veilsum/veilsum/pipeline/decryptor"
	"github.com/veilsum/veilsum/pipeline/pipelinetest"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// unreadable is a store in which some objects exist but cannot be read, as
// when their writer gave them a false checksum or took away the right to read.
type unreadable struct {
	storage.Store
	bad func(key string) bool
}

func (u unreadable) Get(ctx context.Context, key string) (io.ReadCloser, storage.Info, error) {
	if u.bad(key) {
		return nil, storage.Info{}, fmt.Errorf("%w: %s", storage.ErrDamaged, key)
	}
	return u.Store.Get(ctx, key)
}

func (u unreadable) GetRange(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if u.bad(key) {
		return nil, fmt.Errorf("%w: %s", storage.ErrDamaged, key)
	}
	return u.Store.GetRange(ctx, key, off, n)
}

// TestUnreadableObjects: one vehicle and one decryptor that make their own
// objects unreadable cost themselves, nobody else.
func TestUnreadableObjects(t *testing.T) {
	ctx := context.Background()
	f := pipelinetest.New(t, 7, pipelinetest.Task(300))
	r := f.Open(1)
	var ids []schema.ReportID
	for i := range f.Vehicles {
		ids = append(ids, f.Report(r, i))
	}
	header, piece := pipeline.HeaderKey(r.Name, ids[0]), pipeline.PieceKey(r.Name, ids[1], 0)
	f.Store = unreadable{f.Store, func(key string) bool {
		return key == header || key == piece || key == pipeline.VoteKey(r.Name, 3) || key == pipeline.AnswerKey(r.Name, 3) || strings.HasSuffix(key, "/3.json") && strings.Contains(key, "/checks/")
	}}
	all, quorum := []int{0, 1, 2, 3}, []int{0, 1, 2}
	candidates, _, err := f.Collector.Close(ctx, f.Store, r)
	if err != nil {
		t.Fatal(err)
	}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Check(ctx, f.Store, r, candidates, nil); return err })
	p, err := f.Collector.Propose(ctx, f.Store, r, candidates)
	if err != nil || p.Reports != 5 || len(p.Refused) != 2 {
		t.Fatal(p, err)
	}
	f.Committee(all, func(d *decryptor.Decryptor) error { _, err := d.Vote(ctx, f.Store, r); return err })
	f.Committee(quorum, func(d *decryptor.Decryptor) error { _, err := d.Answer(ctx, f.Store, r, nil); return err })
	got, err := f.Collector.Collect(ctx, f.Store, r, nil)
	if err != nil || got.Receipt.Status != schema.StatusCommitted || got.Receipt.Reports != 5 {
		t.Fatal(got, err)
	}
}

// TestUnusableRoundKey: a signed round key to which nothing can be sealed stops
// the opening of the round and names its decryptor, instead of stopping every vehicle.
func TestUnusableRoundKey(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	f.Keys(1)
	bad := schema.RoundKey{
		Version: schema.Version, TaskID: f.TaskID, Epoch: 1, Index: 2, PublicKey: make([]byte, 32), // a point of low order
		Expiry: f.Now().Add(time.Hour).Unix(), Coin: schema.Hash("coin", nil),
	}
	signed, err := schema.SignBody(bad, f.Members[2])
	if err != nil {
		t.Fatal(err)
	}
	f.Replace(pipeline.RoundKeyKey(f.Name(1), 2), func([]byte) []byte { return signed.Bytes() })
	_, err = f.Collector.Open(context.Background(), f.Store, f.Plan, collector.Opening{Name: f.Name(1), Snapshot: f.Snapshot, Deadline: f.Now()})
	if !errors.Is(err, pipeline.ErrUntrusted) || !strings.Contains(err.Error(), "/keys/2/") {
		t.Error(err)
	}
}

// TestRolesPrintNothing: no verb shows a key, whether of a pointer, a value or a field.
func TestRolesPrintNothing(t *testing.T) {
	f := pipelinetest.New(t, 4, pipelinetest.Task(100))
	d, exit := f.Decryptor(0)
	defer exit()
	c := f.Client(0)
	for _, v := range []any{c, *c, client.Config{Identity: f.Vehicles[0]}, d, *d, decryptor.Config{Key: f.Members[0]}, f.Collector, *f.Collector} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
			if got := fmt.Sprintf(verb, v); got != "[redacted]" {
				t.Errorf("%T prints %.60q for %s", v, got, verb)
			}
		}
	}
}
