package ui_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/slogtest"

	"github.com/veilsum/veilsum/cmd/internal/ui"
)

// TestHandler: the JSON lines are those of a complete slog handler, with their type in front.
func TestHandler(t *testing.T) {
	var b bytes.Buffer
	results := func() (all []map[string]any) {
		for _, line := range bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n")) {
			m := map[string]any{}
			if err := json.Unmarshal(line, &m); err != nil || m["type"] != "event" {
				t.Fatalf("%s: %v", line, err)
			}
			m[slog.MessageKey] = m["event"]
			all = append(all, m)
		}
		return all
	}
	if err := slogtest.TestHandler(ui.NewHandler(ui.NewJSON(&b)), results); err != nil {
		t.Error(err)
	}
}

// TestHandlerText: people get one line on standard error, and nothing of it on standard output.
func TestHandlerText(t *testing.T) {
	var out, errw bytes.Buffer
	log := slog.New(ui.NewHandler(ui.NewText("veilsum", &out, &errw))).With("task", "ab")
	log.Info("voted", "epoch", 7)
	log.Warn("trouble", "error", "a store is down")
	log.Debug("not shown")
	want := "veilsum: voted task=ab epoch=7\nveilsum: warning: trouble task=ab error=\"a store is down\"\n"
	if errw.String() != want || out.Len() > 0 {
		t.Errorf("%q, want %q; %q", errw.String(), want, out.String())
	}
}
