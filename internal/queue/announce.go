package queue

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// announceTimeout is how long an announcement may take.
	announceTimeout = 5 * time.Second
	// announceAtEnd is how long the last one may hold up a shutdown.
	announceAtEnd = time.Second
)

// announcer writes what asynq's server says of itself, for those who look there. Its keys live on whatever node of a Cluster, and
// asynq extends the leases of doorbells only after it has written them. So asynq is answered at once, and they are written in the
// background, the newest alone: a node that does not answer holds up no queue of other nodes.
type announcer struct {
	rdb        redis.UniversalClient
	countError func(operation string, err error)

	said  []func(ctx context.Context) error // of the announcement that asynq makes now; by its one goroutine alone
	texts map[string]string                 // of its scripts, by their hashes; by that goroutine alone

	mu      sync.Mutex
	next    []func(ctx context.Context) error // to be written; nil: nothing
	writing chan struct{}                     // closed once nothing is written any more; nil: nothing is
}

func newAnnouncer(rdb redis.UniversalClient, countError func(operation string, err error)) *announcer {
	return &announcer{rdb: rdb, countError: countError, texts: map[string]string{}}
}

// announces is whether a key is one of those that servers of asynq's are listed in.
func announces(key string) bool {
	return strings.HasPrefix(key, "asynq:servers") || strings.HasPrefix(key, "asynq:workers")
}

// say adds a command to the announcement.
func (a *announcer) say(command func(ctx context.Context) error) {
	a.said = append(a.said, command)
}

// evalSha answers the script that ends an announcement. asynq sends its text once.
func (a *announcer) evalSha(sha string, keys []string, args []any) *redis.Cmd {
	if a.texts[sha] == "" {
		return redis.NewCmdResult(nil, redis.ErrNoScript)
	}
	return a.end(a.texts[sha], keys, args)
}

func (a *announcer) eval(text string, keys []string, args []any) *redis.Cmd {
	a.texts[redis.NewScript(text).Hash()] = text
	return a.end(text, keys, args)
}

// end has the announcement written that the script ends, and drops an older one that is not.
func (a *announcer) end(text string, keys []string, args []any) *redis.Cmd {
	a.say(func(ctx context.Context) error { return redis.NewScript(text).Run(ctx, a.rdb, keys, args...).Err() })
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next, a.said = a.said, nil
	if a.writing == nil {
		a.writing = make(chan struct{})
		go a.write(a.writing)
	}
	return redis.NewCmdResult("OK", nil)
}

// write writes announcements until there is none.
func (a *announcer) write(done chan<- struct{}) {
	defer close(done)
	for commands := a.take(); commands != nil; commands = a.take() {
		ctx, cancel := context.WithTimeout(context.Background(), announceTimeout)
		for _, command := range commands {
			if err := command(ctx); err != nil {
				a.countError("asynq", err)
				break
			}
		}
		cancel()
	}
}

func (a *announcer) take() []func(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	commands := a.next
	if a.next = nil; commands == nil {
		a.writing = nil
	}
	return commands
}

// wait waits until all is written, but not for long.
func (a *announcer) wait() {
	a.mu.Lock()
	writing := a.writing
	a.mu.Unlock()
	if writing == nil {
		return
	}
	select {
	case <-writing:
	case <-time.After(announceAtEnd):
	}
}
