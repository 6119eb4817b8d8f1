package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// NewHandler returns a handler for package log/slog that speaks through a
// printer: in text a line such as "voted epoch=7 lane=0", warned of from level Warn on; in JSON
// {"type":"event","time":…,"level":"INFO","event":"voted","epoch":7,…}.
func NewHandler(p Printer) slog.Handler { return &handler{printer: p} }

// handler collects what With and WithGroup said, to be said again with each record.
type handler struct {
	printer Printer
	with    []func(slog.Handler) slog.Handler
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.and(func(x slog.Handler) slog.Handler { return x.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return h.and(func(x slog.Handler) slog.Handler { return x.WithGroup(name) })
}

func (h *handler) and(f func(slog.Handler) slog.Handler) slog.Handler {
	return &handler{h.printer, append(h.with[:len(h.with):len(h.with)], f)}
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	var text, object bytes.Buffer
	var t slog.Handler = slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: bare})
	var o slog.Handler = slog.NewJSONHandler(&object, &slog.HandlerOptions{ReplaceAttr: rename})
	for _, f := range h.with {
		t, o = f(t), f(o)
	}
	if err := t.Handle(ctx, r); err != nil {
		return err
	}
	if err := o.Handle(ctx, r); err != nil {
		return err
	}
	line := strings.TrimSpace(r.Message + " " + strings.TrimSpace(text.String()))
	e := logged{line, bytes.TrimSpace(object.Bytes())}
	if _, isText := h.printer.(*Text); isText && r.Level >= slog.LevelWarn {
		h.printer.Warn("%s", line)
		return nil
	}
	h.printer.Event("event", e)
	return nil
}

// bare leaves out of a text line what is said otherwise.
func bare(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

func rename(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.MessageKey:
		a.Key = "event"
	case a.Key == slog.TimeKey:
		a.Value = slog.StringValue(a.Value.Time().UTC().Format(time.RFC3339Nano))
	}
	return a
}

// logged is one record in both forms.
type logged struct {
	text   string
	object json.RawMessage
}

// Text implements Result.
func (l logged) Text() string { return fmt.Sprintln(l.text) }

// MarshalJSON implements json.Marshaler.
func (l logged) MarshalJSON() ([]byte, error) { return l.object, nil }
