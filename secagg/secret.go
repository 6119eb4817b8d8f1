package secagg

import "github.com/veilsum/veilsum/secagg/internal/redact"

// secret makes the type that embeds it print as "[redacted]".
type secret = redact.Secret
