package store_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/internal/store/storetest"
	"github.com/refq/refq/refcache"
)

// modelSight is everything that is to be seen of the tasks, in Redis or in the oracle's mind.
type modelSight struct {
	Tasks  map[string]*modelTask
	Sets   map[string]map[string]int64 // sorted sets, by name: member, score
	Done   []modelCompletion
	Claims map[string]map[string]string // by worker: task, token
	Told   []string
}

var modelIndexes = []refcache.Status{refcache.Pending, refcache.Retrying, refcache.Failed, refcache.Cancelled}

// modelNamed are the sorted sets whose members are no tasks.
var modelNamed = []string{"workers", "stamps"}

// sight is what the oracle expects to be seen.
func (o *modelOracle) sight() modelSight {
	s := modelSight{Tasks: map[string]*modelTask{}, Sets: map[string]map[string]int64{}, Claims: map[string]map[string]string{}}
	for _, index := range modelIndexes {
		s.Sets[string(index)] = map[string]int64{}
	}
	s.Sets["workers"], s.Sets["stamps"] = maps.Clone(o.beats), maps.Clone(o.stamps)
	for ref := range o.tasks {
		t := o.find(ref)
		if t == nil {
			continue
		}
		name := modelName(ref)
		s.Tasks[name] = t.plain()
		if score := map[refcache.Status]int64{refcache.Pending: t.Created, refcache.Retrying: t.Due}[t.Status]; score > 0 {
			s.Sets[string(t.Status)][name] = score
		} else if t.Status.IsFinal() && t.Status != refcache.Complete {
			s.Sets[string(t.Status)][name] = t.Ended
		}
	}
	for entry, ended := range o.stale {
		s.Sets[string(entry.status)][modelName(entry.ref)] = ended
	}
	for worker, claims := range o.claims() {
		s.Claims[worker] = map[string]string{}
		for _, c := range claims {
			s.Claims[worker][modelName(c.Ref)] = c.Token
		}
	}
	s.Done = append(s.Done, o.done...)
	s.Told, o.told = slices.Sorted(slices.Values(o.told)), nil
	return s
}

// plain leaves out what the design does not settle: how far an attempt that has ended had come, and when one that will
// be repeated was started.
func (t *modelTask) plain() *modelTask {
	plain := *t
	if plain.Status != refcache.Processing {
		plain.Progress = 0
	}
	if plain.Status != refcache.Processing && plain.Status != refcache.Complete {
		plain.Started = 0
	}
	if plain.Status != refcache.Failed {
		plain.Error = ""
	}
	return &plain
}

// look reads from Redis what there is to be seen.
func (w *modelWorld) look() modelSight {
	pipe := w.rdb.Pipeline()
	s := modelSight{Tasks: map[string]*modelTask{}, Sets: map[string]map[string]int64{}, Claims: map[string]map[string]string{}}
	records, expiries := map[refcache.Ref]*redis.MapStringStringCmd{}, map[refcache.Ref]*redis.DurationCmd{}
	for _, ref := range w.refs {
		records[ref] = pipe.HGetAll(w.ctx, modelPrefix+"t:"+ref.Hash())
		expiries[ref] = pipe.PTTL(w.ctx, modelPrefix+"t:"+ref.Hash())
	}
	sets := map[string]*redis.ZSliceCmd{}
	for _, named := range modelNamed {
		sets[named] = pipe.ZRangeWithScores(w.ctx, modelPrefix+named, 0, -1)
	}
	claims := map[string]*redis.MapStringStringCmd{}
	for _, index := range modelIndexes {
		sets[string(index)] = pipe.ZRangeWithScores(w.ctx, modelPrefix+string(index), 0, -1)
	}
	done := pipe.LRange(w.ctx, modelPrefix+"completions", 0, -1)
	for _, worker := range w.everybody {
		claims[worker] = pipe.HGetAll(w.ctx, modelPrefix+"claims:"+worker)
	}
	_, err := pipe.Exec(w.ctx)
	w.must(err)

	for ref, record := range records {
		if fields := record.Val(); len(fields) > 0 {
			s.Tasks[modelName(ref)] = w.readTask(storetest.Unpacked(fields), expiries[ref].Val()).plain()
		}
	}
	for name, set := range sets {
		s.Sets[name] = map[string]int64{}
		for _, entry := range set.Val() {
			member := entry.Member.(string)
			if !slices.Contains(modelNamed, name) {
				member = modelName(refcache.Ref(modelQueue + ":" + member))
			}
			s.Sets[name][member] = int64(entry.Score)
		}
	}
	for _, entry := range done.Val() {
		at, _ := strconv.ParseInt(entry[:len(entry)-32], 10, 64)
		s.Done = append(s.Done, modelCompletion{modelName(refcache.Ref(modelQueue + ":" + entry[len(entry)-32:])), at})
	}
	for worker, held := range claims {
		for hash, token := range held.Val() {
			if s.Claims[worker] == nil {
				s.Claims[worker] = map[string]string{}
			}
			s.Claims[worker][modelName(refcache.Ref(modelQueue+":"+hash))] = token
		}
	}
	synctest.Wait() // for messages that are under way
	s.Told, w.heard = slices.Sorted(slices.Values(w.heard)), nil
	return s
}

// modelDefaults are the values that a record leaves out.
var modelDefaults = map[string]string{"v": "1", "ns": "default", "version": "1", "cycle": "1", "delivery": "1",
	"attempt": "0", "retry_count": "0", "lost_count": "0", "max_retries": "3", "ttl": "86400000", "failure_ttl": "604800000",
	"hist_n": "0", "event_n": "0"}

// readTask reads a record.
func (w *modelWorld) readTask(fields map[string]string, expiry time.Duration) *modelTask {
	number := func(field string) int64 {
		text, ok := fields[field]
		if !ok {
			text = modelDefaults[field]
		} else if text == "" || text == modelDefaults[field] {
			w.fail("the record holds the default of %s, %q", field, text)
		}
		n, _ := strconv.ParseInt(text, 10, 64)
		return n
	}
	t := &modelTask{Status: refcache.Status(fields["status"]),
		Cycle: int(number("cycle")), Delivery: int(number("delivery")), Attempt: int(number("attempt")),
		Retries: int(number("retry_count")), Lost: int(number("lost_count")), MaxRetries: int(number("max_retries")),
		Token: fields["token"], Worker: fields["worker"], LastToken: fields["last_token"], Req: fields["req"],
		Created: number("created_at"), Started: number("started_at"), Due: number("next_retry_at"), Ended: number("completed_at"),
		TTL: number("ttl"), FailureTTL: number("failure_ttl"),
		AsOf: number("as_of"), ResultEnds: number("expires_at"), Refresh: fields["refresh"],
		Args: fields["args"], Result: fields["result"], Waiters: strings.ReplaceAll(fields["waiters"], ",", " "), Error: fields["last_error"]}
	if t.Status == refcache.Pending || t.Status == refcache.Retrying {
		if t.Since = number("updated_at"); t.Since == 0 {
			t.Since = t.Created
		}
	}
	if expiry > 0 {
		t.Expires = modelNow() + expiry.Milliseconds()
	}
	if report := fields["progress"]; report != "" {
		w.must(json.Unmarshal([]byte(report), &struct{ C *int64 }{&t.Progress}))
	}
	for n := range number("hist_n") {
		t.Attempts = append(t.Attempts, w.readAttempt(fields["attempt:"+strconv.FormatInt(n+1, 10)]))
	}
	for n := range number("event_n") {
		var e modelEvent
		w.must(json.Unmarshal([]byte(fields["event:"+strconv.FormatInt(n+1, 10)]), &e))
		t.Events = append(t.Events, e)
	}
	if n := len(t.Attempts); n > 0 && t.Attempts[n-1].Cause != refcache.CauseError {
		t.Error = t.Attempts[n-1].Error
	}
	return t
}

func (w *modelWorld) readAttempt(text string) modelAttempt {
	var e struct {
		Cycle, Attempt   int
		Cause            refcache.Cause
		Error, Worker    string
		Started          int64 `json:"started_at"`
		Timestamp, Delay int64
		Permanent        bool
	}
	w.must(json.Unmarshal([]byte(text), &e))
	if e.Error == "" {
		w.fail("an attempt in the history has no error: %s", text)
	}
	if e.Cause != refcache.CauseError {
		e.Error = ""
	}
	return modelAttempt{e.Cycle, e.Attempt, e.Cause, e.Error, e.Worker, e.Started, e.Timestamp, e.Delay, e.Permanent}
}

// compare looks at Redis, checks that it is as the oracle says, and returns what it saw before and now.
func (w *modelWorld) compare() (before, now modelSight) {
	before, now = w.seen, w.look()
	if want := w.oracle.sight(); !reflect.DeepEqual(want, now) { // Diff is slow
		w.fail("Redis (+) is not as the design says (-):\n%s", cmp.Diff(want, now, cmpopts.EquateEmpty()))
	}
	w.seen = now
	return before, now
}

// compareList checks that readers find each complete task once, where it ended last; not once if Redis's clock was set back,
// as the same millisecond may have come twice.
func (w *modelWorld) compareList() {
	page, _, err := w.store.Page(w.ctx, modelQueue, refcache.Complete, store.Position{}, 1000)
	w.must(err)
	found, err := w.store.ReadAll(w.ctx, page)
	w.must(err)
	var listed []refcache.Ref
	for _, f := range found {
		if f.Status == refcache.Complete {
			listed = append(listed, f.Ref)
		}
	}
	for _, ref := range w.refs {
		if t := w.oracle.find(ref); t != nil && t.Status == refcache.Complete {
			n := len(listed)
			listed = slices.DeleteFunc(listed, func(other refcache.Ref) bool { return other == ref })
			if n == len(listed) || n > len(listed)+1 && w.back == 0 {
				w.fail("%s is complete, and the list has it not, or not once: %v", modelName(ref), listed)
			}
		}
	}
	if len(listed) > 0 {
		w.fail("the list has %v, which are not complete", listed)
	}
}

// compareInfos checks the readable form of the tasks that ended since the last time.
func (w *modelWorld) compareInfos() {
	for _, ref := range w.refs {
		t := w.oracle.find(ref)
		if t == nil || !w.touched[ref] || t.Status.InFlight() {
			continue
		}
		info, err := w.store.Info(w.ctx, ref)
		w.must(err)
		failed := t.Status == refcache.Failed
		type about struct {
			Status                      refcache.Status
			CanRetry, Exhausted, Final  bool
			Cycle, Attempts, Total, Log int
		}
		want := about{t.Status, failed && t.Retries < t.MaxRetries, failed && t.Retries >= t.MaxRetries, t.Status.IsFinal(),
			t.Cycle, len(t.Attempts), len(t.Attempts), len(t.Events)}
		got := about{info.Status, info.CanRetry, info.Exhausted, info.ExpiresAt != nil,
			info.Cycle, len(info.RetryHistory), info.AttemptsTotal, len(info.Events)}
		if diff := cmp.Diff(want, got); diff != "" {
			w.fail("the info of %s (+) is not as the design says (-):\n%s", modelName(ref), diff)
		}
	}
	w.compareList()
	clear(w.touched)
}
