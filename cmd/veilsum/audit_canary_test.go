package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestAuditCanaryInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs bytes.Buffer
	stop := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("reports sealed")) {
			cancel()
		}
		return out.Write(p)
	})
	code := run(ctx, []string{"audit", "canary", "--json", "--canaries", "2000"}, strings.NewReader(""), stop, &errs)
	all := lines(t, out.String())
	if code != exitInterrupted || len(all["result"]) != 0 || len(all["error"]) != 1 {
		t.Fatalf("exit status %d: %s", code, out.String())
	}
	if hint, _ := all["error"][0]["hint"].(string); !strings.Contains(hint, "does not resume") {
		t.Errorf("hint %q", hint)
	}
}
