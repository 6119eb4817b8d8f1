package pipeline

import (
	"context"
	"iter"
	"strings"

	"github.com/veilsum/veilsum/schema"
	"github.com/veilsum/veilsum/storage"
)

// rounds walks over the rounds of a task of which the store holds any object, behind a name, in the order of their
// folders. It asks once for each and lists none of what is in them.
func rounds(ctx context.Context, s storage.Store, id schema.TaskID, after string) iter.Seq2[RoundName, error] {
	return func(yield func(RoundName, error) bool) {
		prefix := RoundsPrefix(id)
		for last := after; ; {
			folder, err := firstFolder(ctx, s, prefix, last)
			if err != nil {
				yield(RoundName{}, err)
				return
			}
			if folder == "" {
				return
			}
			last = prefix + folder + "/~"
			if n, ok := ParseRoundName(id, folder); ok && !yield(n, nil) {
				return
			}
		}
	}
}

// behind is a name behind all objects of a round: '~' sorts behind all that a key may hold.
func behind(n RoundName) string { return RoundPrefix(n) + "~" }

// firstFolder returns the name below prefix of the first object behind after, "" if there is none.
func firstFolder(ctx context.Context, s storage.Store, prefix, after string) (string, error) {
	for info, err := range s.List(ctx, prefix, after) {
		if err != nil {
			return "", err
		}
		folder, _, _ := strings.Cut(info.Key[len(prefix):], "/")
		return folder, nil
	}
	return "", nil
}
