// Package refcache holds what both sides of a cached call share: the declaration of functions ([Func]), references to
// calls ([Ref]), the answers ([Response], [TaskInfo]) and the errors. Package producer makes calls, package worker runs
// them; neither knows the other, both know this.
//
//	var Thumb = refcache.Func[ThumbIn, ThumbOut]{Name: "thumb", Queue: "media", Timeout: 30 * time.Second}
//
// A call is run once, wherever it is made from, and its result is kept under its ref_id for [Func].TTL. A failed
// attempt is repeated after a delay that grows ([RetryPolicy]). When the retries are used up, the task is failed and a
// person may retry it by hand.
package refcache
