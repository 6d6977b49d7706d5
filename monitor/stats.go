package monitor

import "time"

// CallCounts counts calls: how they were answered when they were made, and how they ended.
type CallCounts struct {
	Hits   int64 // were answered by what is stored, a result or a failure
	Stale  int64 // were answered by a result that is old
	Joined int64 // waited for a run that another call had started
	Misses int64 // started a run, and had nothing to be answered with until its end

	Refreshes       int64         // runs that were started to renew a result: by calls of any kind
	RefreshesFailed int64         // those of them that ended without a new result; none that was cancelled
	Saved           time.Duration // how long the runs took whose results hits were answered with

	Complete  int64
	Failed    int64
	Cancelled int64
}

// Made is how many calls were made.
func (c CallCounts) Made() int64 { return c.Hits + c.Stale + c.Joined + c.Misses }

// Ended is how many tasks ended.
func (c CallCounts) Ended() int64 { return c.Complete + c.Failed + c.Cancelled }

// SuccessRate is the share of the complete among the complete and failed, 0 to 1; false when there are none.
func (c CallCounts) SuccessRate() (float64, bool) { return share(c.Complete, c.Complete+c.Failed) }

// HitRatio is the share of calls that started no run that they waited for, 0 to 1; false when none was made.
func (c CallCounts) HitRatio() (float64, bool) { return share(c.Made()-c.Misses, c.Made()) }

func share(n, of int64) (float64, bool) {
	if of == 0 {
		return 0, false
	}
	return float64(n) / float64(of), true
}

// Add adds what was counted elsewhere.
func (c *CallCounts) Add(other CallCounts) {
	c.Hits += other.Hits
	c.Stale += other.Stale
	c.Joined += other.Joined
	c.Misses += other.Misses
	c.Refreshes += other.Refreshes
	c.RefreshesFailed += other.RefreshesFailed
	c.Saved += other.Saved
	c.Complete += other.Complete
	c.Failed += other.Failed
	c.Cancelled += other.Cancelled
}

// Stats is what happened in the last hour, as producers and workers counted it. It is approximate: a process counts in
// memory and adds that to Redis every 2 s, so what a killed process had not added is missing, and what was added without
// an answer may stand twice. What is known of a task is in its refcache.TaskInfo, not here.
type Stats struct {
	Minutes   []MinuteStats   // 60, the oldest first; the last one is still running
	Functions []FunctionStats // those that were called or ran, by queue and name
}

// MinuteStats is what happened in a minute.
type MinuteStats struct {
	Start time.Time // by Redis's clock
	CallCounts
}

// FunctionStats is what happened to the calls of a function within the hour. Of more than 100 functions in one process,
// or very many in a queue, the rest is counted together as function "other".
type FunctionStats struct {
	Queue string
	Func  string
	CallCounts
	Durations Histogram // of attempts that the function ended by itself or by timeout; without Sum
}

// Counts is what one process has counted since it started, of a function in a queue. Nothing of it is ever reset. Of
// more than 100 functions, the rest is counted together as function "other".
type Counts struct {
	Queue string
	Func  string
	CallCounts
	Attempts    AttemptCounts
	Redelivered int64 // attempts that were lost, and whose task was queued again
	InFlight    int64 // attempts that run now

	AttemptDurations Histogram // of attempts that the function ended by itself or by timeout
	// CallDurations run from the submission to the end, of tasks in their first cycle. Later cycles count only if they
	// end in their first attempt, from when they were queued: of others the beginning is not kept.
	CallDurations Histogram
	QueueWaits    Histogram // from when a task could run for the first time, or was handed back, to the start of its attempt
	Backoffs      Histogram // delays of the retries that were scheduled
	RetryLateness Histogram // from when a retry was due to its start
}

// AttemptCounts counts attempts by how they ended.
type AttemptCounts struct {
	Complete   int64
	Error      int64
	Panic      int64
	Timeout    int64
	Lost       int64 // their worker died, or Redis's answer to it was lost
	Cancelled  int64 // nobody wanted the outcome any more
	HandedBack int64 // the worker stopped, or does not know the function
}

// Repairs is what the sweeps of a worker have mended in a queue since it started. Attempts that it took from dead
// workers are in [Counts].
type Repairs struct {
	Queue     string
	Doorbells int64 // tasks that were to run and that nothing would have run
	Workers   int64 // dead workers that held nothing any more and were forgotten
}
