package refcache_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/refq/refq/refcache"
)

const ref = refcache.Ref("media:00112233445566778899aabbccddeeff")

var (
	noon  = time.Date(2026, 2, 3, 12, 0, 0, 7e6, time.FixedZone("somewhere", 3600))
	later = noon.Add(90 * time.Second)
)

func same(t *testing.T, want string, v json.Marshaler) {
	t.Helper()
	got, err := v.MarshalJSON()
	require.NoError(t, err)
	sameText(t, want, got)
}

func sameText(t *testing.T, want string, got []byte) {
	t.Helper()
	var a, b any
	require.NoError(t, json.Unmarshal([]byte(want), &a))
	require.NoError(t, json.Unmarshal(got, &b))
	require.Empty(t, cmp.Diff(a, b))
}

func TestEachFormatHasAllOfItsFieldsInEveryState(t *testing.T) {
	nothing := refcache.Response[json.RawMessage]{RefID: ref, Status: refcache.Pending, IsAsync: true, MaxRetries: 3, Func: "f", Queue: "media"}
	for format, want := range map[refcache.Format]string{
		refcache.Minimal: `{"ref_id":"media:00112233445566778899aabbccddeeff","status":"pending","is_complete":false,"is_async":true,"can_retry":false,"is_stale":false}`,
		refcache.Standard: `{"ref_id":"media:00112233445566778899aabbccddeeff","status":"pending","is_complete":false,"is_async":true,"can_retry":false,"is_stale":false,
			"value":null,"age_seconds":null,"stale_reason":null,"refreshing":false,"cache":null,"started_at":null,"progress":null,"message":null,"unserved":null,"paused":null,"waits_for":null,"error":null,"error_code":null,"error_details":null,"retry_count":0,"max_retries":3,"exhausted":false,
			"next_retry_at":null}`,
		refcache.Full: `{"ref_id":"media:00112233445566778899aabbccddeeff","status":"pending","is_complete":false,"is_async":true,"can_retry":false,"is_stale":false,
			"value":null,"age_seconds":null,"stale_reason":null,"refreshing":false,"cache":null,"started_at":null,"progress":null,"message":null,"unserved":null,"paused":null,"waits_for":null,"error":null,"error_code":null,"error_details":null,"retry_count":0,"max_retries":3,"exhausted":false,
			"next_retry_at":null,"func":"f","queue":"media","created_at":null,"completed_at":null,"expires_at":null,"eta_seconds":null,
			"lost_count":0,"attempt":0}`,
	} {
		got, err := nothing.JSON(format)
		require.NoError(t, err)
		sameText(t, want, got)
	}
	_, err := nothing.JSON("huge")
	require.ErrorContains(t, err, `response format "huge": use minimal, standard or full`)
}

func TestFullResponse(t *testing.T) {
	got, err := refcache.Response[string]{
		RefID: ref, Status: refcache.Processing, IsAsync: true, Value: "old <b>", HasValue: true, Refreshing: true, StartedAt: &noon,
		IsStale: true, StaleReason: refcache.StaleAge, Age: new(90 * time.Second), Cache: refcache.CacheStale,
		Progress: &refcache.Progress{Current: 3, Total: 12, Message: "page 3", Percentage: new(25.0)}, Message: "page 3",
		RetryCount: 1, MaxRetries: 3, Func: "f", Queue: "media", CreatedAt: noon, CompletedAt: &later, ExpiresAt: &later,
		ETA: new(1500 * time.Millisecond), LostCount: 2, Attempt: 4, NextRetryAt: &later, Error: "no", ErrorCode: "quota", ErrorDetails: json.RawMessage(`{"left":0}`), CanRetry: true, Exhausted: true,
	}.JSON(refcache.Full)
	require.NoError(t, err)
	require.Contains(t, string(got), `"old <b>"`, "shown as it was written")
	sameText(t, `{"ref_id":"media:00112233445566778899aabbccddeeff","status":"processing","is_complete":false,"is_async":true,"can_retry":true,"is_stale":true,
		"value":"old <b>","age_seconds":90,"stale_reason":"age","refreshing":true,"cache":"stale","started_at":"2026-02-03T11:00:00.007Z","progress":{"current":3,"total":12,"message":"page 3","percentage":25},
		"message":"page 3","unserved":null,"paused":null,"waits_for":null,"error":"no","error_code":"quota","error_details":{"left":0},"retry_count":1,"max_retries":3,"exhausted":true,"next_retry_at":"2026-02-03T11:01:30.007Z",
		"func":"f","queue":"media","created_at":"2026-02-03T11:00:00.007Z","completed_at":"2026-02-03T11:01:30.007Z",
		"expires_at":"2026-02-03T11:01:30.007Z","eta_seconds":1.5,"lost_count":2,"attempt":4}`, got)
}

func TestTheStandardFormatIsTheDefault(t *testing.T) {
	r := refcache.Response[int]{RefID: ref, Status: refcache.Complete, IsComplete: true, HasValue: true,
		Progress: &refcache.Progress{Current: 1}}
	want, err := r.JSON(refcache.Standard)
	require.NoError(t, err)
	same(t, string(want), r)
	require.Contains(t, string(want), `"value":0`, "a zero is a value")
	require.Contains(t, string(want), `"progress":{"current":1,"total":null,"message":null,"percentage":null}`)
}

func TestTaskInfoHasAllOfItsFields(t *testing.T) {
	same(t, `{"ref_id":"media:00112233445566778899aabbccddeeff","func":"f","version":1,"namespace":"default","queue":"media",
		"status":"pending","note":null,"unserved":null,"paused":null,"waits_for":null,"turn":null,"cycle":1,"attempt":0,"worker":null,"progress":null,"created_at":"2026-02-03T11:00:00.007Z",
		"started_at":null,"completed_at":null,"expires_at":null,"next_retry_at":null,"as_of":null,"is_stale":false,"stale_reason":null,"error":null,"last_error":null,"error_cause":null,"error_code":null,"error_details":null,
		"retry_count":0,"max_retries":3,"lost_count":0,"can_retry":false,"exhausted":false,"retry_delay_seconds":1,
		"retry_backoff_factor":2,"timeout_seconds":null,"retry_history":[],"attempts_total":0,"events":[],"events_total":0,"unreadable":null}`,
		refcache.TaskInfo{RefID: ref, Func: "f", Version: 1, Namespace: "default", Queue: "media", Status: refcache.Pending,
			Cycle: 1, CreatedAt: noon, MaxRetries: 3, RetryDelay: time.Second, RetryBackoffFactor: 2})

	same(t, `{"ref_id":"media:00112233445566778899aabbccddeeff","func":"f","version":2,"namespace":"shop","queue":"media",
		"status":"failed","note":"n","unserved":null,"paused":null,"waits_for":null,"turn":null,"cycle":2,"attempt":3,"worker":"w","progress":null,"created_at":"2026-02-03T11:00:00.007Z",
		"started_at":"2026-02-03T11:00:00.007Z","completed_at":"2026-02-03T11:01:30.007Z","expires_at":"2026-02-03T11:01:30.007Z",
		"next_retry_at":null,"as_of":null,"is_stale":false,"stale_reason":null,"error":"e","last_error":"e","error_cause":"timeout","error_code":"late","error_details":[1],"retry_count":3,"max_retries":3,"lost_count":1,
		"can_retry":false,"exhausted":true,"retry_delay_seconds":0.25,"retry_backoff_factor":1.5,"timeout_seconds":30,
		"retry_history":[{"cycle":2,"attempt":3,"error":"e","cause":"timeout","timestamp":"2026-02-03T11:01:30.007Z",
		"started_at":"2026-02-03T11:00:00.007Z","duration_seconds":90,"delay_seconds":0.25,"worker":"w","permanent":false,"code":null,"details":null}],"attempts_total":101,
		"events":[{"at":"2026-02-03T11:00:00.007Z","kind":"fresh","by":"ann@desk","times":null,"since":null,"note":null},
		{"at":"2026-02-03T11:01:30.007Z","kind":"handed_back","by":"w","times":3,"since":"2026-02-03T11:00:00.007Z","note":null}],"events_total":2,
		"unreadable":"damaged"}`,
		refcache.TaskInfo{RefID: ref, Func: "f", Version: 2, Namespace: "shop", Queue: "media", Status: refcache.Failed,
			Note: "n", Cycle: 2, Attempt: 3, Worker: "w", CreatedAt: noon, StartedAt: &noon, CompletedAt: &later, ExpiresAt: &later,
			Error: "e", LastError: "e", ErrorCause: refcache.CauseTimeout, ErrorCode: "late", ErrorDetails: json.RawMessage(`[1]`), RetryCount: 3, MaxRetries: 3, LostCount: 1,
			Exhausted: true, RetryDelay: 250 * time.Millisecond, RetryBackoffFactor: 1.5, Timeout: 30 * time.Second,
			RetryHistory: []refcache.Attempt{{Cycle: 2, Attempt: 3, Error: "e", Cause: refcache.CauseTimeout, Timestamp: later,
				StartedAt: noon, Duration: 90 * time.Second, Delay: 250 * time.Millisecond, Worker: "w"}},
			AttemptsTotal: 101, Events: []refcache.Event{{At: noon, Kind: refcache.EventFresh, By: "ann@desk"},
				{At: later, Kind: refcache.EventHandedBack, By: "w", Times: 3, Since: &noon}}, EventsTotal: 2,
			Unreadable: "damaged"})
}

func TestAWaitingTaskTellsWhereItStands(t *testing.T) {
	turn := refcache.TurnInfo{Gate: "maps", Key: "maps.example", Share: "a/b", Position: 4, Running: 5, Limit: 5, Reason: refcache.WaitsLimit}
	text, err := json.Marshal(refcache.TaskInfo{Status: refcache.Waiting, WaitsFor: refcache.WaitsTurn, Turn: &turn,
		Events: []refcache.Event{{At: noon, Kind: refcache.EventUnavailable, By: "w", Note: "503"}}})
	require.NoError(t, err)
	require.Contains(t, string(text), `"waits_for":"turn","turn":{"gate":"maps","key":"maps.example","share":"a/b","position":4,`+
		`"running":5,"limit":5,"reason":"limit","next_start_at":null}`)
	require.Contains(t, string(text), `"kind":"unavailable","by":"w","times":null,"since":null,"note":"503"`)
	turn.NextStartAt = &later
	text, err = json.Marshal(refcache.TaskInfo{Turn: &turn})
	require.NoError(t, err)
	require.Contains(t, string(text), `"next_start_at":"2026-02-03T11:01:30.007Z"`)

	day := later.Local().Format("2006-01-02 15:04:05")
	today := time.Now().Truncate(time.Second)
	require.Equal(t, "waits for its turn: 4th of key maps.example, the next may start at "+day, turn.String())
	for want, info := range map[string]refcache.TurnInfo{
		"waits for its turn: 11th of gate g, 2 of 4 running":                                  {Gate: "g", Position: 11, Running: 2, Limit: 4},
		"waits for its turn: 1st of key http://a, which is paused":                            {Gate: "g", Key: "http://a", Position: 1, Reason: refcache.WaitsPaused},
		"waits for its turn: 22nd of key cut%2, and no worker has declared gate g":            {Gate: "g", Key: "cut%2", Position: 22, Reason: refcache.WaitsUndeclared},
		"waits for its turn: 3rd of key k, which is closed until " + day:                      {Gate: "g", Key: "k", Position: 3, Reason: refcache.WaitsUnavailable, NextStartAt: &later},
		"waits for its turn: 3rd of key k, which is closed until " + today.Format("15:04:05"): {Gate: "g", Key: "k", Position: 3, Reason: refcache.WaitsUnavailable, NextStartAt: &today},
		`waits for its turn: 1st of key "h,", 1 of 1 running`:                                 {Gate: "g", Key: "h,", Position: 1, Running: 1, Limit: 1},
		"waits for its turn: 1st of key k, while one call tries whether it is open again":     {Gate: "g", Key: "k", Position: 1, Reason: refcache.WaitsUnavailable},
		"waits for its turn at gate g, key a/b":                                               {Gate: "g", Key: "a/b"},
		"waits for its turn at gate g":                                                        {Gate: "g"},
	} {
		require.Equal(t, want, info.String())
	}
}

func TestTaskErrorsSayWhatBecameOfWhichCall(t *testing.T) {
	failed := &refcache.TaskError{Info: refcache.TaskInfo{RefID: ref, Func: "f", Status: refcache.Failed, Attempt: 1, LastError: "no"}}
	require.EqualError(t, failed, "call media:00112233445566778899aabbccddeeff of f failed after 1 attempt: no")
	failed.Info.Attempt = 4
	require.ErrorContains(t, failed, "after 4 attempts")
	require.EqualError(t, &refcache.TaskError{Info: refcache.TaskInfo{RefID: ref, Func: "f", Status: refcache.Cancelled}},
		"call media:00112233445566778899aabbccddeeff of f was cancelled")
	require.False(t, errors.Is(failed, refcache.ErrNotFailed))
}
