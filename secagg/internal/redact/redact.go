// Package redact keeps secrets out of prints and logs.
package redact

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is embedded in every type that holds a key, a seed or a one-time
// secret: no print verb and no structured log then shows the content. The
// fields beside it must be unexported, so that encoders by reflection see
// nothing either.
type Secret struct{}

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Hidden keeps a value in a closure. Methods of [Secret] are not called for an
// unexported field of somebody else's struct, and package fmt follows pointers
// for some verbs; a function it shows as an address only. The zero value holds
// the zero value of T.
type Hidden[T any] struct {
	get func() T
}

// Hide returns v, hidden.
func Hide[T any](v T) Hidden[T] {
	return Hidden[T]{get: func() T { return v }}
}

// Get returns the value.
func (h Hidden[T]) Get() T {
	if h.get == nil {
		var zero T
		return zero
	}
	return h.get()
}

// IsZero reports whether nothing was ever hidden here.
func (h Hidden[T]) IsZero() bool { return h.get == nil }
