package access

import (
	"context"
	"log/slog"

	"github.com/refq/refq/refcache"
)

// Change is something that somebody did, or tried to do, to a task or a gate.
type Change struct {
	What  string       // call, retry, retry_fresh, refresh, cancel, delete, invalidate, pause, resume, set_gate or reset_gate
	Ref   refcache.Ref // empty: it did not get so far
	From  string       // the status before; empty: it was not looked at, or there was none
	To    string       // the status after, or what a gate was set to; empty: there is none, or it is not known
	Scope string       // what was invalidated, paused or resumed, or the gate; empty: it is about one call
	Err   error        // why it was not done, or is not known to be
}

// Audit tells the log of a change: one line, with the message "change", that names who made the request of this context.
func Audit(ctx context.Context, log *slog.Logger, c Change) {
	who := Who(ctx)
	attrs := []slog.Attr{slog.String("who", who.Name), slog.String("role", string(who.Role)), slog.String("remote", who.Remote),
		slog.String("what", c.What), slog.String("ref_id", string(c.Ref)), slog.String("from", c.From), slog.String("to", c.To)}
	if c.Scope != "" {
		attrs = append(attrs, slog.String("scope", c.Scope))
	}
	if c.Err != nil {
		attrs = append(attrs, slog.Any("err", c.Err))
	}
	log.LogAttrs(ctx, slog.LevelInfo, "change", attrs...)
}
