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
