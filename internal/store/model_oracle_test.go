package store_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// modelOracle is the protocol of docs/protocol.md, told a second time and as plainly as can be: no scripts, no
// indexes, no clock but the bubble's. Each method is a row of the table there and returns the answer as text.
type modelOracle struct {
	tasks map[refcache.Ref]*modelTask
	beats map[string]int64     // the last one of each worker in the index
	told  []string             // messages since they were last taken: channel, what it is about
	stale map[modelEntry]int64 // scores of entries without a record
	done  []modelCompletion    // the list of completions, the last one first

	swept, resumed int64 // the last sweep; when sweeping began or resumed

	stamps  map[string]int64 // times of invalidations by name, and the floor
	stamped bool             // some may be there
	maxTTL  int64            // of functions with tags
}

// modelEntry is what an expired record leaves in the set of its status, until a sweep trims it.
type modelEntry struct {
	status refcache.Status
	ref    refcache.Ref
}

// modelCompletion is an end of a complete task. It stays listed whatever becomes of the task.
type modelCompletion struct {
	Name string
	At   int64
}

const (
	modelDeadAfter   = 6_000
	modelSweepGap    = 3_000
	modelSweepEvery  = 900
	modelPendingLong = 5_000
	modelOverdueLong = 2_000
	modelHandOnFor   = 600_000
	modelStampsKept  = 3_600_000
	modelNoRecord    = "no record"
	modelNothing     = "nothing"
	modelConflict    = "conflict"
	modelNotYours    = "void"
	modelAcknowledge = "nothing to do"
)

// modelAhead is how far Redis's clock is ahead of the bubble's. One world runs at a time.
var modelAhead time.Duration

func modelNow() int64 { return time.Now().Add(modelAhead).UnixMilli() }

// modelAbout is how answers that carry the record are compared.
func modelAbout(what string, status refcache.Status, cycle, delivery int) string {
	return fmt.Sprintf("%s, %s, cycle %d, delivery %d", what, status, cycle, delivery)
}

// find returns the task, nil when there is none or it has expired.
func (o *modelOracle) find(ref refcache.Ref) *modelTask {
	t := o.tasks[ref]
	if t != nil && t.Expires > 0 && t.Expires <= modelNow() {
		if t.Status != refcache.Complete {
			o.stale[modelEntry{t.Status, ref}] = t.Ended
		}
		delete(o.tasks, ref)
		return nil
	}
	return t
}

func (o *modelOracle) submit(ref refcache.Ref, s store.Submission) string {
	t := o.find(ref)
	stamp := o.stamp(s.Stamps)
	asked := t != nil && (t.Status == refcache.Cancelled || t.Status == refcache.Complete && (s.Refresh ||
		(t.older(s.MaxAge) || t.older(s.Fresh) || t.asOf() <= stamp) && t.mayRenew(s.Policy.FailureAnswer, stamp)) ||
		t.Status == refcache.Failed && (s.RetryFailed || !t.failureAnswers(t.why(), s.Policy.FailureAnswer, stamp)))
	if t != nil && s.KeyConflict == refcache.KeyRefuse && t.Req != s.Request && t.Args != string(s.Args) &&
		t.Status != refcache.Failed && t.Status != refcache.Cancelled {
		return modelConflict
	}
	if t == nil || asked && t.Req != s.Request {
		if t == nil {
			t = &modelTask{Created: modelNow(), Cycle: 1, Delivery: 1}
			o.tasks[ref] = t
		} else {
			o.forget(ref)
			lost := 0
			if t.Status == refcache.Failed && t.why() == refcache.FailureLost {
				lost = t.Lost
			}
			if t.Status == refcache.Complete && t.AsOf == 0 {
				t.AsOf, t.ResultEnds = t.Started, t.Ended+t.TTL
			}
			t.Refresh = ""
			t.revive()
			t.freshBudget()
			t.Lost = lost
		}
		if len(s.Stamps) > 0 {
			o.maxTTL = max(o.maxTTL, s.Policy.TTL.Milliseconds())
		}
		t.pend()
		t.Args = string(s.Args)
		t.Req, t.MaxRetries = s.Request, s.Policy.MaxRetries
		t.TTL, t.FailureTTL = s.Policy.TTL.Milliseconds(), s.Policy.FailureTTL.Milliseconds()
	}
	if t.answer() == "" || s.Refresh || t.older(s.MaxAge) || t.asOf() <= stamp {
		t.wait(s.Inbox)
	}
	what := map[bool]string{true: "starts", false: "finds"}[t.Req == s.Request]
	return t.about(what) + modelResult(t.answer(), t.answer() != "" && t.asOf() <= stamp)
}

// modelResult is how results are compared: one that is there and does not count is told apart.
func modelResult(result string, invalid bool) string {
	return fmt.Sprintf(", result %q%s", result, map[bool]string{true: ", which is invalid"}[invalid])
}

// stamp is the newest that counts for a call, -1 if none does.
func (o *modelOracle) stamp(names []string) int64 {
	newest := int64(-1)
	for name, at := range o.stamps {
		if len(names) > 0 && (name == "floor" || slices.Contains(names, name)) {
			newest = max(newest, at)
		}
	}
	return newest
}

func (o *modelOracle) invalidate(names []string) string {
	for _, name := range names {
		o.stamps[name] = max(o.stamps[name], modelNow())
	}
	o.stamped = true
	o.dropStamps(0)
	return "done"
}

// sweepStamps drops stamps that are older than what is kept.
func (o *modelOracle) sweepStamps() {
	if o.stamped {
		o.dropStamps(modelNow() - max(o.maxTTL, modelStampsKept))
		o.stamped = len(o.stamps) > 1 || o.stamps["floor"] == 0
	}
}

// dropStamps drops those until a time, and the oldest of too many.
func (o *modelOracle) dropStamps(until int64) {
	names := slices.SortedFunc(maps.Keys(o.stamps), func(a, b string) int {
		return cmp.Or(cmp.Compare(o.stamps[a], o.stamps[b]), cmp.Compare(a, b))
	})
	dropped := 0
	for n, name := range names {
		if o.stamps[name] <= until || len(names)-n > store.MaxStamps {
			dropped = n + 1
		}
	}
	if dropped == 0 || dropped == 1 && names[0] == "floor" {
		return
	}
	floor := max(o.stamps["floor"], o.stamps[names[dropped-1]])
	for _, name := range names[:dropped] {
		delete(o.stamps, name)
	}
	o.stamps["floor"] = floor
}

func (o *modelOracle) claim(ref refcache.Ref, token, worker string) string {
	t := o.find(ref)
	if t == nil || t.Status.IsFinal() || t.LastToken == token || t.Status == refcache.Processing && t.Token != token {
		return modelAcknowledge
	}
	if t.Status == refcache.Retrying && t.Due > modelNow() {
		return fmt.Sprintf("come back in %d ms", t.Due-modelNow())
	}
	if t.Status != refcache.Processing {
		t.Attempt++
		t.Status, t.Token, t.Worker, t.LastToken, t.Started = refcache.Processing, token, worker, "", modelNow()
		t.Since, t.Due, t.Progress = 0, 0, 0
		o.beats[worker] = modelNow()
	}
	return t.about(fmt.Sprintf("run attempt %d", t.Attempt))
}

// modelOutcome is what a worker says of an attempt.
type modelOutcome struct {
	kind      string // complete, error, release, or what a worker lacks that hands it on: function or member
	result    string // or the error
	permanent bool
	delay     time.Duration
}

func (o *modelOracle) finish(ref refcache.Ref, token string, out modelOutcome) string {
	t := o.find(ref)
	switch {
	case t == nil, t.LastToken != token && (t.Status != refcache.Processing || t.Token != token):
		return modelNotYours
	case t.LastToken == token && t.Refresh != "":
		return string(refcache.Failed)
	case t.LastToken == token:
		return modelFinished(t.Status, t.Due)
	}
	worker := t.leave()
	t.LastToken = token
	switch {
	case out.kind == "complete":
		t.Result = out.result
		o.end(ref, refcache.Complete)
	case out.kind == "release":
		t.Attempt--
		t.event(refcache.EventHandedBack, worker)
		t.pend()
	case out.kind == "member" && t.row() != nil && t.row().MemberSince > 0 && modelNow()-t.row().MemberSince >= modelHandOnFor:
		t.failed(refcache.CauseError, out.kind, worker, 0, false)
		o.endWithoutResult(ref, refcache.Failed, string(refcache.CauseError), worker)
		return string(refcache.Failed)
	case out.kind == "member", out.kind == "function":
		t.Attempt--
		t.handedOn(out.kind, worker)
		t.pend()
	case !out.permanent && t.Retries < t.MaxRetries:
		t.failed(refcache.CauseError, out.result, worker, out.delay, false)
		t.Retries++
		t.Status, t.Since, t.Due = refcache.Retrying, modelNow(), modelNow()+out.delay.Milliseconds()
	default:
		t.failed(refcache.CauseError, out.result, worker, 0, out.permanent)
		o.endWithoutResult(ref, refcache.Failed, string(t.why()), worker)
		return string(refcache.Failed)
	}
	return modelFinished(t.Status, t.Due)
}

// modelFinished says the same however late it is asked: not in how long a retry is due, but when.
func modelFinished(status refcache.Status, due int64) string {
	if status != refcache.Retrying {
		return string(status)
	}
	return fmt.Sprintf("retrying at %d", max(due, modelNow()))
}

func (o *modelOracle) redeliver(ref refcache.Ref, token, by string) string {
	t := o.find(ref)
	if t == nil || t.Status != refcache.Processing || t.Token != token {
		return modelNothing
	}
	if by != t.Worker && !o.dead(t.Worker) {
		return modelNothing
	}
	t.failed(refcache.CauseLost, "", t.leave(), 0, false)
	t.Lost++
	t.LastToken = ""
	if t.Lost > refcache.MaxLost {
		o.endWithoutResult(ref, refcache.Failed, string(refcache.FailureLost), by)
		return t.about("taken")
	}
	t.Delivery++
	t.event(refcache.EventRedelivered, by)
	t.pend()
	return t.about("taken")
}

func (o *modelOracle) newDelivery(ref refcache.Ref, delivery int) string {
	t := o.find(ref)
	if t == nil {
		return modelNoRecord
	}
	if (t.Status == refcache.Pending || t.Status == refcache.Retrying) && t.Delivery == delivery {
		t.Delivery++
	}
	return t.about("is")
}

func (o *modelOracle) retry(seen store.Record, request, by string, fresh bool) string {
	t := o.find(seen.Ref)
	switch {
	case t == nil:
		return modelNoRecord
	case t.Req == request:
		return t.about("accepted")
	case t.Status != refcache.Failed, t.Created != seen.CreatedAt.UnixMilli(), t.Delivery != seen.Delivery:
		return t.about("not_failed")
	case !fresh && t.Retries >= t.MaxRetries:
		return t.about("exhausted")
	}
	t.revive()
	t.Req = request
	if fresh {
		t.freshBudget()
		t.event(refcache.EventFresh, by)
	} else {
		t.Retries++
		t.event(refcache.EventRetry, by)
	}
	t.pend()
	return t.about("accepted")
}

func (o *modelOracle) cancel(seen store.Record, by string) string {
	t := o.find(seen.Ref)
	switch {
	case t == nil:
		return modelNoRecord
	case t.is(seen) && t.Status == refcache.Complete && t.Refresh == "cancelled":
		return t.about("done")
	case !t.is(seen) || t.Status == refcache.Complete || t.Status == refcache.Failed:
		return t.about("refused")
	case t.Status == refcache.Cancelled:
		return t.about("done")
	case t.Status == refcache.Processing:
		o.told = append(o.told, modelWorkerChannel+t.Worker+" "+t.Token)
		t.failed(refcache.CauseCancelled, "", t.leave(), 0, false)
	}
	t.LastToken = ""
	t.event(refcache.EventCancel, by)
	o.endWithoutResult(seen.Ref, refcache.Cancelled, "cancelled", by)
	return t.about("done")
}

func (o *modelOracle) remove(seen store.Record) string {
	t := o.find(seen.Ref)
	switch {
	case t == nil || !t.is(seen):
	case !t.Status.IsFinal():
		return "in flight"
	default:
		if t.Status == refcache.Complete { // after a step of the clock, this millisecond may have an earlier task's end
			o.forget(seen.Ref)
		}
		delete(o.tasks, seen.Ref)
	}
	return "gone"
}

func (o *modelOracle) progress(ref refcache.Ref, token string, current int64) string {
	t := o.find(ref)
	if t == nil || t.Status != refcache.Processing || t.Token != token {
		return modelNotYours
	}
	t.Progress = current
	return "noted"
}

func (o *modelOracle) wait(ref refcache.Ref, inbox string) string {
	t := o.find(ref)
	if t == nil {
		return modelNoRecord
	}
	t.wait(inbox)
	return t.about("is") + fmt.Sprintf(", result %q", t.answer())
}

func (o *modelOracle) beat(worker string, names []store.Claim) string {
	o.beats[worker] = modelNow()
	var void, unknown []store.Claim
	for _, c := range names {
		if t := o.find(c.Ref); t == nil || t.Token != c.Token {
			void = append(void, c)
		}
	}
	for _, c := range o.claims()[worker] {
		if !slices.Contains(names, c) {
			unknown = append(unknown, c)
		}
	}
	return modelBeaten(void, unknown)
}

func modelBeaten(void, unknown []store.Claim) string {
	text := func(claims []store.Claim) string {
		tokens := make([]string, len(claims))
		for i, c := range claims {
			tokens[i] = c.Token
		}
		slices.Sort(tokens)
		return strings.Join(tokens, " ")
	}
	return fmt.Sprintf("void [%s], unknown [%s]", text(void), text(unknown))
}

func (o *modelOracle) removeWorker(worker, by string) string {
	if len(o.claims()[worker]) == 0 && (by == worker || o.dead(worker)) {
		delete(o.beats, worker)
	}
	return modelNothing
}

func (o *modelOracle) dead(worker string) bool {
	beat, known := o.beats[worker]
	return !known || modelNow()-beat > modelDeadAfter
}

// claims are what is processing, by worker.
func (o *modelOracle) claims() map[string][]store.Claim {
	claims := map[string][]store.Claim{}
	for ref := range o.tasks {
		if t := o.find(ref); t != nil && t.Status == refcache.Processing {
			claims[t.Worker] = append(claims[t.Worker], store.Claim{Ref: ref, Token: t.Token})
		}
	}
	return claims
}

func (o *modelOracle) sweep() string {
	now := modelNow()
	if o.swept != 0 && now >= o.swept && now-o.swept < modelSweepEvery {
		return modelNothing
	}
	if o.swept == 0 || now < o.resumed || now-o.swept > modelSweepGap {
		o.resumed = now
	}
	o.swept = now
	var found []string
	for worker, beat := range o.beats {
		if now-beat <= modelDeadAfter || now-o.resumed < modelDeadAfter {
			continue
		}
		claims := o.claims()[worker]
		if len(claims) == 0 {
			found = append(found, "idle "+worker)
		}
		for _, c := range claims {
			found = append(found, "orphan "+worker+" "+c.Token)
		}
	}
	for ref := range o.tasks {
		t := o.find(ref)
		if t != nil && (t.Status == refcache.Pending && now-t.Since > modelPendingLong ||
			t.Status == refcache.Retrying && now-t.Due > modelOverdueLong) {
			found = append(found, "silent "+modelName(ref))
		}
	}
	o.sweepStamps()
	clear(o.stale)
	o.done = slices.DeleteFunc(o.done, func(c modelCompletion) bool { return !o.last(c) })
	return modelSwept(found)
}

// last tells whether a completion is the last end of a complete task.
func (o *modelOracle) last(c modelCompletion) bool {
	for ref := range o.tasks {
		if t := o.find(ref); t != nil && modelName(ref) == c.Name {
			return t.Status == refcache.Complete && t.Ended == c.At
		}
	}
	return false
}

func modelSwept(found []string) string {
	slices.Sort(found)
	return "found [" + strings.Join(found, ", ") + "]"
}

// endWithoutResult makes the task final. One that was refreshed is complete again, if its old result has not expired.
func (o *modelOracle) endWithoutResult(ref refcache.Ref, status refcache.Status, kind, by string) {
	t := o.tasks[ref]
	asOf, ends := t.AsOf, t.ResultEnds
	if ends <= modelNow() {
		o.end(ref, status)
		return
	}
	t.event(refcache.EventRefreshFailed, by)
	o.end(ref, refcache.Complete)
	t.AsOf, t.ResultEnds, t.Refresh, t.Expires = asOf, ends, kind, ends
}

// end makes the task final, as a whole.
func (o *modelOracle) end(ref refcache.Ref, status refcache.Status) {
	t := o.tasks[ref]
	t.AsOf, t.ResultEnds, t.Refresh = 0, 0, ""
	for inbox := range strings.FieldsSeq(t.Waiters) {
		o.told = append(o.told, modelInboxChannel+strings.TrimPrefix(inbox, modelInbox)+" "+string(ref))
	}
	t.Status, t.Ended, t.Since, t.Due, t.Waiters = status, modelNow(), 0, 0, ""
	ttl := t.FailureTTL
	if status == refcache.Complete {
		ttl = t.TTL
		o.done = slices.Insert(o.done, 0, modelCompletion{modelName(ref), t.Ended})
	} else {
		t.Result = ""
	}
	t.Expires = t.Ended + ttl
	delete(o.stale, modelEntry{status, ref}) // the entry is the task's again
}

// forget takes back an end of this very millisecond: the next one could not be told from it.
func (o *modelOracle) forget(ref refcache.Ref) {
	o.done = slices.DeleteFunc(o.done, func(c modelCompletion) bool { return c == modelCompletion{modelName(ref), modelNow()} })
}
