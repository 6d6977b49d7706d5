package monitor

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/refq/refq/refcache"
)

type healthJSON struct {
	Wrong     bool             `json:"wrong"`
	Findings  []findingJSON    `json:"findings"`
	Servers   []serverJSON     `json:"servers"`
	Missing   []missingJSON    `json:"missing"`
	User      *string          `json:"user"`
	Refused   []refusalJSON    `json:"refused"`
	Role      *string          `json:"role"`
	NoWorker  bool             `json:"no_worker"`
	Blind     *string          `json:"blind"`
	Namespace *string          `json:"namespace"`
	Queues    []queueJSON      `json:"queues"`
	Workers   []workerJSON     `json:"workers"`
	Pauses    []refcache.Pause `json:"pauses"`
	Gates     []GateState      `json:"gates"`
}

type missingJSON struct {
	Node   string   `json:"node"`
	Queues []string `json:"queues"`
	Error  string   `json:"error"`
}

type clusterJSON struct {
	Down           bool     `json:"down"`
	Unserved       int      `json:"unserved_slots"`
	OpenSlots      []string `json:"open_slots"`
	SilentReplicas []string `json:"silent_replicas"`
}

type runningJSON struct {
	RefID *string `json:"ref_id"` // null: it is of another namespace
	Func  string  `json:"func"`
	For   float64 `json:"for_seconds"`
}

type findingJSON struct {
	ID     string  `json:"id"`
	Level  Level   `json:"level"`
	Fact   string  `json:"fact"`
	Remedy *string `json:"remedy"`
}

type serverJSON struct {
	Addr           string          `json:"addr"`
	Version        *string         `json:"version"`
	Valkey         *string         `json:"valkey"`
	Role           *string         `json:"role"`
	Replicas       *int            `json:"replicas"`
	Cluster        *clusterJSON    `json:"cluster"`
	InMemory       bool            `json:"in_memory"`
	EvictionPolicy *string         `json:"eviction_policy"`
	UsedMemory     int64           `json:"used_memory"`
	MaxMemory      *int64          `json:"max_memory"`
	MemoryUses     []memoryUseJSON `json:"memory_uses"`
	AppendOnly     *bool           `json:"append_only"`
	Snapshots      *bool           `json:"snapshots"`
	SaveError      *string         `json:"save_error"`
	Latency        *float64        `json:"latency_seconds"`
	ClockSkew      *float64        `json:"clock_skew_seconds"`
}

type memoryUseJSON struct {
	What  string `json:"what"`
	Bytes int64  `json:"bytes"`
}

type refusalJSON struct {
	Keys     *string  `json:"keys"`
	Channels *string  `json:"channels"`
	Commands []string `json:"commands"`
	Reason   *string  `json:"reason"`
	Node     *string  `json:"node"`
}

type queueJSON struct {
	Name             string        `json:"name"`
	InLine           int           `json:"in_line"`
	Pending          int           `json:"pending"`
	Retrying         int           `json:"retrying"`
	Processing       int           `json:"processing"`
	Partial          bool          `json:"partial"`
	Waiting          []waitingJSON `json:"waiting"`
	OldestPending    *float64      `json:"oldest_pending_seconds"`
	OldestProcessing *float64      `json:"oldest_processing_seconds"`
	Overdue          int           `json:"overdue"`
	OldestOverdue    *float64      `json:"oldest_overdue_seconds"`
	Gone             int           `json:"gone"`
	Lost             int           `json:"lost"`
	Archived         int           `json:"archived"`
}

type waitingJSON struct {
	Func    string `json:"func"`
	Version int    `json:"version"`
	Calls   int    `json:"calls"`
	Served  bool   `json:"served"`
}

type workerJSON struct {
	ID        string        `json:"id"`
	Host      *string       `json:"host"`
	PID       *int          `json:"pid"`
	Queues    []string      `json:"queues"`
	Functions []string      `json:"functions"` // null: it has not told yet
	Since     *jsonTime     `json:"since"`
	LastBeat  *jsonTime     `json:"last_beat"`
	Silent    float64       `json:"silent_seconds"`
	Alive     bool          `json:"alive"`
	Running   int           `json:"running"`
	NotAsking []string      `json:"not_asking"`
	Oldest    []runningJSON `json:"oldest"`
	NotReady  []unreadyJSON `json:"not_ready"`
}

type unreadyJSON struct {
	Func  string  `json:"func"`
	Why   string  `json:"why"`
	Again float64 `json:"again_seconds"`
}

func unreadyOf(all []UnreadyFunction) []unreadyJSON {
	out := make([]unreadyJSON, len(all))
	for i, u := range all {
		out[i] = unreadyJSON{u.Func, u.Why, u.Again.Seconds()}
	}
	return out
}

// MarshalJSON writes the findings and all facts, null when not known; times are RFC 3339 in UTC with milliseconds,
// durations numbers of seconds, memory bytes. A max_memory of null means no limit.
func (h Health) MarshalJSON() ([]byte, error) {
	out := healthJSON{Wrong: h.Wrong(), Role: stringPtr(h.Role), NoWorker: h.NoWorker, User: stringPtr(h.User), Blind: stringPtr(h.Blind), Namespace: stringPtr(h.Namespace), Findings: []findingJSON{},
		Servers: []serverJSON{}, Missing: []missingJSON{}, Refused: []refusalJSON{}, Queues: []queueJSON{}, Workers: []workerJSON{},
		Pauses: append([]refcache.Pause{}, h.Pauses...), Gates: append([]GateState{}, h.Gates...)}
	for _, f := range h.Findings() {
		out.Findings = append(out.Findings, findingJSON{f.ID, f.Level, f.Fact, stringPtr(f.Remedy)})
	}
	for _, m := range h.Missing {
		out.Missing = append(out.Missing, missingJSON{m.Node, append([]string{}, m.Queues...), m.Err.Error()})
	}
	for _, s := range h.Servers {
		out.Servers = append(out.Servers, serverJSON{s.Addr, stringPtr(s.Version), stringPtr(s.Valkey), stringPtr(s.Role), s.Replicas, s.Cluster.json(), s.InMemory,
			stringPtr(s.EvictionPolicy), s.UsedMemory, positive(s.MaxMemory), s.memoryUsesJSON(), s.AppendOnly, s.Snapshots, stringPtr(s.SaveError),
			seconds(s.Latency), seconds(s.ClockSkew)})
	}
	for _, r := range h.Refused {
		out.Refused = append(out.Refused, refusalJSON{stringPtr(r.Keys), stringPtr(r.Channels), append([]string{}, r.Commands...), stringPtr(r.Reason), stringPtr(r.Node)})
	}
	for _, q := range h.Queues {
		out.Queues = append(out.Queues, h.queueJSON(q))
	}
	for _, w := range h.Workers {
		out.Workers = append(out.Workers, workerJSON{w.ID, stringPtr(w.Host), positive(w.PID), w.Queues, w.Functions, timePtr(w.Since),
			timePtr(&w.LastBeat), w.Silent.Seconds(), w.Alive, w.Running, append([]string{}, w.NotAsking...), runningOf(w.Oldest), unreadyOf(w.NotReady)})
	}
	return marshal(out)
}

func (s ServerHealth) memoryUsesJSON() []memoryUseJSON {
	uses := []memoryUseJSON{}
	for _, u := range s.MemoryUses {
		uses = append(uses, memoryUseJSON(u))
	}
	return uses
}

func (h Health) queueJSON(q QueueHealth) queueJSON {
	out := queueJSON{Name: q.Name, InLine: q.InLine, Pending: q.Pending, Retrying: q.Retrying, Processing: q.Processing, Partial: q.Partial,
		Waiting: []waitingJSON{}, OldestPending: secondsIf(q.Pending > 0, q.OldestPending),
		OldestProcessing: secondsIf(q.OldestProcessing > 0, q.OldestProcessing), Overdue: q.Overdue,
		OldestOverdue: secondsIf(q.Overdue > 0, q.OldestOverdue), Gone: q.Gone, Lost: q.Lost, Archived: q.Archived}
	for _, f := range q.Waiting {
		out.Waiting = append(out.Waiting, waitingJSON{f.Func, f.Version, f.Calls, h.Serves(q.Name, f)})
	}
	return out
}

func (c *ClusterHealth) json() *clusterJSON {
	if c == nil {
		return nil
	}
	return &clusterJSON{c.Down, c.Unserved, append([]string{}, c.OpenSlots...), append([]string{}, c.SilentReplicas...)}
}

func runningOf(attempts []RunningAttempt) []runningJSON {
	all := []runningJSON{}
	for _, a := range attempts {
		all = append(all, runningJSON{stringPtr(string(a.Ref)), a.Func, a.For.Seconds()})
	}
	return all
}

// positive gives nil for 0.
func positive[N int | int64](n N) *N {
	if n == 0 {
		return nil
	}
	return &n
}

func secondsIf(known bool, d time.Duration) *float64 {
	if !known {
		return nil
	}
	return seconds(&d)
}

// jsonTime is a time in the one form that refq prints. This and what follows stand in refcache as well, which imports nothing
// of ours and exports none of it.
type jsonTime time.Time

func (t jsonTime) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z07:00"), nil
}

func timePtr(t *time.Time) *jsonTime {
	if t == nil || t.IsZero() {
		return nil
	}
	return (*jsonTime)(t)
}

func seconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	return new(d.Seconds())
}

func stringPtr[S ~string](s S) *S {
	if s == "" {
		return nil
	}
	return &s
}

// marshal is json.Marshal without the escapes for HTML: a text is shown as it was written.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
