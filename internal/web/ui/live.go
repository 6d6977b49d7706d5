package ui

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/refq/refq/internal/web/live"
	"github.com/refq/refq/internal/web/server"
	"github.com/refq/refq/refcache"
)

// What pages follow that show more than one call.
const (
	liveQueues = "queues"
	liveGates  = "gates" // and how they stand, which costs more
)

const (
	lookEvery   = time.Second            // at the queues, while a page follows them
	ageEvery    = 2 * time.Second        // a change while calls are in flight, though their numbers stay as they are
	updateEvery = 200 * time.Millisecond // to one page, at most
)

// live answers GET /live?watch=…: an event for each change of what is watched, one at the beginning among them. What it
// has become the page finds out itself.
func (u *UI) live(w http.ResponseWriter, r *http.Request) {
	select {
	case u.viewers <- struct{}{}:
		defer func() { <-u.viewers }()
	default: // the page asks every 2 s instead
		w.Header().Set("Retry-After", "30")
		http.Error(w, "as many pages as this server keeps live are open", http.StatusServiceUnavailable)
		return
	}
	topic := r.URL.Query().Get("watch")
	if topic == liveQueues || topic == liveGates {
		stream(w, r, u.followedQueues.Watch(topic))
		return
	}
	ref, err := refcache.ParseRef(topic)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	stream(w, r, u.followed.Watch(ref))
}

// stream tells a page of changes until it goes away or the server stops. It ends the watch.
func stream[T any](w http.ResponseWriter, r *http.Request, viewer *live.Viewer[T]) {
	defer viewer.Leave()
	ctx, cancel := server.Linger(w, r)
	defer cancel()
	w.Header().Set("Cache-Control", "no-store")
	out := server.OpenEvents(w)
	for {
		if _, ok := server.Await(ctx, out, viewer.Next); !ok {
			return
		}
		out.Send("event: changed\ndata: 1\n\n")
		select {
		case <-time.After(updateEvery):
		case <-ctx.Done():
			return
		}
	}
}

// followQueues tells when there is something new on pages that show many calls.
func (u *UI) followQueues(ctx context.Context, topic string, _ <-chan struct{}, tell func(string)) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	told := ""
	for {
		if now := u.fingerprint(ctx, topic); now != told && ctx.Err() == nil {
			told = now
			tell(now)
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

// fingerprint is what of the queues makes a change: their numbers, whether Redis answers, and the time while calls are in
// flight, since pages show how old they are.
func (u *UI) fingerprint(ctx context.Context, topic string) string {
	f, err := u.facts.get(ctx)
	missing, err := partly(err)
	if err != nil {
		return "Redis does not answer"
	}
	text := fmt.Appendf(nil, "%v", missing)
	inFlight := int64(0)
	for _, s := range f.sizes {
		inFlight += s.Waiting + s.Pending + s.Processing + s.Retrying
		s.OldestPending = 0
		text = fmt.Appendf(text, "%v", s)
	}
	var hour monitor.CallCounts
	for _, m := range f.stats.Minutes {
		hour.Add(m.CallCounts)
	}
	text = fmt.Appendf(text, "%v", hour)
	for _, p := range f.pauses {
		text = append(text, p.String()...)
	}
	if inFlight > 0 {
		text = fmt.Append(text, time.Now().Truncate(ageEvery).Unix())
	}
	if topic == liveGates {
		gates, _ := u.gates.get(ctx) // of which the page tells
		text = fmt.Append(text, gatesFingerprint(gates))
	}
	return string(text)
}

// gatesFingerprint is what of gates makes a change, and the time while calls wait.
func gatesFingerprint(gates []monitor.GateState) string {
	waiting := 0
	var text []byte
	for _, g := range gates {
		waiting += g.Waiting
		g.Oldest, g.Stalled, g.Closed = 0, 0, nil
		one, _ := g.MarshalJSON() // texts, numbers and times
		text = append(text, one...)
	}
	if waiting > 0 {
		text = fmt.Append(text, time.Now().Truncate(ageEvery).Unix())
	}
	return string(text)
}
