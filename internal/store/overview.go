package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/monitor"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/refcache"
)

// About is what a worker says of itself with each beat, as JSON.
type About struct {
	Host      string   `json:"host"`
	PID       int      `json:"pid"`
	Functions []string `json:"functions"`          // as name@version
	Since     int64    `json:"since"`              // Unix ms of its own clock
	Declares  string   `json:"declares,omitempty"` // hash of the text that it declares its functions by
	Reads     int      `json:"reads,omitempty"`    // the newest version of records that it reads
	Slots     int      `json:"slots,omitempty"`    // how many functions it runs at a time
	Asked     int64    `json:"asked,omitempty"`    // when Redis last answered its question for work, in Unix ms of its own clock
	Now       int64    `json:"now,omitempty"`      // that clock at the beat
	Oldest    []Runs   `json:"oldest,omitempty"`   // attempts of the queue that run longest, the longest first

	NotReady map[string]NotReady `json:"not_ready,omitempty"` // functions of the queue that it cannot run now, as name@version
}

// NotReady is why a worker cannot run a function, and until when it does not try again, in Unix ms of its own clock.
type NotReady struct {
	Why   string `json:"why"`
	Until int64  `json:"until"`
}

// Runs is an attempt that a worker tells of.
type Runs struct {
	Ref       refcache.Ref `json:"ref"`
	Func      string       `json:"func"`         // as name@version
	MS        int64        `json:"ms"`           // how long it has run, up to the beat
	Namespace string       `json:"ns,omitempty"` // empty: the default one
}

// AskWithin is how long a worker that has a free slot may go without an answer to its question for work. An idle one asks each 2 to
// 3 s.
const AskWithin = 15 * time.Second

// MostLookedAt is how many waiting tasks an overview reads from each end of a set.
const MostLookedAt = 1000

// Overview tells what waits in a queue, and which workers serve it. Single calls that it tells of are those of the
// namespace; numbers are of all. It changes nothing.
func (s *Store) Overview(ctx context.Context, queue, namespace string) (monitor.QueueHealth, []monitor.WorkerHealth, error) {
	q := monitor.QueueHealth{Name: queue}
	values, err := s.onQueue(ctx, overviewScript(), queue, MostLookedAt, monitor.OverdueAfter.Milliseconds()).Slice()
	if err != nil {
		return q, nil, fmt.Errorf("look at queue %s: %w", queue, err)
	}
	answer := reply(values)
	now := answer.int(0)
	q.InLine, q.Pending, q.Retrying, q.Overdue = int(answer.int(8)), int(answer.int(1)), int(answer.int(3)), int(answer.int(5))
	q.Partial = max(q.Pending, q.Retrying) > 2*MostLookedAt
	if q.Overdue > 0 {
		q.OldestOverdue = since(now, answer.text(6))
	}
	if err := s.lookAtWaiting(ctx, &q, namespace, now, answer.texts(2), answer.texts(4)); err != nil {
		return q, nil, err
	}
	workers := workersFrom(queue, namespace, now, answer.texts(7))
	for _, w := range workers {
		if w.Alive && len(w.Oldest) > 0 {
			q.OldestProcessing = max(q.OldestProcessing, w.Oldest[0].For)
		}
		if q.Processing += w.Running; !w.Alive {
			q.Lost += w.Running
		}
	}
	return q, workers, nil
}

// since is the time from an instant in ms to another, 0 if that is none.
func since(now int64, then string) time.Duration {
	ms, err := strconv.ParseFloat(then, 64)
	if err != nil {
		return 0
	}
	return max(0, time.Duration(now-int64(ms))*time.Millisecond)
}

// lookAtWaiting counts waiting tasks of a namespace by function.
func (s *Store) lookAtWaiting(ctx context.Context, q *monitor.QueueHealth, namespace string, now int64, pending, retrying []string) error {
	hashes := slices.Concat(pending, retrying)
	if len(hashes) == 0 {
		return nil
	}
	pipe := s.rdb.Pipeline()
	replies := make([]*redis.SliceCmd, len(hashes))
	for i, hash := range hashes {
		replies[i] = pipe.HMGet(ctx, recordKey(refOf(q.Name, hash)), "state", "policy")
	}
	if _, err := pipe.Exec(ctx); err != nil && !Refuses(err) { // one key that is no record must not hide the others
		return fmt.Errorf("look at the waiting tasks of queue %s: %w", q.Name, err)
	}
	calls := map[monitor.WaitingFunction]int{}
	for i, cmd := range replies {
		values := append(cmd.Val(), make([]any, inRecord)...)
		p := newParser(values)
		set := refcache.Pending
		if i >= len(pending) {
			set = refcache.Retrying
		}
		switch status := refcache.Status(p.text(atStatus, "")); {
		case status == none:
			q.Gone++
		case status == set && CheckNamespace(namespace, "", p.text(atNS, refcache.DefaultNamespace)) == nil: // else it has moved on
			version, _ := strconv.Atoi(p.text(atVersion, "1"))
			calls[monitor.WaitingFunction{Func: p.text(atFunc, ""), Version: version}]++
			if set == refcache.Pending {
				q.OldestPending = max(q.OldestPending, since(now, p.text(atUpdatedAt, p.text(atCreatedAt, ""))))
			}
		}
	}
	for f, n := range calls {
		f.Calls = n
		q.Waiting = append(q.Waiting, f)
	}
	slices.SortFunc(q.Waiting, func(a, b monitor.WaitingFunction) int { return strings.Compare(a.String(), b.String()) })
	return nil
}

// workersFrom reads workers as the script tells them: id, beat, what it is, claims.
func workersFrom(queue, namespace string, now int64, texts []string) []monitor.WorkerHealth {
	var workers []monitor.WorkerHealth
	for i := 0; i+3 < len(texts); i += 4 {
		w := monitor.WorkerHealth{ID: texts[i], Queues: []string{queue}, Silent: since(now, texts[i+1])}
		w.LastBeat = time.UnixMilli(now).Add(-w.Silent)
		w.Alive = w.Silent <= DeadAfter
		w.Running, _ = strconv.Atoi(texts[i+3])
		var about About
		if json.Unmarshal([]byte(texts[i+2]), &about) == nil { // else it has not beaten yet, or is newer than this code
			w.Host, w.PID, w.Functions = about.Host, about.PID, about.Functions
			if about.Since != 0 {
				w.Since = new(time.UnixMilli(about.Since))
			}
			if w.Alive && about.Asked > 0 && time.Duration(about.Now-about.Asked)*time.Millisecond > AskWithin {
				w.NotAsking = []string{queue}
			}
			for _, runs := range about.Oldest {
				w.Oldest = append(w.Oldest, runs.told(namespace, w.Silent))
			}
			for _, f := range slices.Sorted(maps.Keys(about.NotReady)) {
				is := about.NotReady[f]
				again := max(0, time.Duration(is.Until-about.Now)*time.Millisecond-w.Silent)
				w.NotReady = append(w.NotReady, monitor.UnreadyFunction{Func: f, Why: is.Why, Again: again})
			}
		}
		workers = append(workers, w)
	}
	return workers
}

// told is the attempt for somebody who may see the calls of a namespace, so long after the beat.
func (r Runs) told(namespace string, since time.Duration) monitor.RunningAttempt {
	told := monitor.RunningAttempt{Ref: r.Ref, Func: r.Func, For: time.Duration(r.MS)*time.Millisecond + since}
	if CheckNamespace(namespace, r.Ref, cmp.Or(r.Namespace, refcache.DefaultNamespace)) != nil {
		told.Ref = ""
	}
	return told
}
