package aggregator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/secagg"
	"github.com/veilsum/veilsum/storage"
)

// ErrOverlap: two partial sums share a report.
var ErrOverlap = errors.New("aggregator: partial sums share a report")

// ErrEmpty: there is nothing to add.
var ErrEmpty = errors.New("aggregator: no reports")

// Encode returns the partial sum's bytes and their SHA-256, its name.
func (p *PartialSum) Encode(r *pipeline.Round) ([]byte, schema.Digest, error) {
	if len(p.Reports) == 0 {
		return nil, schema.Digest{}, ErrEmpty
	}
	var buf bytes.Buffer
	buf.Grow(int(r.Secagg.SumBytes()))
	if _, err := p.Sum.WriteTo(&buf); err != nil {
		return nil, schema.Digest{}, err
	}
	raw, err := schema.Partial{RoundID: r.ID, N: r.Secagg.N(), Q: r.Secagg.Q(), Values: r.Secagg.Values(), Reports: p.Reports, Sum: buf.Bytes()}.Encode()
	return raw, schema.Digest(sha256.Sum256(raw)), err
}

// Store writes the partial sum under its hash and returns the hash.
func Store(ctx context.Context, s storage.Store, r *pipeline.Round, p *PartialSum) (schema.Digest, error) {
	raw, id, err := p.Encode(r)
	if err != nil {
		return id, err
	}
	_, err = s.PutOnce(ctx, pipeline.PartialKey(r.Name, id), raw)
	return id, err
}

// Load reads a partial sum by its hash.
func Load(ctx context.Context, s storage.Store, r *pipeline.Round, id schema.Digest) (*PartialSum, error) {
	key := pipeline.PartialKey(r.Name, id)
	raw, err := pipeline.Read(ctx, s, key, r.Secagg.SumBytes()+64+32*schema.MaxReports)
	if err != nil {
		return nil, err
	}
	p, err := Decode(r, raw)
	if err == nil && sha256.Sum256(raw) != id {
		err = errors.New("content differs from its name")
	}
	if err != nil {
		return nil, pipeline.Untrusted(key, err)
	}
	return p, nil
}

// Decode reads a partial sum of this round.
func Decode(r *pipeline.Round, raw []byte) (*PartialSum, error) {
	p, err := schema.DecodePartial(raw)
	if err != nil {
		return nil, err
	}
	if p.RoundID != r.ID || p.N != r.Secagg.N() || p.Q != r.Secagg.Q() || p.Values != r.Secagg.Values() {
		return nil, fmt.Errorf("%w: a partial sum of another round", schema.ErrFormat)
	}
	sum, err := secagg.ReadSum(r.Secagg, bytes.NewReader(p.Sum))
	if err != nil {
		return nil, err
	}
	return &PartialSum{Reports: p.Reports, Sum: sum}, nil
}

// Merge adds partial sums of disjoint lists; it changes none of them.
func Merge(r *pipeline.Round, parts ...*PartialSum) (*PartialSum, error) {
	all := &PartialSum{Sum: secagg.NewSum(r.Secagg)}
	for _, p := range parts {
		if err := all.absorb(p); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// List returns the hashes of all partial sums of the round in the store.
func List(ctx context.Context, s storage.Store, r *pipeline.Round) ([]schema.Digest, error) {
	infos, err := list(ctx, s, r)
	var ids []schema.Digest
	for _, x := range infos {
		ids = append(ids, x.id)
	}
	return ids, err
}

type stored struct {
	id   schema.Digest
	size int64
}

// maxPartials bounds the partial sums of one round that are looked at.
const maxPartials = 1 << 16

func list(ctx context.Context, s storage.Store, r *pipeline.Round) ([]stored, error) {
	var all []stored
	prefix := pipeline.PartialsPrefix(r.Name)
	for info, err := range s.List(ctx, prefix, "") {
		if err != nil {
			return nil, err
		}
		if id, err := schema.ParseDigest(trimName(info.Key, prefix)); err == nil {
			all = append(all, stored{id, info.Size})
		}
		if len(all) > maxPartials {
			return nil, fmt.Errorf("%w: %s: more than %d partial sums", pipeline.ErrUntrusted, prefix, maxPartials)
		}
	}
	return all, nil
}

func trimName(key, prefix string) string {
	name := key[len(prefix):]
	if i := len(name) - len(".vsp"); i > 0 && name[i:] == ".vsp" {
		return name[:i]
	}
	return ""
}
