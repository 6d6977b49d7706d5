package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/refq/refq/producer"
)

func read(res *http.Response) ([]byte, error) {
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %.200s", res.Request.URL, res.Status, body)
	}
	return body, err
}

// follow has many browsers follow pages while what they show changes all the time, each as the pages' script does: it hears
// that something has changed and fetches the page again.
func (l load) follow(ctx context.Context, rdb redis.UniversalClient, s *site) error {
	if l.viewers == 0 {
		return nil
	}
	watched.Store(true)
	stop := work(rdb)
	defer stop()
	defer watched.Store(false)
	p := producer.New(rdb, producer.Config{})
	defer p.Close()
	moving, err := submit(ctx, p, slow, 20)
	if err != nil {
		return err
	}
	memory, err := s.memory()
	if err != nil {
		return err
	}
	watching, cancel := context.WithTimeout(ctx, l.watch)
	defer cancel()
	var events, failures atomic.Int64
	var all sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.viewers}}
	defer client.CloseIdleConnections()
	for n := range l.viewers {
		page := "queues"
		if n%2 == 0 {
			page = string(moving[n/2%len(moving)])
		}
		all.Go(func() {
			if err := s.view(watching, client, page, &events); err != nil && watching.Err() == nil {
				failures.Add(1)
				fmt.Println(err)
			}
		})
	}
	during, peak := 0, 0
	for tick := time.NewTicker(l.watch / 10); watching.Err() == nil; {
		select {
		case <-watching.Done():
		case <-tick.C:
			subscribed, err := subscriptions(ctx, rdb)
			now, unreadable := s.memory()
			if err := errors.Join(err, unreadable); err != nil {
				return err
			}
			during, peak = max(during, subscribed), max(peak, now)
		}
	}
	all.Wait()
	fmt.Printf("\n%d viewers for %v: %d updates, %d failed, %d subscriptions at Redis, memory %d MiB before, %d MiB at most\n",
		l.viewers, l.watch, events.Load(), failures.Load(), during, memory, peak)
	switch {
	case failures.Load() > 0:
		return fmt.Errorf("%d viewers were not served", failures.Load())
	case events.Load() < int64(l.viewers):
		return errors.New("viewers heard of nothing")
	case during != 1:
		return fmt.Errorf("%d subscriptions for %d viewers: it must be one", during, l.viewers)
	case peak-memory > maxMemory:
		return fmt.Errorf("memory grew by %d MiB, more than %d", peak-memory, maxMemory)
	}
	return nil
}

// maxMemory is how much more memory the viewers may cost, in MiB.
const maxMemory = 100

// view is one browser on one page.
func (s *site) view(ctx context.Context, client *http.Client, page string, events *atomic.Int64) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/live?watch="+page, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/event-stream")
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("follow %s: %s", page, res.Status)
	}
	path := "/"
	if page != "queues" {
		path = "/calls/" + page
	}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "data:") {
			continue
		}
		if _, err := s.get(ctx, path); err != nil {
			return err
		}
		events.Add(1)
	}
	return fmt.Errorf("follow %s: the stream has ended", page)
}
