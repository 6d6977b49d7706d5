// Package refq connects programs to the Redis that holds their cached calls. This page is a tutorial.
//
// A cached call is a function call that any program makes and some worker runs, once. Its result is kept, so whoever
// makes the same call again reads the result. A call that fails is retried. Both sides share a declaration:
//
//	var Thumb = refcache.Func[ThumbIn, ThumbOut]{Name: "thumb", Queue: "media", TTL: 24 * time.Hour}
//
// A worker process runs the functions that it has handlers for. Start as many workers as you like, on any host:
//
//	rdb, err := refq.Connect("redis://127.0.0.1:6379/0")
//	w := worker.New(rdb, worker.Config{Concurrency: 20})
//	worker.Handle(w, Thumb, makeThumb) // func(context.Context, ThumbIn) (ThumbOut, error)
//	err = w.Run(ctx)                   // until ctx ends
//
// A producer makes calls. [github.com/refq/refq/producer.Do] waits for the result, as if the function ran here:
//
//	p := producer.New(rdb, producer.Config{Namespace: "shop"})
//	defer p.Close()
//	thumb, err := producer.Do(ctx, p, Thumb, ThumbIn{URL: url})
//
// Who cannot wait that long gets a ref_id, and asks with it later, from any host:
//
//	res, err := producer.Call(ctx, p, Thumb, ThumbIn{URL: url}) // waits up to Thumb.AsyncTimeout
//	if res.IsAsync {
//		res, err = producer.Wait(ctx, p, Thumb, res.RefID) // or producer.Get, which does not wait
//	}
//
// When all attempts have failed, the error is a [github.com/refq/refq/refcache.TaskError]. An operator sees why, and
// runs the call again:
//
//	a := admin.New(rdb, admin.Config{By: "ann"})
//	for call, err := range a.List(ctx, admin.Filter{Status: refcache.Failed}) {
//		…
//		_, err = a.Retry(ctx, call.RefID, admin.FreshBudget())
//	}
//
// A function may run more than once for one call, because workers die and networks break; the outcome is stored once.
// In tests, [github.com/refq/refq/refqtest] runs workers on a Redis in memory. Package metrics shows all of this to
// Prometheus, and package monitor has what operators read of it.
package refq
