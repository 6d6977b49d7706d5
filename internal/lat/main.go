package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/refq/refq/internal/redisserver"
	"github.com/refq/refq/producer"
	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

func main() {
	s, err := redisserver.Start("--save", "", "--appendonly", "no")
	if err != nil {
		panic(err)
	}
	defer s.Kill()
	rdb, _ := refcache.Connect("redis://" + s.Addr + "?pool_size=300")
	prdb, _ := refcache.Connect("redis://" + s.Addr + "?pool_size=300")
	f := refcache.Func[int, int]{Name: "f"}
	w := worker.New(rdb, worker.Config{Concurrency: 64})
	worker.Handle(w, f, func(_ context.Context, n int) (int, error) { return n, nil })
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	p := producer.New(prdb, producer.Config{})
	time.Sleep(time.Second)
	var times []time.Duration
	n := 0
	before := prdb.Info(ctx, "stats").Val()
	_ = before
	for range 200 {
		n++
		t := time.Now()
		if _, err := producer.Call(ctx, p, f, n); err != nil {
			panic(err)
		}
		times = append(times, time.Since(t))
		time.Sleep(10 * time.Millisecond)
	}
	slices.Sort(times)
	fmt.Println("idle p50", times[100], "p95", times[190], "p99", times[198])
	for _, callers := range []int{64, 256} {
		var wg sync.WaitGroup
		start := time.Now()
		each := 20000 / callers
		for c := range callers {
			wg.Go(func() {
				for i := range each {
					if _, err := producer.Call(ctx, p, f, callers*1000000+c*10000+i); err != nil {
						panic(err)
					}
				}
			})
		}
		wg.Wait()
		fmt.Println(callers, "callers", float64(each*callers)/time.Since(start).Seconds(), "calls/s")
	}
	fmt.Println(prdb.Info(ctx, "commandstats").Val())
	stop()
	<-done
}
