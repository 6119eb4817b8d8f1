package watch

import (
	"context"
	"errors"
	"fmt"

	"github.com/veilsum/veilsum/pipeline"
)

// explain tells an operator what a ledger means that voids a vote of this decryptor: it
// will never vote in the scope again, but can still do everything else there.
func explain(err error) error {
	return fmt.Errorf("watch: no more votes in this scope, since a round was aborted while this decryptor's vote was not to be seen: %w", err)
}

// maxRest is the most passes that a round with trouble is left alone.
const maxRest = 16

// trouble is an error that lasts: it is logged once, and tried again less and less often.
type trouble struct {
	text   string
	err    error
	rest   int // passes to leave it alone
	passed int // since it was tried
}

// resting tells whether the thing is to be left alone in this pass.
func (w *Watcher) resting(key string) bool {
	x := w.trouble[key]
	if x == nil {
		return false
	}
	if x.passed++; x.passed < x.rest {
		w.stats.Troubled++
		return true
	}
	return false
}

// note remembers an error, or that there is none any more, logs what changed, and returns it.
func (w *Watcher) note(key string, err error, attrs ...any) error {
	old := w.trouble[key]
	if err == nil {
		if old != nil {
			delete(w.trouble, key)
			w.Log.Info("goes on", attrs...)
		}
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return err // it ends, that is no trouble
	}
	w.stats.Troubled++
	x := &trouble{text: err.Error(), err: err, rest: 1}
	if old != nil {
		x.rest = min(2*old.rest, maxRest)
	}
	w.trouble[key] = x
	if old == nil || old.text != x.text {
		level := w.Log.Warn
		if errors.Is(err, pipeline.ErrFork) || Fatal(err) {
			level = w.Log.Error
		}
		level("trouble", append(attrs, "error", err)...)
	}
	return err
}
