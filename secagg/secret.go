package secagg

import "github.com/veilsum/veilsum/secagg/internal/redact"

// secret makes the type that embeds it print as "[redacted]".
type secret = redact.Secret

// hidden is where such a type keeps its content.
type hidden[T any] = redact.Hidden[T]
