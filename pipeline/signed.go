package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// SignedBy returns, by name, every object below decryptor k's names in a round (checks, vote and
// answer) that carries its signature, whatever round it says that it is of. The round need not be open. What
// is absent or does not verify is left out: k did not make it.
func SignedBy(ctx context.Context, s storage.Store, p *Plan, n RoundName, k int) (map[string][]byte, error) {
	found := map[string][]byte{}
	err := errors.Join(
		signedAt[schema.Vote](ctx, s, p, VoteKey(n, k), k, found),
		signedAt[schema.Answer](ctx, s, p, AnswerKey(n, k), k, found),
	)
	if err != nil {
		return nil, err
	}
	seen := 0
	for info, err := range s.List(ctx, ChecksPrefix(n), "") {
		if err != nil {
			return nil, err
		}
		if seen++; seen > maxProposals*p.Task.Committee.Size {
			break // they are evidence only
		}
		if !strings.HasSuffix(info.Key, fmt.Sprintf("/%d.json", k)) {
			continue
		}
		if err := signedAt[schema.Check](ctx, s, p, info.Key, k, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func signedAt[T schema.Object](ctx context.Context, s storage.Store, p *Plan, key string, k int, found map[string][]byte) error {
	x, err := load[T](ctx, s, key, p.Task.Committee.Keys[k])
	switch {
	case err == nil:
		found[key] = x.Bytes()
	case !errors.Is(err, storage.ErrNotExist) && !errors.Is(err, ErrUntrusted):
		return err
	}
	return nil
}
