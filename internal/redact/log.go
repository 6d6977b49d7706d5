package redact

import (
	"context"
	"fmt"
	"log/slog"
)

// Handler is a slog.Handler that hides what patterns match in messages and attributes before next sees them; a value
// of another type than text that has any of it is logged as the text that fmt makes of it.
func (r *Rules) Handler(next slog.Handler) slog.Handler {
	if r == nil || len(r.patterns) == 0 {
		return next
	}
	return handler{r, next}
}

type handler struct {
	rules *Rules
	next  slog.Handler
}

func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h handler) Handle(ctx context.Context, record slog.Record) error {
	hidden := slog.NewRecord(record.Time, record.Level, h.rules.Text(record.Message), record.PC)
	record.Attrs(func(a slog.Attr) bool {
		hidden.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, hidden)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.rules, h.next.WithAttrs(h.attrs(attrs))}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.rules, h.next.WithGroup(name)}
}

func (h handler) attrs(attrs []slog.Attr) []slog.Attr {
	hidden := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		hidden[i] = h.attr(a)
	}
	return hidden
}

func (h handler) attr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindGroup:
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(h.attrs(value.Group())...)}
	case slog.KindString:
		return slog.String(a.Key, h.rules.Text(value.String()))
	case slog.KindAny:
		plain := fmt.Sprint(value.Any())
		if hidden := h.rules.Text(plain); hidden != plain {
			return slog.String(a.Key, hidden)
		}
	}
	return slog.Attr{Key: a.Key, Value: value}
}
