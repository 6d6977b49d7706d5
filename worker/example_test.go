package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/refq/refq"

	"github.com/refq/refq/refcache"
	"github.com/refq/refq/worker"
)

var errNoSuchBook = errors.New("no such book")

// A busy service says how long to stay away.
type busy struct{ retryAfter time.Duration }

func (b *busy) Error() string { return "busy for " + b.retryAfter.String() }

// fetch stands for a service that somebody else runs.
func fetch(_ context.Context, book string, page int) (words int, err error) {
	return len(book) * page, nil
}

// A function reports its progress, and tells by its errors whether and when to try again.
func ExampleHandle() {
	countWords := refcache.Func[string, int]{Name: "books/count", Queue: "books", Timeout: time.Minute}

	count := func(ctx context.Context, book string) (int, error) {
		const pages = 10
		words := 0
		for page := range pages {
			worker.ReportProgress(ctx, int64(page), pages, "page "+strconv.Itoa(page+1))
			n, err := fetch(ctx, book, page)
			if busy, ok := errors.AsType[*busy](err); ok {
				return 0, worker.RetryAfter(err, busy.retryAfter) // in place of the policy's delay
			}
			if errors.Is(err, errNoSuchBook) {
				return 0, worker.Permanent(err) // fails at once: retries cannot mend it
			}
			if err != nil {
				return 0, err // retried by the policy of the call
			}
			words += n
		}
		return words, nil
	}

	rdb, err := refq.Connect("redis://127.0.0.1:6379/0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer rdb.Close()
	w := worker.New(rdb, worker.Config{Concurrency: 20})
	worker.Handle(w, countWords, count)
	fmt.Println(w.Functions(), w.Queues())
	// Output: [books/count@1] [books]
}
