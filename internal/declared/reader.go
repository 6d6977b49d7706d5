package declared

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// readEvery is how long what was read of a queue is used.
const readEvery = 5 * time.Second

// Reader reads what living workers declare. It is safe for concurrent use. Each queue is read at most once in 5 s, by one of
// those who ask: no queue waits for another's.
type Reader struct {
	store *store.Store

	mu      sync.Mutex
	queues  map[string]declarations
	asked   map[string]chan struct{} // queues that are being read, each until its channel is closed
	differs map[string]bool          // functions that were said to be declared differently
}

// declarations are the functions of a queue, by name@version, as they were read at a time.
type declarations struct {
	at        time.Time
	functions map[string]Function   // as they count
	all       map[string][]Function // as each worker declares them
	counting  []store.DeclaredGate  // gates as they count
	gates     map[string][]refcache.Gate
	untold    bool // a living worker has told nothing that we can read
}

// NewReader returns a Reader that asks s.
func NewReader(s *store.Store) *Reader {
	return &Reader{store: s, queues: map[string]declarations{}, asked: map[string]chan struct{}{}, differs: map[string]bool{}}
}

// Functions returns what living workers of a queue declare, by name@version. Where two tell different things, the one that
// was started later counts, and the log hears of it once.
func (r *Reader) Functions(ctx context.Context, queue string) (map[string]Function, error) {
	found, err := r.read(ctx, queue)
	return found.functions, err
}

// Counting returns the gates of a queue's functions, each as the living worker declares it that was started last.
func (r *Reader) Counting(ctx context.Context, queue string) ([]store.DeclaredGate, error) {
	found, err := r.read(ctx, queue)
	return found.counting, err
}

// All returns what each of the living workers of a queue declares of a function, name@version.
func (r *Reader) All(ctx context.Context, queue, name string) ([]Function, error) {
	found, err := r.read(ctx, queue)
	return found.all[name], err
}

// read returns what is known of a queue if that is new enough, or if somebody is about to read it anew. Who is the first to ask
// about it waits for that reading.
func (r *Reader) read(ctx context.Context, queue string) (declarations, error) {
	for {
		r.mu.Lock()
		known, asked := r.queues[queue], r.asked[queue]
		if time.Since(known.at) < readEvery || asked != nil && !known.at.IsZero() {
			r.mu.Unlock()
			return known, nil
		}
		if asked == nil {
			asked = make(chan struct{})
			r.asked[queue] = asked
			r.mu.Unlock()
			return r.ask(ctx, queue, asked)
		}
		r.mu.Unlock()
		select {
		case <-asked:
		case <-ctx.Done():
			return declarations{}, context.Cause(ctx)
		}
	}
}

// ask reads a queue, and closes asked.
func (r *Reader) ask(ctx context.Context, queue string, asked chan struct{}) (declarations, error) {
	workers, err := r.store.Declared(ctx, queue)
	r.mu.Lock()
	defer r.mu.Unlock()
	defer close(asked)
	delete(r.asked, queue)
	switch {
	case err == nil:
		r.queues[queue] = r.merge(queue, workers)
	case errors.Is(ctx.Err(), context.Canceled):
		return declarations{}, err // that is about who asked
	default:
		known := r.queues[queue]
		known.at = time.Now() // nobody else waits for a Redis that does not answer
		r.queues[queue] = known
		return declarations{}, err
	}
	return r.queues[queue], nil
}

// merge is what the workers declare together. The last one of a function counts. The caller holds r.mu.
func (r *Reader) merge(queue string, workers []store.Declaring) declarations {
	slices.SortFunc(workers, func(a, b store.Declaring) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Worker, b.Worker))
	})
	functions, all, by := map[string]Function{}, map[string][]Function{}, map[string]string{}
	gates, counting, untold := map[string][]refcache.Gate{}, map[string]store.DeclaredGate{}, false
	for _, w := range workers {
		told := parse(w.Text)
		untold = untold || told == nil
		for name, f := range told {
			if gate := f.Policy.Gate; gate.Name != "" {
				gates[gate.Name] = withGate(gates[gate.Name], gate)
				counting[gate.Name] = store.DeclaredGate{Name: gate.Name, Numbers: store.NumbersOf(gate), Since: w.Since, Worker: w.Worker}
			}
			before, known := functions[name]
			if known && !reflect.DeepEqual(before, f) && !r.differs[queue+" "+name] {
				r.differs[queue+" "+name] = true
				slog.Warn("workers declare a function differently; the one started later counts", "func", name, "queue", queue,
					"earlier", by[name], "later", w.Worker)
			}
			functions[name], by[name] = f, w.Worker
			all[name] = append(all[name], f)
		}
	}
	return declarations{time.Now(), functions, all, slices.Collect(maps.Values(counting)), gates, untold}
}
